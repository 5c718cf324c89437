#include "master/cluster_requests.h"

#include "base/memory.h"

#include <assert.h>

void requests_init(struct requests *requests)
{
    *requests = (struct requests){0};
    map_init(&requests->by_id);
    requests->ring = memory_array(REQUESTS_MAX, sizeof *requests->ring);
}

static struct request *slot(const struct requests *requests, uint64_t position)
{
    return &requests->ring[position % REQUESTS_MAX];
}

void requests_fini(struct requests *requests)
{
    for (uint64_t at = requests->first; at < requests->next; at++)
        text_drop(slot(requests, at)->message);
    map_fini(&requests->by_id);
    free(requests->ring);
    *requests = (struct requests){0};
}

static uint64_t hash_of(struct request_id id)
{
    return map_hash_id(id.high) ^ id.low;
}

const struct request *requests_find(const struct requests *requests,
                                    struct request_id id)
{
    uint64_t hash = hash_of(id);
    struct map_link *link = map_chain(&requests->by_id, hash);

    for (; link; link = link->next) {
        struct request *request = container_of(link, struct request, by_id);

        if (request->id.high == id.high && request->id.low == id.low)
            return request;
    }
    return NULL;
}

void requests_add(struct requests *requests, const struct request *request)
{
    struct request *room = slot(requests, requests->next);

    assert(!requests_find(requests, request->id));
    if (requests->next - requests->first == REQUESTS_MAX) {
        map_remove(&requests->by_id, &room->by_id);
        text_drop(room->message);
        requests->first++;
    }
    *room = *request;
    map_insert(&requests->by_id, &room->by_id, hash_of(request->id));
    requests->next++;
}

const struct request *requests_at(const struct requests *requests,
                                  uint64_t position)
{
    assert(position >= requests->first && position < requests->next);
    return slot(requests, position);
}
