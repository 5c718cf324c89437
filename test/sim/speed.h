/* speed.h - is a simulator fast enough? */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Say how many times faster than real time the seeds were, all in all of
 * `virtual_ms`, run by `jobs` processes at a time: this one and its children,
 * which have ended. False: less than `least`.
 *
 * What they took of the processors counts, as if each had a core for itself:
 * what else the machine does changes little. Not judged, as nothing could be
 * said fairly: what was over in no time, and the sanitizers' build. */
bool speed_suffices(uint64_t virtual_ms, unsigned jobs, uint64_t least);
