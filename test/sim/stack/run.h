/* run.h - one seed from its beginning to its end. */
#pragma once

#include "test/sim/stack/world.h"

/* Returns whether all checks held; what was found stays in `world.story`. */
bool run_seed(uint64_t seed, enum story_telling telling);
/* Let go of everything. */
void run_fini(void);

/* Three masters of which some cannot reach others: the seed's lowest six bits
 * say which of the six directions are open, the next one whether the others
 * are cut from the first moment on or once there is a leader; 128 seeds in a
 * row are all there is. Where one of them has both ways to another there is a
 * leader within three seconds, and it stays. */
bool run_topology(uint64_t seed, enum story_telling telling);
