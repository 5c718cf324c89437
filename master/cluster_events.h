/* cluster_events.h - what happened lately, for those who watch.
 *
 * Pure. A ring of the newest EVENTS_MAX events. Each has a sequence number,
 * which counts within this process only; cursors are sequence numbers.
 * Indexes never decrease; events of one command share theirs. */
#pragma once

#include "master/cluster_pods.h"

enum { EVENTS_MAX = 32768 };

struct event {
    uint64_t index;
    uint64_t time_ms;
    int32_t kind;         /* Kontor__V1__EventKind */
    struct text *subject; /* counted, as message is */
    struct text *message;
    struct pod_facts pod; /* spec NULL: the event is about a node */
};

struct events {
    struct event *ring; /* owned; a power of two, grows up to EVENTS_MAX */
    size_t capacity;
    uint64_t first;         /* sequence of the oldest that is kept */
    uint64_t next;          /* sequence of the one to come */
    uint64_t dropped_index; /* of the newest that is not kept; 0: none */
};

void events_init(struct events *events);
void events_fini(struct events *events, struct specs *specs);

/* Takes what `event` holds. */
void events_add(struct events *events, struct specs *specs,
                const struct event *event);

/* first <= sequence < next. Borrowed until the next change. */
const struct event *events_at(const struct events *events, uint64_t sequence);

/* The sequence of the first event with a greater index than `after_index`;
 * after_index 0: of the oldest that is kept. OUT_OF_RANGE when some of those
 * asked for are gone. O(log events). */
int events_seek(const struct events *events, uint64_t after_index,
                uint64_t *sequence, struct error *why);

/* Let go of what one holds that was not added. */
void event_fini(struct event *event, struct specs *specs);
