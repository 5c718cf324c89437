/* seeds.h - which seeds a simulator runs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct seeds {
    uint64_t from;
    uint64_t to; /* runs too */
};

/* "FROM-TO", or "N" for 1-N. False: it is neither. */
bool seeds_parse(const char *text, struct seeds *seeds);
