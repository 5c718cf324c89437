/* cluster_requests.h - what recent writes were answered, by request id.
 *
 * Pure. A write that is sent again gets its first answer and is not done
 * again. The newest REQUESTS_MAX are remembered: at 10,000 writes a second
 * that is six seconds, many times what a failover takes. */
#pragma once

#include "base/error.h"
#include "base/map.h"
#include "master/cluster_text.h"

enum { REQUESTS_MAX = 65536 };

struct request_id {
    uint64_t high;
    uint64_t low;
};

struct request {
    struct map_link by_id;
    struct request_id id;
    uint64_t index;       /* of the command that was answered */
    uint64_t subject_id;  /* the pod or node it was about */
    uint32_t operation;   /* Kontor__V1__Command__OperationCase */
    uint32_t code;        /* 0: done; else what it was refused with */
    struct text *message; /* counted; why it was refused */
};

struct requests {
    struct request *ring; /* owned; REQUESTS_MAX, paged in as it is used */
    struct map by_id;
    uint64_t first; /* position of the oldest; slot is position mod MAX */
    uint64_t next;
};

void requests_init(struct requests *requests);
void requests_fini(struct requests *requests);

/* Both halves 0: no id was given; such a write is not remembered. */
static inline bool request_id_given(struct request_id id)
{
    return id.high != 0 || id.low != 0;
}

/* Borrowed until the next change; NULL when it is not remembered. */
const struct request *requests_find(const struct requests *requests,
                                    struct request_id id);

/* Remember; the id is not there yet. Takes request->message; its link is not
 * looked at. */
void requests_add(struct requests *requests, const struct request *request);

/* first <= position < next. */
const struct request *requests_at(const struct requests *requests,
                                  uint64_t position);
