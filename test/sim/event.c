#include "test/sim/event.h"

#include "base/memory.h"

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us < b->at_us ||
           (a->at_us == b->at_us && a->sequence < b->sequence);
}

static void swap(struct event *a, struct event *b)
{
    struct event kept = *a;

    *a = *b;
    *b = kept;
}

void event_push(struct event_queue *queue, const struct event *event)
{
    size_t at = queue->count++;

    if (queue->count > queue->capacity) {
        queue->capacity = queue->capacity ? 2 * queue->capacity : 256;
        queue->heap =
            memory_resize(queue->heap, queue->capacity * sizeof *queue->heap);
    }
    queue->heap[at] = *event;
    queue->heap[at].sequence = queue->sequence++;
    while (at > 0 && before(&queue->heap[at], &queue->heap[(at - 1) / 2])) {
        swap(&queue->heap[at], &queue->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

bool event_pop(struct event_queue *queue, struct event *event)
{
    size_t at = 0;

    if (queue->count == 0)
        return false;
    *event = queue->heap[0];
    queue->heap[0] = queue->heap[--queue->count];
    for (;;) {
        size_t first = 2 * at + 1;

        if (first >= queue->count)
            return true;
        if (first + 1 < queue->count &&
            before(&queue->heap[first + 1], &queue->heap[first]))
            first++;
        if (!before(&queue->heap[first], &queue->heap[at]))
            return true;
        swap(&queue->heap[first], &queue->heap[at]);
        at = first;
    }
}

void event_fini(struct event *event)
{
    raft_message_fini(&event->message);
    if (event->drop)
        event->drop(event->data);
}

void event_queue_fini(struct event_queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        event_fini(&queue->heap[i]);
    free(queue->heap);
}
