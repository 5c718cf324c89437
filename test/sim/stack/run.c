#include "test/sim/stack/run.h"

#include "test/sim/stack/check.h"
#include "test/sim/stack/check_state.h"
#include "test/sim/stack/client.h"
#include "test/sim/stack/fault.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/knode.h"
#include "test/sim/stack/operator.h"
#include "test/sim/stack/settle.h"
#include "test/sim/stack/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    ITEMS_MAX = 20000000, /* more in one run is a storm */
    SETTLE_US = 25000000, /* after healing, at most */
    LOOK_US = 100000,
    QUIET_US = 1000000,
};

static void run_until(uint64_t end_us)
{
    struct agenda_item item;

    while (!story_failed(&world.story) &&
           agenda_take(&world.agenda, end_us, &item)) {
        world.now_us = item.at_us;
        item.run(item.data, item.number);
        if (world.agenda.sequence > ITEMS_MAX)
            FAIL("a storm: %d things to do", ITEMS_MAX);
    }
    if (!story_failed(&world.story))
        world.now_us = end_us;
}

static void init_host(unsigned i, enum rpc_role role, const char *name,
                      unsigned port)
{
    struct host *host = &world.hosts[i];

    host->position = i;
    host->identity.role = role;
    snprintf(host->identity.name, sizeof host->identity.name, "%s", name);
    snprintf(host->address, sizeof host->address, "%s:%u", name, port);
    host->clock_offset_us = world_between(0, 100) * 1000000 + 1000000;
    host->clock_rate_ppm =
        (int64_t)world_between(0, 2 * world.traits.clock_spread_ppm) -
        world.traits.clock_spread_ppm;
    host->disk_free_bytes = UINT64_MAX;
}

static void init_hosts(void)
{
    char name[8];

    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        if (i < MASTERS_MAX) {
            snprintf(name, sizeof name, "m%u", i + 1);
            init_host(i, RPC_ROLE_MASTER, name, 7400);
        } else if (i < MASTERS_MAX + NODES_HOSTS_MAX) {
            snprintf(name, sizeof name, "n%u", i - MASTERS_MAX + 1);
            init_host(i, RPC_ROLE_NODE, name, 7500);
        } else {
            snprintf(name, sizeof name, "c%u",
                     i - MASTERS_MAX - NODES_HOSTS_MAX + 1);
            init_host(i, RPC_ROLE_ADMIN, name, 7600);
        }
    }
}

/* `traits` NULL: they are drawn. */
static void init(uint64_t seed, enum story_telling telling,
                 const struct traits *traits)
{
    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.random.state = seed;
    world.story.telling = telling;
    list_init(&world.processes);
    list_init(&world.wires);
    if (traits)
        world.traits = *traits;
    else
        traits_draw(&world.traits);
    init_hosts();
    checks_init();
    check_state_init();
}

static void start(void)
{
    wires_start();
    kmasters_init(world.traits.masters);
    for (unsigned i = 0; i < world.traits.masters; i++)
        kmaster_start(&kmasters[i]);
    knodes_init(world.traits.nodes);
    for (unsigned i = 0; i < world.traits.nodes; i++)
        knode_start(knode_at(i));
    clients_init(world.traits.clients);
    clients_start();
    operator_start();
    fault_start();
}

static void settle(void)
{
    uint64_t end_us = world.now_us + SETTLE_US;
    const char *missing = "nothing was looked at";

    clients_quiet();
    while (missing && !story_failed(&world.story) && world.now_us < end_us) {
        run_until(world.now_us + LOOK_US);
        missing = settle_missing();
    }
    if (missing)
        FAIL("after healing: %s", missing);
    if (!missing)
        run_until(world.now_us + QUIET_US);
}

bool run_seed(uint64_t seed, enum story_telling telling)
{
    init(seed, telling, NULL);
    start();
    run_until(world.traits.chaos_us);
    tell(NULL, "heals");
    fault_heal();
    run_until(world.now_us + QUIET_US);
    settle();
    tally.virtual_ms += world.now_us / 1000;
    return !story_failed(&world.story);
}

/* ---- topologies ---- */

enum { TRIO = 3, LANES = TRIO * (TRIO - 1), SECONDS = 1000000 };

static void set_lanes(unsigned open)
{
    unsigned bit = 0;

    for (unsigned i = 0; i < TRIO; i++)
        for (unsigned j = 0; j < TRIO; j++)
            if (i != j)
                world.lanes[i][j].blocked = !((open >> bit++) & 1);
}

static bool can_lead(unsigned i)
{
    for (unsigned j = 0; j < TRIO; j++)
        if (i != j && !world.lanes[i][j].blocked && !world.lanes[j][i].blocked)
            return true;
    return false;
}

static uint64_t newest_term(void)
{
    uint64_t newest = 0;

    for (unsigned i = 0; i < TRIO; i++) {
        uint64_t term = replica_status(kmasters[i].master->replica).term;

        newest = term > newest ? term : newest;
    }
    return newest;
}

static void expect_leader(unsigned lanes)
{
    const struct kmaster *leader = kmaster_leader();
    uint64_t term = newest_term();
    bool possible = can_lead(0) || can_lead(1) || can_lead(2);

    if (!possible && leader)
        FAIL("lanes %02x: %s leads nobody", lanes, leader->host->identity.name);
    if (possible && !leader)
        FAIL("lanes %02x: nobody leads", lanes);
    run_until(world.now_us + 5 * SECONDS);
    if (!possible || story_failed(&world.story))
        return;
    if (kmaster_leader() != leader)
        FAIL("lanes %02x: the leader does not stay", lanes);
    else if (newest_term() != term)
        FAIL("lanes %02x: terms grow", lanes);
}

bool run_topology(uint64_t seed, enum story_telling telling)
{
    unsigned lanes = seed % (1 << LANES);
    bool standing = seed >> LANES & 1;
    static const struct traits quiet = {
        .masters = TRIO,
        .delay_us = 2000,
        .sync_us = 3000,
        .save_us = 1000,
        .snapshot_every = 100000,
        .suspect_after_ms = 3000,
        .lost_after_ms = 15000,
    };

    init(seed, telling, &quiet);
    if (!standing)
        set_lanes(lanes);
    start();
    if (standing) {
        run_until(2 * SECONDS);
        set_lanes(lanes);
    }
    run_until(world.now_us + 3 * SECONDS);
    if (!story_failed(&world.story))
        expect_leader(lanes);
    tally.virtual_ms += world.now_us / 1000;
    return !story_failed(&world.story);
}

void run_fini(void)
{
    operator_fini();
    clients_fini();
    knodes_fini();
    kmasters_fini();
    wires_free();
    list_for_each(link, next, &world.processes)
        process_free(container_of(link, struct process, link));
    agenda_fini(&world.agenda);
    checks_fini();
    check_state_fini();
}
