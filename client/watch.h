/* watch.h - the cluster's events without gaps.
 *
 * When the master that serves them goes away, the next one is asked to go
 * on behind the last event that was seen. */
#pragma once

#include "client/stream.h"

struct watch {
    struct contact *contact; /* borrowed */
    const char *pod;         /* borrowed; only this pod's events, or "" */
    const char *app;         /* the same of an app; NULL: of all */
    bool until_now;          /* end with what happened before */
    uint64_t last_index;     /* of the last event; in: watch from here */

    struct stream *stream; /* NULL between two of them */
    unsigned seen;         /* events that had last_index */
    unsigned skip;         /* of them, still to come again */
};

/* The next event, the caller's (message_free()); NULL at the end, with
 * `until_now`. DEADLINE_EXCEEDED: none until `deadline_ms`, the watch goes
 * on. OUT_OF_RANGE: so old events are not kept any more. */
int watch_next(struct watch *watch, uint64_t deadline_ms,
               Kontor__V1__Event **out, struct error *why);
void watch_fini(struct watch *watch);
