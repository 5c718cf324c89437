#include "test/sim/fault.h"
#include "test/sim/sim.h"

enum { CLOCK_SPREAD_MAX_PERMILLE = 150 };

static uint64_t between(struct sim *sim, uint64_t least, uint64_t most)
{
    return least + random_below(&sim->random, most - least + 1);
}

static unsigned masters(struct sim *sim)
{
    uint64_t choice = random_below(&sim->random, 100);

    return choice < 60 ? 3 : choice < 75 ? 4 : choice < 95 ? 5 : 1;
}

/* How much faster the fastest clock may run than the slowest. */
static unsigned drift_permille(unsigned spread_permille)
{
    return 2000 * spread_permille / (1000 - spread_permille) + 1;
}

static void draw_clocks(struct sim *sim)
{
    struct sim_traits *traits = &sim->traits;

    traits->clocks_apart = sim_chance(sim, 60);
    traits->clock_spread_permille = CLOCK_SPREAD_MAX_PERMILLE;
    if (sim_chance(sim, 50))
        traits->clock_spread_permille =
            (unsigned)between(sim, 0, CLOCK_SPREAD_MAX_PERMILLE);
}

/* Limits small enough that every run reaches them; now and then so narrow
 * that each entry travels alone, which is when a leader may fall in between. */
static void draw_config(struct sim *sim, bool narrow)
{
    struct raft_config *config = &sim->traits.config;

    config->election_timeout_ms = 150;
    config->heartbeat_ms = 50;
    config->inflight_messages_max = narrow ? 1 : (unsigned)between(sim, 1, 12);
    config->inflight_bytes_max = (size_t)between(sim, 64, 8192);
    config->append_bytes_max = narrow ? 1 : (size_t)between(sim, 64, 4096);
    if (sim_chance(sim, 50))
        config->lease_drift_permille =
            drift_permille(sim->traits.clock_spread_permille);
}

static enum ambush_kind draw_theme(struct sim *sim)
{
    static const enum ambush_kind themes[] = {
        AMBUSH_CUT_OFF,   AMBUSH_CUT_OFF,      AMBUSH_UNDERMINE,
        AMBUSH_UNDERMINE, AMBUSH_UNDERMINE,    AMBUSH_STRANGLE,
        AMBUSH_STRANGLE,  AMBUSH_HUSH,         AMBUSH_SPLIT,
        AMBUSH_SPLIT,     AMBUSH_SPLIT,        AMBUSH_HANG,
        AMBUSH_HANG,      AMBUSH_CHANGE_TWICE,
    };

    if (sim_chance(sim, 40))
        return AMBUSH_ANY;
    return themes[random_below(&sim->random, sizeof themes / sizeof *themes)];
}

/* With quick clocks beside slow ones, and few writes: else logs tell who has
 * not heard of late. */
static void fit_leases(struct sim *sim)
{
    struct sim_traits *traits = &sim->traits;
    struct random aside = sim->random; /* what follows stays as it was */

    if (sim_chance(sim, 60)) {
        traits->clocks_apart = true;
        traits->clock_spread_permille = CLOCK_SPREAD_MAX_PERMILLE;
    }
    traits->config.lease_drift_permille =
        drift_permille(traits->clock_spread_permille);
    if (sim_chance(sim, 50))
        traits->client_every_us = 500000;
    if (random_below(&aside, 3) == 0) { /* as while settings are changed */
        traits->unleased = (unsigned)random_next(&aside);
        traits->hasty = (unsigned)random_next(&aside);
    }
}

/* Each is an attempt on something: leases, on what a new leader takes over, or
 * on members who change. */
static void fit_theme(struct sim *sim)
{
    struct sim_traits *traits = &sim->traits;
    struct raft_config *config = &traits->config;
    bool leases =
        traits->theme == AMBUSH_CUT_OFF || traits->theme == AMBUSH_UNDERMINE;

    traits->alone =
        traits->theme != AMBUSH_SPLIT && traits->theme != AMBUSH_CUT_OFF;
    traits->rounds = 24;
    traits->chaos_us = 4000000;
    traits->fault_every_us = between(sim, 400, 800) * 1000;
    if (traits->theme == AMBUSH_STRANGLE)
        traits->fault_every_us = traits->chaos_us;
    config->lease_drift_permille = 0;
    if (leases && sim_chance(sim, 70))
        fit_leases(sim);
    if (traits->theme == AMBUSH_SPLIT ||
        (traits->theme == AMBUSH_HUSH && sim_chance(sim, 60))) {
        traits->change_every_us = between(sim, 20, 100) * 1000;
        traits->eager = true;
        traits->same_members = sim_chance(sim, 70);
        traits->rounds = 40;
        traits->chaos_us = 1500000;
    } else if (traits->theme == AMBUSH_CHANGE_TWICE) {
        traits->masters = 4;
        traits->change_every_us = 200000;
        traits->eager = true;
        traits->same_members = true;
        traits->fault_every_us = 1000000;
    } else if (traits->theme == AMBUSH_CUT_OFF) {
        traits->change_every_us = between(sim, 100, 500) * 1000;
        traits->eager = false;
    } else if (sim_chance(sim, 70)) {
        traits->change_every_us = 0;
        traits->eager = false;
    }
}

