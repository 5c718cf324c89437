#include "test/sim/stack/agenda.h"

#include "base/memory.h"

static bool before(const struct agenda_item *a, const struct agenda_item *b)
{
    return a->at_us < b->at_us ||
           (a->at_us == b->at_us && a->sequence < b->sequence);
}

void agenda_fini(struct agenda *agenda)
{
    free(agenda->heap);
    *agenda = (struct agenda){0};
}

void agenda_add(struct agenda *agenda, const struct agenda_item *item)
{
    struct agenda_item fresh = *item;
    size_t at = agenda->count++;

    if (agenda->count > agenda->capacity) {
        agenda->capacity = agenda->capacity ? 2 * agenda->capacity : 256;
        agenda->heap = memory_resize(agenda->heap,
                                     agenda->capacity * sizeof *agenda->heap);
    }
    fresh.sequence = agenda->sequence++;
    while (at > 0 && before(&fresh, &agenda->heap[(at - 1) / 2])) {
        agenda->heap[at] = agenda->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    agenda->heap[at] = fresh;
}

bool agenda_take(struct agenda *agenda, uint64_t end_us,
                 struct agenda_item *item)
{
    const struct agenda_item *last;
    size_t at = 0;
    size_t next;

    if (agenda->count == 0 || agenda->heap[0].at_us > end_us)
        return false;
    *item = agenda->heap[0];
    last = &agenda->heap[--agenda->count];
    while ((next = 2 * at + 1) < agenda->count) {
        if (next + 1 < agenda->count &&
            before(&agenda->heap[next + 1], &agenda->heap[next]))
            next++;
        if (!before(&agenda->heap[next], last))
            break;
        agenda->heap[at] = agenda->heap[next];
        at = next;
    }
    agenda->heap[at] = *last;
    return true;
}
