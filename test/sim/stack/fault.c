#include "test/sim/stack/fault.h"

#include "kontor/v1/command.pb-c.h"
#include "test/sim/disk/disk.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/knode.h"
#include "test/sim/stack/operator.h"
#include "test/sim/stack/program.h"
#include "test/sim/stack/wire.h"

#include <string.h>

enum {
    HANG_MAX_US = 2500000,
    SLOW_MAX_US = 200000,
    STALL_MAX_US = 1500000,
    SILENCE_MAX_US = 10000000,
    NODE_DOWN_MAX_US = 9000000,
    LANE_DELAY_MAX_US = 200000,
    LANE_BYTES_MIN = 20000,
    LANE_BYTES_MAX = 2000000,
    WALL_JUMP_MS = 3600000,
    FULL_US = 3000000,
    STOPPED_US = 150000, /* that a stop takes, and less than a start after */
    FAULT_WITHIN = 60,   /* operations of a disk */
};

static struct kmaster *any_master(void)
{
    struct kmaster *some[MASTERS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (kmaster_is_member(&kmasters[i]))
            some[count++] = &kmasters[i];
    return some[world_between(0, count - 1)];
}

/* More often than by chance, as it is the one that matters. */
static struct kmaster *leader_or_any(void)
{
    struct kmaster *leader = kmaster_leader();

    return leader && world_chance(50) ? leader : any_master();
}

static struct knode *any_node(void)
{
    return knode_at((unsigned)world_between(0, world.traits.nodes - 1));
}

static struct host *any_host(void)
{
    unsigned i;

    do
        i = (unsigned)world_between(0, HOSTS_MAX - 1);
    while (!world.hosts[i].life);
    return &world.hosts[i];
}

/* ---- processes and machines ---- */

static void crash_master(struct kmaster *kmaster)
{
    kmaster_crash(kmaster, world_chance(30));
    kmaster_start_after(kmaster, world_between(1, world.traits.down_us));
}

static void crash_many(void)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (kmaster_is_member(&kmasters[i]) && world_chance(70))
            crash_master(&kmasters[i]);
}

static void on_node_restart(void *data, uint64_t number)
{
    struct knode *knode = data;

    (void)number;
    if (!knode_is_up(knode))
        knode_start(knode);
}

static void crash_node(void)
{
    struct knode *knode = any_node();
    bool machine = world_chance(50);

    knode_crash(knode, machine);
    world_after(
        world_between(1, machine ? NODE_DOWN_MAX_US : world.traits.down_us),
        on_node_restart, knode, 0);
}

/* The process is stopped; or its machine is suspended, which all clocks show
 * but the monotonic one; or paused from outside, which none shows: with leases
 * that is not allowed (raft/README.md). */
static void stall(struct host *host)
{
    uint64_t for_us = world_between(1, STALL_MAX_US);
    uint64_t kind = world_between(0, 99);
    const char *how = "stalls";

    if (!host->life || host->suspended.until_us > world.now_us ||
        host->paused.until_us > world.now_us)
        return;
    host->life->stalled_until_us = world.now_us + for_us;
    if (kind < 30 || world.traits.suspends) {
        how = "is suspended";
        host_stand_still(&host->suspended, for_us);
    } else if (kind < 60 && world.traits.lease_drift_permille == 0) {
        how = "is paused";
        host_stand_still(&host->paused, for_us);
    }
    tell(host, "%s for %u ms", how, (unsigned)(for_us / 1000));
}

/* ---- links ---- */

static void heal_lanes(void)
{
    tell(NULL, "links heal");
    memset(world.lanes, 0, sizeof world.lanes);
    wires_release();
}

/* All links of a host, in one direction or both. */
static void set_blocked(const struct host *host, bool out, bool in)
{
    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        world.lanes[host->position][i].blocked = out && i != host->position;
        world.lanes[i][host->position].blocked = in && i != host->position;
    }
}

static void isolate(const struct host *host)
{
    tell(host, "is cut off");
    set_blocked(host, true, true);
}