void traits_draw(struct sim *sim)
{
    struct sim_traits *traits = &sim->traits;
    bool calm;
    bool narrow;

    traits->theme = draw_theme(sim);
    calm = traits->theme || sim_chance(sim, 40);
    narrow = sim_chance(sim, traits->theme == AMBUSH_STRANGLE ? 95 : 25);
    traits->masters = masters(sim);
    if (traits->theme == AMBUSH_SPLIT && sim_chance(sim, 50))
        traits->masters = 4; /* two halves: a change makes one a quorum */
    if (traits->theme == AMBUSH_STRANGLE && sim_chance(sim, 75))
        traits->masters = 3; /* one falls, and one is cut off */
    traits->turns = sim_chance(sim, 50);
    traits->ordered = sim_chance(sim, 30);
    traits->loss_percent = calm ? 0 : (unsigned)between(sim, 0, 20);
    traits->twice_percent = calm ? 0 : (unsigned)between(sim, 0, 20);
    traits->delay_us = calm ? between(sim, 50, 2000) : between(sim, 500, 40000);
    traits->sync_us = between(sim, 500, calm ? 5000 : 30000);
    traits->install_us =
        sim_chance(sim, 30) ? between(sim, 1000, 600000) : traits->sync_us;
    traits->fault_every_us = between(sim, 40, 400) * 1000;
    traits->churn = sim_chance(sim, narrow ? 70 : 35);
    traits->down_us = traits->churn ? between(sim, 20, 300) * 1000 : 1000000;
    traits->client_every_us = between(sim, narrow ? 40 : 3, 60) * 1000;
    traits->burst = narrow ? 2 : (unsigned)between(sim, 1, 12);
    traits->snapshot_every = between(sim, 10, 150);
    draw_clocks(sim);
    traits->hints_percent = (unsigned)between(sim, 0, 100);
    if (sim_chance(sim, 60))
        traits->change_every_us =
            between(sim, 20, sim_chance(sim, 30) ? 100 : 1500) * 1000;
    traits->eager = traits->change_every_us && sim_chance(sim, 50);
    traits->sleeper = sim_chance(sim, 25);
    traits->rounds = 12;
    traits->chaos_us = 5000000;
    if (sim_chance(sim, 30))
        traits->slow_disk = 1 + (unsigned)between(sim, 0, traits->masters - 1);
    traits->ambushes = traits->theme || sim_chance(sim, 60);
    if (traits->ambushes && !traits->ordered)
        traits->late_percent = (unsigned)between(sim, 0, 8);
    draw_config(sim, narrow);
    if (traits->theme)
        fit_theme(sim);
    story_line(&sim->story, 0, 0,
               "%u masters, %s, %s links, %u %% lost, %u %% twice, "
               "delay %u us, sync %u us, hints %u %%, theme %u",
               traits->masters, narrow ? "narrow" : "wide",
               traits->ordered ? "ordered" : "loose", traits->loss_percent,
               traits->twice_percent, (unsigned)traits->delay_us,
               (unsigned)traits->sync_us, traits->hints_percent, traits->theme);
}

void traits_calm(struct sim *sim, unsigned masters)
{
    struct sim_traits *traits = &sim->traits;

    traits->masters = masters;
    traits->turns = sim_chance(sim, 50);
    traits->delay_us = between(sim, 50, 2000);
    traits->sync_us = between(sim, 500, 5000);
    traits->install_us = traits->sync_us;
    traits->client_every_us = 20000;
    traits->burst = 3;
    traits->snapshot_every = between(sim, 10, 150);
    draw_clocks(sim);
    draw_config(sim, false);
}
