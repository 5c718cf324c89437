#include "rpc/deadline.h"

#include "base/memory.h"

enum { CAPACITY_MIN = 16 };

void deadlines_fini(struct deadlines *deadlines)
{
    free(deadlines->heap);
    *deadlines = (struct deadlines){0};
}

static void put(struct deadlines *deadlines, size_t place,
                struct deadline *deadline)
{
    deadlines->heap[place - 1] = deadline;
    deadline->place = place;
}

static struct deadline *at(const struct deadlines *deadlines, size_t place)
{
    return deadlines->heap[place - 1];
}

/* Move what belongs at `place` or nearer to the top. */
static size_t rise(struct deadlines *deadlines, size_t place, uint64_t at_ms)
{
    while (place > 1 && at(deadlines, place / 2)->at_ms > at_ms) {
        put(deadlines, place, at(deadlines, place / 2));
        place /= 2;
    }
    return place;
}

static size_t sink(struct deadlines *deadlines, size_t place, uint64_t at_ms)
{
    for (;;) {
        size_t child = place * 2;

        if (child > deadlines->count)
            return place;
        if (child < deadlines->count &&
            at(deadlines, child + 1)->at_ms < at(deadlines, child)->at_ms)
            child++;
        if (at(deadlines, child)->at_ms >= at_ms)
            return place;
        put(deadlines, place, at(deadlines, child));
        place = child;
    }
}

void deadlines_set(struct deadlines *deadlines, struct deadline *deadline,
                   uint64_t at_ms)
{
    size_t place;

    deadlines_remove(deadlines, deadline);
    if (deadlines->count == deadlines->capacity) {
        deadlines->capacity =
            deadlines->capacity ? deadlines->capacity * 2 : CAPACITY_MIN;
        deadlines->heap = memory_resize(
            deadlines->heap, deadlines->capacity * sizeof(struct deadline *));
    }
    deadline->at_ms = at_ms;
    place = rise(deadlines, ++deadlines->count, at_ms);
    put(deadlines, place, deadline);
}

void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline)
{
    size_t place = deadline->place;
    struct deadline *last;

    if (place == 0)
        return;
    deadline->place = 0;
    last = at(deadlines, deadlines->count--);
    if (last == deadline)
        return;
    place = rise(deadlines, place, last->at_ms);
    place = sink(deadlines, place, last->at_ms);
    put(deadlines, place, last);
}

struct deadline *deadlines_first(const struct deadlines *deadlines)
{
    return deadlines->count ? deadlines->heap[0] : NULL;
}
