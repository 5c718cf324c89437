#include "test/sim/stack/traits.h"

#include "test/sim/stack/world.h"

void traits_draw(struct traits *traits)
{
    bool calm = world_chance(30);

    *traits = (struct traits){
        .masters = world_chance(75)   ? 3
                   : world_chance(80) ? 5
                                      : 1,
        .nodes = (unsigned)world_between(2, 4),
        .clients = (unsigned)world_between(1, 2),
        .client_sessions = (unsigned)world_between(1, 3),
        .chaos_us = world_between(8, 20) * 1000000,
        .delay_us = calm ? world_between(50, 500) : world_between(200, 20000),
        .sync_us = world_between(300, calm ? 3000 : 20000),
        .save_us = world_between(1000, 300000),
        .fault_every_us = world_between(100, 1500) * 1000,
        .down_us = world_between(50, 3000) * 1000,
        .client_every_us = world_between(20, 400) * 1000,
        .snapshot_every = world_between(20, 300),
        .clock_spread_ppm = (unsigned)world_between(0, 50000),
        .suspect_after_ms = 1000 + world_between(0, 400),
        .lost_after_ms = 1500 + world_between(0, 3000),
    };
    if (world_chance(25)) {
        traits->churn = true;
        traits->fault_every_us = world_between(50, 250) * 1000;
        traits->down_us = world_between(20, 400) * 1000;
    }
    if (world_chance(60))
        traits->interrupt_every = world_between(1000, 20000);
    if (world_chance(60))
        traits->change_every_us = world_between(300, 4000) * 1000;
    traits->rots = world_chance(45);
    if (world_chance(40))
        traits->apply_entries = (unsigned)world_between(1, 4);
    if (world_chance(40))
        traits->lease_drift_permille = 2 * traits->clock_spread_ppm / 1000 + 10;
    traits->suspends = traits->lease_drift_permille && world_chance(40);
    traits->patience_ms = world_between(200, 5000);
    traits->kept_ms = world_between(500, 5000);
    traits->upgrades = world_chance(35);
    if (world_chance(10)) {
        traits->turn_us = world_between(2000, 10000);
        traits->clients = 2;
        traits->client_sessions = 3;
        traits->client_every_us = world_between(8, 24) * 1000;
    }
    if (world_chance(15)) {
        traits->rebalances = true;
        traits->nodes = (unsigned)world_between(4, NODES_HOSTS_MAX);
        traits->change_every_us = world_between(200, 600) * 1000;
    }
    tell(NULL,
         "%u masters, %u nodes, %u clients; delay %u us, sync %u us, a fault "
         "each %u ms, lease drift %u",
         traits->masters, traits->nodes, traits->clients,
         (unsigned)traits->delay_us, (unsigned)traits->sync_us,
         (unsigned)(traits->fault_every_us / 1000),
         traits->lease_drift_permille);
}
