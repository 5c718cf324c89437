/* run.h - one seed from its beginning to its end. */
#pragma once

#include "test/sim/stack/world.h"

/* Returns whether all checks held; what was found stays in `world.story`. */
bool run_seed(uint64_t seed, enum story_telling telling);
/* Let go of everything. */
void run_fini(void);

/* Three masters of which some cannot reach others: `lanes` has a bit for each
 * of the six directions that is open; cut from the first moment on, or, when
 * `standing`, once there is a leader. Where one of them has both ways to
 * another there is a leader within three seconds, and it stays. */
enum { LANES_ALL = 64 };
bool run_topology(uint64_t seed, unsigned lanes, bool standing,
                  enum story_telling telling);
