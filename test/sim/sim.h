/* sim.h - a cluster of real cores on a virtual clock, network and disks.
 *
 * All that happens is an event; all that is left to chance comes from one
 * seeded generator; so a seed is a run. */
#pragma once

#include "test/sim/check.h"
#include "test/sim/story.h"
#include "test/sim/traits.h"

struct sim {
    uint64_t seed;
    struct random random;
    struct sim_traits traits;
    struct sim_traits drawn; /* what they were before all was healed */
    const struct machine_kind *machine;
    uint64_t now_us;
    bool healed; /* nothing goes wrong any more */
    bool quiet;  /* clients ask for nothing more */
    struct event_queue events;
    struct master masters[RAFT_MEMBERS_MAX];
    bool blocked[RAFT_MEMBERS_MAX][RAFT_MEMBERS_MAX];     /* [from][to] */
    uint64_t link_us[RAFT_MEMBERS_MAX][RAFT_MEMBERS_MAX]; /* newest arrival */
    uint64_t command_number;
    uint64_t stream_number;
    uint64_t cut_number;
    unsigned act; /* of a theme that has some */
    const struct master
        *first; /* of two leaders that change members, or NULL */
    struct checks checks;
    struct story story;
};

/* One seed to its end. Returns whether all checks held. */
typedef bool (*sim_cb)(struct sim *sim, uint64_t seed,
                       enum story_telling telling,
                       const struct machine_kind *machine);
/* Anything that can go wrong, for a while; then it heals. */
bool sim_run(struct sim *sim, uint64_t seed, enum story_telling telling,
             const struct machine_kind *machine);
/* The links that the seed's lowest six bits name are up, the others down. */
bool topology_run(struct sim *sim, uint64_t seed, enum story_telling telling,
                  const struct machine_kind *machine);
void sim_fini(struct sim *sim);

/* What a run is made of: begin, draw the traits, start masters and clients,
 * let time pass, heal all and see that all becomes well. */
void sim_begin(struct sim *sim, uint64_t seed, enum story_telling telling,
               const struct machine_kind *machine);
void sim_start(struct sim *sim);
void sim_run_until(struct sim *sim, uint64_t end_us);
/* One of the first masters goes away until the cluster recovers. */
void settle_send_one(struct sim *sim);
/* All faults end and the cluster must get on, */
void sim_recover(struct sim *sim);
/* and become equal and quiet. */
void sim_settle(struct sim *sim);

/* Happens after `delay_us`. Takes what `event` owns. */
void sim_after(struct sim *sim, uint64_t delay_us, struct event *event);
/* Up to `most_us`, now and then much more. */
uint64_t sim_latency_us(struct sim *sim, uint64_t most_us);
bool sim_chance(struct sim *sim, unsigned percent);

void traits_draw(struct sim *sim);
/* A cluster of `masters` for which all is well. */
void traits_calm(struct sim *sim, unsigned masters);

/* ---- network.c ---- */

/* Takes the message. */
void network_send(struct sim *sim, const struct raft_message *message);
/* The same for what is no message of the core. */
void network_event(struct sim *sim, unsigned from, unsigned to,
                   struct event *event);
/* One without entries comes again, within `late_us`. */
void network_late(struct sim *sim, const struct raft_message *message,
                  uint64_t late_us);
/* One is told that the process of another is gone, be it true or not. */
void network_hint_to(struct sim *sim, unsigned told, unsigned lost);
/* The same for all others, or so many of them. */
void network_hint(struct sim *sim, const struct master *master,
                  unsigned percent);

/* ---- master.c ---- */

/* Begin a sync when something waits for one. */
void disk_kick(struct sim *sim, struct master *master);

/* ---- stream.c: snapshots ---- */

void stream_start(struct sim *sim, struct master *master, unsigned to);
void stream_installed(struct sim *sim, struct master *master,
                      const struct disk_write *write);
/* Save the state when enough was applied. */
void stream_save(struct sim *sim, struct master *master);

/* Somebody who believes that it leads, or NULL; there may be several. */
struct master *client_leader(struct sim *sim);
/* Is it a member as far as the log of `judge` goes? */
bool members_has(const struct master *judge, const struct master *master);
bool members_votes(const struct master *judge, const struct master *master);
/* `leader`, which accepts, hands over to another voter. */
void members_hand_over(struct sim *sim, struct master *leader, uint32_t to);
/* `leader` is asked for a change of members. */
void members_change(struct sim *sim, struct master *leader);
/* `master` begins to lead; an operator may have waited for that. */
void members_new_leader(struct sim *sim, const struct master *master);

/* ---- fault.c, client.c, members.c: they keep themselves going ---- */

void fault_start(struct sim *sim);
void client_wait(struct sim *sim, uint64_t wait_us);
void members_start(struct sim *sim);

#define STORY(sim, master, ...)                                       \
    story_line(&(sim)->story, (sim)->now_us, (master)->position + 1u, \
               __VA_ARGS__)