static void on_audible(void *data, uint64_t number)
{
    const struct host *host = data;

    (void)number;
    tell(host, "is heard again");
    set_blocked(host, false, false);
    wires_release();
}

/* Long enough, now and then, to be taken for lost; its connections live. */
static void silence_node(void)
{
    struct host *host =
        &world.hosts[MASTERS_MAX + world_between(0, world.traits.nodes - 1)];

    tell(host, "is not heard");
    set_blocked(host, true, world_chance(70));
    world_after(world_between(1, SILENCE_MAX_US), on_audible, host, 0);
}

/* From the other masters alone: clients and nodes still reach it. */
static void isolate_among_masters(const struct host *host)
{
    tell(host, "is cut off from the other masters");
    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        world.lanes[host->position][i].blocked = i != host->position;
        world.lanes[i][host->position].blocked = i != host->position;
    }
}

static void split(void)
{
    uint64_t side = random_next(&world.random);

    tell(NULL, "split: sides %x", (unsigned)(side & ((1u << HOSTS_MAX) - 1)));
    for (unsigned i = 0; i < HOSTS_MAX; i++)
        for (unsigned j = 0; j < HOSTS_MAX; j++)
            world.lanes[i][j].blocked = ((side >> i) & 1) != ((side >> j) & 1);
}

/* One link, or all from or to one host, in one direction or both. */
static void block_some(void)
{
    unsigned from = leader_or_any()->host->position;
    unsigned to =
        world_chance(60) ? any_master()->host->position : any_host()->position;
    uint64_t kind = world_between(0, 3);

    if (from == to)
        return;
    tell(NULL, "%s %s %s", world.hosts[from].identity.name,
         kind == 0   ? "cannot reach"
         : kind == 1 ? "and nobody hear each other, nor"
                     : "is half deaf; so is",
         world.hosts[to].identity.name);
    if (kind != 2)
        world.lanes[from][to].blocked = true;
    if (kind == 1)
        world.lanes[to][from].blocked = true;
    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        if (kind == 2 && i != from)
            world.lanes[from][i].blocked = true;
        else if (kind == 3 && i != from)
            world.lanes[i][from].blocked = true;
    }
}

static void slow_down(void)
{
    unsigned from = leader_or_any()->host->position;
    unsigned to = any_host()->position;
    struct lane *lane = &world.lanes[from][to];

    if (from == to)
        return;
    if (world_chance(50))
        lane->delay_us = world_between(0, LANE_DELAY_MAX_US);
    else
        lane->bytes_per_s = world_between(LANE_BYTES_MIN, LANE_BYTES_MAX);
    tell(NULL, "%s to %s: %u ms, %u bytes/s", world.hosts[from].identity.name,
         world.hosts[to].identity.name, (unsigned)(lane->delay_us / 1000),
         (unsigned)lane->bytes_per_s);
}

/* When it goes on, others have chosen another leader, and nothing tells it so
 * but its clock. */
static void stall_and_cut(struct host *host)
{
    isolate_among_masters(host);
    stall(host);
}

/* Of them all the one by whose lease others might read on. */
static void suspend_leader(void)
{
    heal_lanes();
    if (kmaster_leader())
        stall_and_cut(kmaster_leader()->host);
}

/* ---- disks and clocks ---- */

static void hang_disk(uint64_t most_us)
{
    struct host *host = leader_or_any()->host;
    uint64_t for_us = world_between(1, most_us);

    tell(host, "disk hangs for %u ms", (unsigned)(for_us / 1000));
    host->disk_hangs_until_us = world.now_us + for_us;
}

static void on_room(void *data, uint64_t number)
{
    struct host *host = data;

    (void)number;
    host->disk_free_bytes = UINT64_MAX;
    if (!host->disk_full)
        return;
    tell(host, "disk has room again");
    host->disk_full = false;
    if (!disk_is_off(host->disk))
        kmaster_rest_disk(host);
}

static void fill_disk(void)
{
    struct host *host = leader_or_any()->host;

    tell(host, "disk is nearly full");
    host->disk_free_bytes = 1 << 20;
    world_after(world_between(1, FULL_US), on_room, host, 0);
}

