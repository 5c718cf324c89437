/* fault.h - faults that are made at once, and those that wait. */
#pragma once

#include "test/sim/sim.h"

/* ---- fault.c: at once ---- */

/* It comes back after `down_us` at most. */
void fault_crash(struct sim *sim, struct master *master, uint64_t down_us);
void fault_cut_off(struct sim *sim, const struct master *master);
/* Two sides: of whom the bit is set in `side`, and the others. */
void fault_split(struct sim *sim, uint64_t side);
/* For up to `most_us`. */
void fault_hang_disk(struct sim *sim, struct master *master, uint64_t most_us);
void fault_heal_links(struct sim *sim);
/* Nothing goes wrong any more. */
void fault_heal(struct sim *sim);
/* Things go wrong again. */
void fault_resume(struct sim *sim);

/* ---- ambush.c ---- */

/* `master` has just done something; perhaps it is struck in a moment. */
void ambush(struct sim *sim, const struct master *master, unsigned percent);
/* It changes members, and has told nobody yet. */
void ambush_change(struct sim *sim, struct master *leader);
/* It is struck now. */
void ambush_strike(struct sim *sim, struct master *master);
/* `message` leaves: it may come again, when `master` begins to stand or lead.
 */
void ambush_keep(struct sim *sim, const struct raft_message *message);
void ambush_begins(struct sim *sim, struct master *master);
/* The same, when `leader` has as many entries as they speak of. */
void ambush_grows(struct sim *sim, const struct master *leader);
