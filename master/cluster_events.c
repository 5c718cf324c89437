#include "master/cluster_events.h"

#include "base/memory.h"

#include <assert.h>
#include <inttypes.h>

enum { CAPACITY_MIN = 64 };

void events_init(struct events *events)
{
    *events = (struct events){0};
}

static struct event *slot(const struct events *events, uint64_t sequence)
{
    return &events->ring[sequence & (events->capacity - 1)];
}

void event_fini(struct event *event, struct specs *specs)
{
    text_drop(event->subject);
    text_drop(event->message);
    if (event->pod.spec)
        pod_facts_fini(&event->pod, specs);
}

void events_fini(struct events *events, struct specs *specs)
{
    for (uint64_t at = events->first; at < events->next; at++)
        event_fini(slot(events, at), specs);
    free(events->ring);
    *events = (struct events){0};
}

static void grow(struct events *events)
{
    struct events old = *events;

    events->capacity = old.capacity ? old.capacity * 2 : CAPACITY_MIN;
    events->ring = memory_array(events->capacity, sizeof *events->ring);
    for (uint64_t at = old.first; at < old.next; at++)
        *slot(events, at) = *slot(&old, at);
    free(old.ring);
}

void events_add(struct events *events, struct specs *specs,
                const struct event *event)
{
    if (events->next - events->first == events->capacity) {
        if (events->capacity < EVENTS_MAX) {
            grow(events);
        } else {
            struct event *oldest = slot(events, events->first);

            events->dropped_index = oldest->index;
            event_fini(oldest, specs);
            events->first++;
        }
    }
    *slot(events, events->next) = *event;
    events->next++;
}

const struct event *events_at(const struct events *events, uint64_t sequence)
{
    assert(sequence >= events->first && sequence < events->next);
    return slot(events, sequence);
}

int events_seek(const struct events *events, uint64_t after_index,
                uint64_t *sequence, struct error *why)
{
    uint64_t low = events->first;
    uint64_t high = events->next;

    if (after_index > 0 && after_index < events->dropped_index)
        return error_set(why, ERROR_OUT_OF_RANGE,
                         "events after index %" PRIu64 " are gone up to "
                         "%" PRIu64 ": list the pods, then watch from the "
                         "list's index",
                         after_index, events->dropped_index);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (slot(events, middle)->index <= after_index)
            low = middle + 1;
        else
            high = middle;
    }
    *sequence = low;
    return 0;
}