/* A write or a sync fails, there is no room from then on for a while, or the
 * end comes, at an operation of the disk soon: in a transaction, a snapshot, a
 * mark, a checkpoint. */
static void break_disk(void)
{
    static const enum disk_fault kinds[] = {
        DISK_WRITE_EIO, DISK_SYNC_EIO, DISK_FULL, DISK_FULL,
        DISK_CUT,       DISK_CUT,      DISK_STOP, DISK_STOP};
    struct host *host = leader_or_any()->host;
    enum disk_fault kind = kinds[world_between(0, ARRAY_LEN(kinds) - 1)];
    unsigned after = (unsigned)world_between(0, FAULT_WITHIN);

    if (!host->life || disk_is_off(host->disk) || host->disk_full ||
        (host->rotten && kind == DISK_CUT))
        return;
    tell(host, "disk will fail (%d) after %u operations", (int)kind, after);
    tally.faults++;
    disk_fault(host->disk, kind, after);
    if (kind != DISK_FULL)
        return;
    host->disk_full = true;
    world_after(world_between(1, FULL_US), on_room, host, 0);
}

/* Where the others are a quorum without it, and an operator is there. Not
 * after the power failed and before it has opened what was left, which settles
 * the last transaction (raft/store_mark.h): that alone cannot be told from a
 * torn one. For the same reason its power does not fail from then on. */
static bool may_rot(const struct kmaster *rotting)
{
    const struct host *host = rotting->host;

    if (!kmaster_leader())
        return false; /* nobody who can tell who votes */
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (kmasters[i].broken || kmasters[i].leaving ||
            kmasters[i].host->rotten || kmaster_voters(&kmasters[i]) < 3)
            return false;
    return operator_replaces() && !world.healed && kmaster_is_member(rotting) &&
           !host->vanished && !disk_is_off(host->disk);
}

static void rot_disk(struct host *host)
{
    kmaster_rest_disk(host);
    host->rotten = disk_rot(host->disk, world_chance(60) ? "snapshot-" : "");
    tally.rots += host->rotten;
    if (host->rotten)
        tell(host, "disk rots");
}

static void on_stopped(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;

    if (!kmaster->host->life && kmaster->host->lives == lives &&
        may_rot(kmaster))
        rot_disk(kmaster->host);
}

/* Under a master that runs, or when it was stopped and has left all in one
 * file. */
static void rot(void)
{
    struct kmaster *kmaster = leader_or_any();

    if (!may_rot(kmaster) || !kmaster->host->life)
        return;
    if (world_chance(50)) {
        kmaster_stop(kmaster);
        world_after(STOPPED_US, on_stopped, kmaster, kmaster->host->lives);
        return;
    }
    rot_disk(kmaster->host);
    if (world_chance(70)) { /* else it is found later, or never */
        kmaster_crash(kmaster, false);
        kmaster_start_after(kmaster, world_between(1, world.traits.down_us));
    }
}

static void jump_clock(void)
{
    struct host *host = any_host();

    host->wall_offset_ms +=
        (int64_t)world_between(0, 2 * WALL_JUMP_MS) - WALL_JUMP_MS;
    tell(host, "its wall clock jumps");
}

/* ---- which, and when ---- */

static void any_fault(void)
{
    uint64_t choice = world_between(0, 99);

    if (choice < 16)
        crash_master(leader_or_any());
    else if (choice < 21)
        break_disk();
    else if (choice < 23)
        rot();
    else if (choice < 26)
        crash_many();
    else if (choice < 29)
        kmaster_stop(leader_or_any());
    else if (choice < 35)
        crash_node();
    else if (choice < 40)
        silence_node();
    else if (choice < 52)
        heal_lanes();
    else if (choice < 60)
        isolate(world_chance(70) ? leader_or_any()->host : any_host());
    else if (choice < 63)
        isolate_among_masters(leader_or_any()->host);
    else if (choice < 65)
        split();
    else if (choice < 73)
        block_some();
    else if (choice < 78)
        slow_down();
    else if (choice < 82)
        hang_disk(HANG_MAX_US);
    else if (choice < 86)
        hang_disk(SLOW_MAX_US);
    else if (choice < 88)
        fill_disk();
    else if (choice < 91)
        stall(world_chance(50) ? leader_or_any()->host : any_host());
    else if (choice < 94)
        stall_and_cut(leader_or_any()->host);
    else if (choice < 98)
        wires_reset_one();
    else
        jump_clock();
}

