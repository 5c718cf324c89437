/* clock.h - the two clocks. Pure code takes time as an argument instead. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC: for measuring and for timers. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_ns(void);

/* CLOCK_REALTIME, since the epoch: for showing to people. */
uint64_t clock_wall_ms(void);
