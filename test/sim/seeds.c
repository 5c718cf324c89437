#include "test/sim/seeds.h"

#include <stdlib.h>

bool seeds_parse(const char *text, struct seeds *seeds)
{
    char *end;

    seeds->from = 1;
    seeds->to = strtoull(text, &end, 10);
    if (end != text && *end == '-') {
        const char *second = end + 1;

        seeds->from = seeds->to;
        seeds->to = strtoull(second, &end, 10);
        if (end == second)
            return false;
    }
    return end != text && *end == '\0' && seeds->from <= seeds->to;
}
