/* clock.h - the clocks. Pure code takes time as an argument instead. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC: for measuring and for timers. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_ns(void);

/* CLOCK_BOOTTIME, which goes on while the machine is suspended, as the other
 * does not (man 2 clock_gettime): for what other machines rely on. */
uint64_t clock_boot_ms(void);

/* CLOCK_REALTIME, since the epoch: for showing to people. */
uint64_t clock_wall_ms(void);
