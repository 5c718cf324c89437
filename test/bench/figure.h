/* figure.h - the table of figures that test/bench/lib.bash prints, by C. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

void figure_head(void);

/* One line. `target` "": there is none, nor is anything met. */
void figure(const char *what, const char *ours, const char *target, bool met,
            const char *peers);

/* What the process has used of its core: others may run beside it. */
uint64_t spent_ns(void);
