/* speed.h - is a simulator fast enough? */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How many times real time a simulator is at least. */
enum { SPEED_LEAST = 1000 };

/* Say how many times faster than real time the seeds were, all in all of
 * `virtual_ms`, run by `jobs` processes at a time: this one and its children,
 * which have ended. False: less than SPEED_LEAST.
 *
 * What they took of the processors counts, as if each had a core for itself:
 * what else the machine does changes little. Not judged, as nothing could be
 * said fairly: what was over in no time, fewer than `jobs_least` at a time (the
 * machine has no more cores), and the sanitizers' build. */
bool speed_suffices(uint64_t virtual_ms, unsigned jobs, unsigned jobs_least);
