#include "test/sim/stack/kmaster.h"

#include "raft/replica_parts.h"
#include "test/sim/disk/disk.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/program.h"
#include "test/sim/stack/store.h"
#include "test/sim/stack/wire.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

enum {
    DRAIN_MS = 50,
    RESTART_US = 200000,
    POWER_PERCENT = 30, /* of what a disk's error ends, the machine, too */
    FAULT_PERCENT = 10, /* of starts */
    FAULT_WITHIN = 40,  /* operations of the disk, of a start */
};

struct kmaster kmasters[MASTERS_MAX];

static void take_member(struct kmaster *kmaster, const char *name,
                        const char *address)
{
    unsigned at = kmaster->member_count++;

    snprintf(kmaster->names[at], sizeof kmaster->names[at], "%s", name);
    snprintf(kmaster->addresses[at], sizeof kmaster->addresses[at], "%s",
             address);
    kmaster->members[at] = (struct replica_member){
        .name = kmaster->names[at],
        .address = kmaster->addresses[at],
    };
}

void kmasters_init(unsigned count)
{
    memset(kmasters, 0, sizeof kmasters);
    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        struct kmaster *kmaster = &kmasters[i];
        struct host *host = &world.hosts[i];

        kmaster->host = host;
        host->data = kmaster;
        snprintf(kmaster->folder, sizeof kmaster->folder, "/disk/%s",
                 host->identity.name);
        host->disk = disk_new(kmaster->folder, random_next(&world.random));
        for (unsigned j = 0; j < count; j++)
            take_member(kmaster, world.hosts[j].identity.name,
                        world.hosts[j].address);
        kmaster->exists = i < count;
        program_begin(kmaster, i < count);
    }
}

static struct master_config config_of(struct kmaster *kmaster)
{
    struct master_config config = {
        .name = kmaster->host->identity.name,
        .listen = kmaster->host->address,
        .folder = kmaster->folder,
        .members = kmaster->members,
        .member_count = kmaster->member_count,
        .tls = &kmaster->host->life->tls,
        .lease_drift_permille = world.traits.lease_drift_permille,
        .election_timeout_ms = 150,
        .heartbeat_ms = 50,
        .suspect_after_ms = world.traits.suspect_after_ms,
        .lost_after_ms = world.traits.lost_after_ms,
        .snapshot_entries = world.traits.snapshot_every,
        .apply_entries = world.traits.apply_entries,
    };
    struct error why;

    pod_network_parse("10.42.0.0/16", &config.pod_network, &why);
    return config;
}

bool kmaster_is_member(const struct kmaster *kmaster)
{
    return kmaster->exists && !kmaster->retired;
}

/* ---- beginning ---- */

/* A failure that is no fault of the master's: the disk did it. A refusal names
 * what has rotted; the version of a format that did is one that is not known.
 */
static bool has_cause(const struct host *host, const struct error *why)
{
    return disk_fault_happened(host->disk) ||
           (host->rotten &&
            (why->code == ERROR_DATA_LOSS ||
             strstr(why->message, "has format")) &&
            (strstr(why->message, "/raft.db") ||
             strstr(why->message, "/snapshot-")));
}

void kmaster_rest_disk(struct host *host)
{
    disk_fault(host->disk, host->disk_full ? DISK_FULL : DISK_SOUND, 0);
}

/* What a life leaves of its disk for the next one. */
static void leave_disk(struct host *host, bool power)
{
    if (power)
        disk_crash(host->disk);
    else
        disk_abandon(host->disk);
    kmaster_rest_disk(host);
    tally.cuts += power;
}

/* It could not open what is on its disk: gone again, without a word. */
static void give_up(struct kmaster *kmaster, const struct error *why)
{
    struct host *host = kmaster->host;
    bool power = disk_is_cut(host->disk);

    tell(host, "does not start: %s", why->message);
    tally.full += why->code == ERROR_RESOURCE_EXHAUSTED;
    if (!has_cause(host, why))
        FAIL("%s does not start: %s", host->identity.name, why->message);
    process_kill(host->life);
    host->store = NULL;
    if (!disk_fault_happened(host->disk)) {
        tally.refusals++;
        kmaster->broken = true;
    }
    host->vanished = power;
    leave_disk(host, power);
    kmaster_start_after(kmaster, RESTART_US);
}

/* What is not closed after a failure ends with a process; here it is left. */
static int open_master(struct kmaster *kmaster, struct error *why)
{
    struct master_config config = config_of(kmaster);
    int code;

#ifdef __SANITIZE_ADDRESS__
    __lsan_disable();
#endif
    code =
        master_open(&kmaster->master, &kmaster->host->life->loop, &config, why);
#ifdef __SANITIZE_ADDRESS__
    __lsan_enable();
#endif
    if (code == 0) {
        kmaster->master->placer.keeper.patience_ms = world.traits.patience_ms;
        kmaster->master->placer.keeper.turn_ms = world.traits.kept_ms;
    }
    return code;
}

static void arm_disk(struct host *host)
{
    if (!world.healed && world.traits.fault_every_us > 0 && !host->rotten &&
        !host->disk_full && world_chance(FAULT_PERCENT))
        disk_fault(host->disk, world_chance(50) ? DISK_CUT : DISK_STOP,
                   (unsigned)world_between(0, FAULT_WITHIN));
}

