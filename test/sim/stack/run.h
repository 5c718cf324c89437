/* run.h - one seed from its beginning to its end. */
#pragma once

#include "test/sim/stack/world.h"

/* Returns whether all checks held; what was found stays in `world.story`. */
bool run_seed(uint64_t seed, enum story_telling telling);
/* Let go of everything. */
void run_fini(void);