static void leader_falls(void)
{
    uint64_t choice = world_between(0, 99);

    if (choice < 55)
        crash_master(leader_or_any());
    else if (choice < 65)
        isolate_among_masters(leader_or_any()->host);
    else if (choice < 80)
        stall_and_cut(leader_or_any()->host);
    else
        heal_lanes();
}

static void on_fault(void *data, uint64_t number)
{
    (void)data;
    (void)number;
    if (world.healed)
        return;
    if (world.traits.churn && world_chance(70))
        leader_falls();
    else if (world.traits.rots && world_chance(50))
        rot();
    else if (world.traits.suspends && world_chance(50))
        suspend_leader();
    else
        any_fault();
    world_after(world_between(1, 2 * world.traits.fault_every_us), on_fault,
                NULL, 0);
}

/* ---- at the worst moment ---- */

static bool moves_pods(const struct raft_entry *entry)
{
    Kontor__V1__Command *command = NULL;
    bool moves;

    if (entry->kind == RAFT_ENTRY_COMMAND)
        command = kontor__v1__command__unpack(NULL, entry->payload->length,
                                              entry->payload->bytes);
    moves = command &&
            command->operation_case == KONTOR__V1__COMMAND__OPERATION_MOVE_PODS;
    if (command)
        kontor__v1__command__free_unpacked(command, NULL);
    return moves;
}

static void on_worst(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;

    if (kmaster->host->life && kmaster->host->lives == lives && !world.healed)
        crash_master(kmaster);
}

/* A leader has only just proposed that pods move: its end comes before, with,
 * or after that on its disk, and on those of others. */
void fault_on_submitted(struct host *host, const struct store_write *write)
{
    bool moves = false;

    if (!operator_moves() || world.healed || !world.traits.fault_every_us)
        return;
    for (size_t i = 0; i < write->entry_count; i++)
        moves |= moves_pods(&write->entries[i]);
    if (moves && kmaster_leader() == host->data && world_chance(30))
        world_after(world_between(0, 2 * world.traits.sync_us), on_worst,
                    host->data, host->lives);
}

/* A snapshot is being loaded, and another leader may have in its log what the
 * snapshot is for. */
void fault_on_loading(uint64_t within_us)
{
    const struct kmaster *leader = kmaster_leader();

    if (leader && !world.healed && world.traits.fault_every_us &&
        world_chance(30))
        world_after(world_between(0, within_us), on_worst, leader->host->data,
                    leader->host->lives);
}

void fault_start(void)
{
    if (world.traits.fault_every_us)
        world_after(world.traits.fault_every_us, on_fault, NULL, 0);
}

/* What has rotted shows when it starts again. */
static void heal_master(struct kmaster *kmaster)
{
    struct host *host = kmaster->host;

    if (!disk_is_off(host->disk))
        kmaster_rest_disk(host);
    if (host->rotten)
        kmaster_crash(kmaster, false);
    kmaster_start(kmaster);
}

void fault_heal(void)
{
    world.healed = true;
    heal_lanes();
    world.traits.delay_us = 500;
    world.traits.sync_us = 2000;
    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        world.hosts[i].disk_hangs_until_us = 0;
        world.hosts[i].disk_free_bytes = UINT64_MAX;
        world.hosts[i].disk_full = false;
    }
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        heal_master(&kmasters[i]);
    program_upgrade_all();
    for (unsigned i = 0; i < world.traits.nodes; i++)
        if (!knode_is_up(knode_at(i)))
            knode_start(knode_at(i));
}
