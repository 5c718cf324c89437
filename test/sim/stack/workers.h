/* workers.h - seeds run in processes beside each other: which one runs a seed
 * shows nowhere. */
#pragma once

#include "test/sim/seeds.h"

/* How a run ended. */
struct outcome {
    uint64_t seed;
    bool passed;
    uint64_t hash;
    uint64_t at_ms;
    char failure[512];
};

struct work {
    struct seeds seeds;
    uint64_t jobs; /* processes; 0: as many as there are cores online */
    void (*run)(uint64_t seed, struct outcome *outcome); /* in one of them */
    void (*done)(const struct outcome *outcome); /* here, in the seeds' order */
};

/* How many processes that will be. */
unsigned workers_count(const struct work *work);

/* Their tallies are added to the one here. A seed whose process died with it
 * has failed. False: one of them left memory behind, or worse. */
bool workers_run(const struct work *work);
