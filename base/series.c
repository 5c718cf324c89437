#include "base/series.h"

#include "base/memory.h"

#include <assert.h>

void series_fini(struct series *series)
{
    free(series->items);
    *series = (struct series){0};
}

void series_append(struct series *series, uint64_t number, void *what)
{
    assert(series->end == 0 || number > series->items[series->end - 1].number);
    if (series->end == series->capacity) {
        series->capacity = series->capacity ? series->capacity * 2 : 1;
        series->items = memory_resize(series->items,
                                      series->capacity * sizeof *series->items);
    }
    series->items[series->end++] = (struct series_item){number, what};
}

/* The place of the first with that number or a greater one, a hole or not. */
static uint32_t place_of(const struct series *series, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = series->end;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (series->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void close_holes(struct series *series)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < series->end; i++) {
        if (series->items[i].what)
            series->items[kept++] = series->items[i];
    }
    series->end = kept;
    series->holes = 0;
}

void series_remove(struct series *series, uint64_t number)
{
    uint32_t at = place_of(series, number);

    assert(at < series->end && series->items[at].number == number &&
           series->items[at].what);
    series->items[at].what = NULL;
    series->holes++;
    while (series->end > 0 && !series->items[series->end - 1].what) {
        series->end--;
        series->holes--;
    }
    if (series->holes > series->end / 2)
        close_holes(series);
}

void *series_find(const struct series *series, uint64_t number)
{
    uint32_t at = place_of(series, number);

    return at < series->end && series->items[at].number == number
               ? series->items[at].what
               : NULL;
}

void *series_after(const struct series *series, uint64_t number)
{
    uint32_t at =
        number == UINT64_MAX ? series->end : place_of(series, number + 1);

    return series_walk(series, &at);
}

void *series_before(const struct series *series, uint64_t number)
{
    uint32_t at = place_of(series, number);

    while (at > 0 && !series->items[at - 1].what)
        at--;
    return at > 0 ? series->items[at - 1].what : NULL;
}

void *series_walk(const struct series *series, uint32_t *at)
{
    while (*at < series->end && !series->items[*at].what)
        ++*at;
    return *at < series->end ? series->items[(*at)++].what : NULL;
}
