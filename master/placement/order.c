#include "master/placement/order.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

enum { FANOUT = 12, HALF = FANOUT / 2 };

/* A leaf's items are nodes; another page's are pages, summed up.
 *
 * Pages are split when full and freed when empty; in between they may hold
 * any number. There are never more leaves than nodes. */
struct order_page {
    unsigned count;
    bool leaf;
    struct order_item items[FANOUT];
};

static void page_free(struct order_page *page)
{
    if (!page)
        return;
    for (unsigned i = 0; i < page->count && !page->leaf; i++)
        page_free(page->items[i].what);
    free(page);
}

void order_fini(struct order *order)
{
    page_free(order->root);
    order->root = NULL;
}

static void widen(struct order_item *sum, const struct order_item *item)
{
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t a = sum->room.amount[i];
        uint64_t b = item->room.amount[i];

        sum->room.amount[i] = a > b ? a : b;
    }
    sum->kinds |= item->kinds;
}

static struct order_item sum_up(struct order_page *page)
{
    struct order_item sum = page->items[0];

    for (unsigned i = 1; i < page->count; i++)
        widen(&sum, &page->items[i]);
    sum.what = page;
    return sum;
}

/* The last item that does not stand behind `key`, or the first one. */
static unsigned page_find(const struct order_page *page, struct order_key key)
{
    unsigned at = 0;

    while (at + 1 < page->count &&
           !order_key_less(key, page->items[at + 1].key))
        at++;
    return at;
}

/* Move the items from `from` on, to make room or to close a gap. */
static void page_shift(struct order_page *page, unsigned to, unsigned from)
{
    unsigned moved = page->count - from;

    memmove(&page->items[to], &page->items[from],
            moved * sizeof page->items[0]);
    page->count = to + moved;
}

/* The upper half becomes a page of its own, the next item of the parent. */
static void page_split(struct order_page *parent, unsigned at)
{
    struct order_page *page = parent->items[at].what;
    struct order_page *upper = memory_new(sizeof *upper);

    upper->leaf = page->leaf;
    upper->count = page->count - HALF;
    memcpy(upper->items, &page->items[HALF],
           upper->count * sizeof upper->items[0]);
    page->count = HALF;
    page_shift(parent, at + 2, at + 1);
    parent->items[at] = sum_up(page);
    parent->items[at + 1] = sum_up(upper);
}

/* `page` is not full. */
static void page_insert(struct order_page *page, const struct order_item *item)
{
    while (!page->leaf) {
        unsigned at = page_find(page, item->key);
        struct order_page *child = page->items[at].what;

        if (child->count == FANOUT) {
            page_split(page, at);
            continue;
        }
        if (order_key_less(item->key, page->items[at].key))
            page->items[at].key = item->key;
        widen(&page->items[at], item);
        page = child;
    }
    if (page->count > 0) {
        unsigned at = page_find(page, item->key);

        if (order_key_less(page->items[at].key, item->key))
            at++;
        page_shift(page, at + 1, at);
        page->items[at] = *item;
    } else {
        page->items[page->count++] = *item;
    }
}

void order_insert(struct order *order, const struct order_item *item)
{
    if (!order->root) {
        order->root = memory_new(sizeof *order->root);
        order->root->leaf = true;
    }
    if (order->root->count == FANOUT) {
        struct order_page *above = memory_new(sizeof *above);

        above->count = 1;
        above->items[0].what = order->root;
        page_split(above, 0);
        order->root = above;
    }
    page_insert(order->root, item);
}

static void page_remove(struct order_page *page, struct order_key key)
{
    unsigned at = page_find(page, key);

    if (!page->leaf) {
        struct order_page *child = page->items[at].what;

        page_remove(child, key);
        if (child->count > 0) {
            page->items[at] = sum_up(child);
            return;
        }
        free(child);
    } else {
        assert(page->items[at].key.id == key.id &&
               page->items[at].key.rank == key.rank);
    }
    page_shift(page, at, at + 1);
}

void order_remove(struct order *order, struct order_key key)
{
    struct order_page *root = order->root;

    assert(root);
    page_remove(root, key);
    if (root->count == 0) {
        free(root);
        order->root = NULL;
    } else if (root->count == 1 && !root->leaf) {
        order->root = root->items[0].what;
        free(root);
    }
}

static bool has_room(const struct order_item *item,
                     const struct order_query *query)
{
    return (item->kinds & query->kinds) != 0 &&
           resources_fit(&item->room, &query->want);
}

static bool accepted(const struct order_item *item,
                     const struct order_query *query)
{
    return !query->accept || query->accept(query->data, item->what);
}

static void *page_first(const struct order_page *page,
                        const struct order_query *query)
{
    unsigned at = page_find(page, (struct order_key){query->from_rank, 0});

    if (query->looks)
        *query->looks += page->count;
    for (; at < page->count; at++) {
        const struct order_item *item = &page->items[at];
        void *found = NULL;

        if (!has_room(item, query))
            continue;
        if (!page->leaf)
            found = page_first(item->what, query);
        else if (item->key.rank >= query->from_rank && accepted(item, query))
            found = item->what;
        if (found)
            return found;
    }
    return NULL;
}

void *order_first(const struct order *order, const struct order_query *query)
{
    return order->root ? page_first(order->root, query) : NULL;
}

bool order_lowest(const struct order *order, struct order_key *key)
{
    if (!order->root)
        return false;
    *key = order->root->items[0].key;
    return true;
}

static bool page_last_rank(const struct order_page *page,
                           const struct order_query *query, uint64_t *rank)
{
    for (unsigned at = page->count; at-- > 0;) {
        const struct order_item *item = &page->items[at];

        if (!has_room(item, query))
            continue;
        if (!page->leaf) {
            if (page_last_rank(item->what, query, rank))
                return true;
        } else if (accepted(item, query)) {
            *rank = item->key.rank;
            return true;
        }
    }
    return false;
}

bool order_last_rank(const struct order *order, const struct order_query *query,
                     uint64_t *rank)
{
    return order->root && page_last_rank(order->root, query, rank);
}