void kmaster_start(struct kmaster *kmaster)
{
    struct process *process;
    struct error why;

    if (kmaster->host->life || !kmaster_is_member(kmaster) || kmaster->broken)
        return;
    if (kmaster->host->lives > 0)
        program_restart(kmaster);
    process = process_new(kmaster->host);
    tell(kmaster->host, "starts");
    kmaster->closing = false;
    kmaster->closed = false;
    kmaster->checked_term = 0;
    kmaster->checked_commit = 0;
    kmaster->checked_role = RAFT_FOLLOWER;
    if (kmaster->host->vanished) {
        kmaster->host->vanished = false;
        wires_forgotten(kmaster->host);
    }
    arm_disk(kmaster->host);
    if (kmaster->host->disk_full)
        kmaster->host->disk_free_bytes = 0; /* as it is measured now */
    process_enter(process);
    if (open_master(kmaster, &why) == 0) {
        process_leave(process);
        if (process_is_mute(process))
            kmaster_die_soon(process);
        else
            kmaster->host->rotten = false; /* all that counts was verified */
        return;
    }
    process_now = NULL;
    give_up(kmaster, &why);
}

static void on_start(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;

    if (kmaster->host->lives == lives)
        kmaster_start(kmaster);
}

void kmaster_start_after(struct kmaster *kmaster, uint64_t delay_us)
{
    world_after(delay_us, on_start, kmaster, kmaster->host->lives);
}

void kmaster_enlist(struct kmaster *kmaster,
                    const Kontor__V1__MastersResponse *told)
{
    kmaster->member_count = 0;
    for (size_t i = 0; i < told->n_masters; i++) {
        const Kontor__V1__Master *row = told->masters[i];

        take_member(kmaster, row->name, row->address);
        kmaster->members[i].id = row->id;
        kmaster->members[i].learner = row->learner;
    }
    kmaster->exists = true;
    kmaster->leaving = false;
    kmaster->retired = false;
    kmaster->owed = false;
    program_begin(kmaster, false);
    kmaster_start_after(kmaster, 0);
}

void kmaster_retire(struct kmaster *kmaster)
{
    struct host *host = kmaster->host;

    kmaster_crash(kmaster, false);
    kmaster->retired = true;
    kmaster->owed = kmaster->broken;
    kmaster->broken = false;
    host->rotten = false;
    host->disk_full = false;
    disk_free(host->disk);
    host->disk = disk_new(kmaster->folder, random_next(&world.random));
    check_emptied(host);
}

/* ---- ending ---- */

static void on_closed(void *data)
{
    struct kmaster *kmaster = data;

    kmaster->closed = true;
    kmaster->master = NULL;
}

/* After its last turn; libuv would end the process now. */
static void on_stopped(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;
    struct process *process = kmaster->host->life;

    if (!process || kmaster->host->lives != lives)
        return;
    if (!kmaster->closed) {
        world_after(1000, on_stopped, kmaster, lives);
        return;
    }
    wires_cut(process, false);
    process_kill(process);
    process_drain(process, NULL); /* a save that was given up */
    leave_disk(kmaster->host, false);
    tell(kmaster->host, "has stopped");
    kmaster_start_after(kmaster, RESTART_US);
}

void kmaster_stop(struct kmaster *kmaster)
{
    struct process *process = kmaster->host->life;

    if (!process || kmaster->closing)
        return;
    tell(kmaster->host, "is asked to stop");
    kmaster->closing = true;
    process_enter(process);
    master_close(kmaster->master, DRAIN_MS, on_closed, kmaster);
    process_leave(process);
    world_after(1000, on_stopped, kmaster, kmaster->host->lives);
}

void kmaster_crash(struct kmaster *kmaster, bool silent)
{
    struct host *host = kmaster->host;
    struct process *process = host->life;
    struct process *kept = process_now;

    if (!process)
        return;
    silent = disk_is_off(host->disk) ? disk_is_cut(host->disk)
                                     : silent && !host->rotten;
    tell(host, silent ? "vanishes" : "crashes");
    tally.crashes++;
    store_interrupt(host, silent);
    disk_stop(host->disk);
    wires_cut(process, silent);
    process_kill(process);
    host->vanished = silent;
    process_now = process;
    if (!kmaster->closing)
        master_close(kmaster->master, 0, on_closed, kmaster);
    process_drain(process, &kmaster->closed);
    process_now = kept;
    leave_disk(host, silent);
}

static void on_dying(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;

    if (!kmaster->host->life || kmaster->host->lives != lives)
        return;
    kmaster_crash(kmaster, disk_fault_happened(kmaster->host->disk) &&
                               world_chance(POWER_PERCENT));
    kmaster_start_after(kmaster, RESTART_US);
}

void kmaster_die_soon(struct process *process)
{
    world_after(0, on_dying, process->host->data, process->host->lives);
}

void kmaster_fail(struct process *process, const struct error *why)
{
    struct host *host = process->host;

    if (!has_cause(host, why))
        FAIL("%s cannot write its log: %s", host->identity.name, why->message);
    kmaster_die_soon(process);
}

struct kmaster *kmaster_leader(void)
{
    struct kmaster *newest = NULL;

    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        struct kmaster *kmaster = &kmasters[i];

        if (!kmaster->host->life || kmaster->closing ||
            !master_leads(kmaster->master))
            continue;
        if (!newest || raft_term(kmaster->master->replica->raft) >
                           raft_term(newest->master->replica->raft))
            newest = kmaster;
    }
    return newest;
}

unsigned kmaster_voters(const struct kmaster *kmaster)
{
    const Kontor__V1__RaftConfiguration *members;
    unsigned voters = 0;

    if (!kmaster->host->life || kmaster->closing)
        return UINT_MAX;
    members = replica_members(kmaster->master->replica);
    for (size_t i = 0; i < members->n_members; i++)
        voters += !members->members[i]->learner;
    return voters;
}

void kmasters_fini(void)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        kmaster_crash(&kmasters[i], false);
        disk_free(kmasters[i].host->disk);
    }
}
