#include "master/placement/priorities.h"

#include "base/memory.h"

#include <assert.h>

struct priority_count {
    uint64_t rank; /* the lowest priority has the lowest */
    size_t pods;
};

static uint64_t rank_of(int32_t priority)
{
    return (uint64_t)((int64_t)priority - INT32_MIN);
}

/* The first of that rank or a higher one, or NULL. */
static struct priority_count *find_from(const struct priorities *priorities,
                                        uint64_t rank)
{
    return order_first(&priorities->counts,
                       &(struct order_query){.kinds = 1, .from_rank = rank});
}

static void enter(struct priorities *priorities, uint64_t rank, size_t pods)
{
    struct priority_count *count = memory_new(sizeof *count);

    *count = (struct priority_count){rank, pods};
    order_insert(
        &priorities->counts,
        &(struct order_item){.key = {rank, 0}, .kinds = 1, .what = count});
}

static void leave(struct priorities *priorities, struct priority_count *count)
{
    order_remove(&priorities->counts, (struct order_key){count->rank, 0});
    free(count);
}

void priorities_fini(struct priorities *priorities)
{
    struct priority_count *count;

    while ((count = find_from(priorities, 0)))
        leave(priorities, count);
}

void priorities_copy(struct priorities *to, const struct priorities *from)
{
    const struct priority_count *count = find_from(from, 0);

    for (; count; count = find_from(from, count->rank + 1))
        enter(to, count->rank, count->pods);
}

void priorities_add(struct priorities *priorities, int32_t priority)
{
    uint64_t rank = rank_of(priority);
    struct priority_count *count = find_from(priorities, rank);

    if (count && count->rank == rank)
        count->pods++;
    else
        enter(priorities, rank, 1);
}

void priorities_take(struct priorities *priorities, int32_t priority)
{
    struct priority_count *count = find_from(priorities, rank_of(priority));

    assert(count && count->rank == rank_of(priority));
    if (--count->pods == 0)
        leave(priorities, count);
}

int32_t priorities_lowest(const struct priorities *priorities)
{
    struct order_key key;

    if (!order_lowest(&priorities->counts, &key))
        return INT32_MAX;
    return (int32_t)((int64_t)key.rank + INT32_MIN);
}
