#include "master/keeper.h"

#include "base/memory.h"
#include "master/placement/single.h"
#include "master/placer.h"

enum {
    PATIENCE_MS = 30000,
    TURN_MS = 60000,
    SEARCH_EVERY_MS = 1000,
    TRY_EVERY_MS = 50,
    SEARCHED_MAX = 256, /* of those who have waited long */
    LOOKS_A_NODE = 16,  /* that is opened and closed, see matcher.c */
};

void keeper_init(struct keeper *keeper)
{
    *keeper = (struct keeper){.patience_ms = PATIENCE_MS, .turn_ms = TURN_MS};
}

void keeper_fini(struct keeper *keeper)
{
    free(keeper->nodes);
}

/* ---- closing and opening ---- */

static void set_kept(struct placer *placer, bool kept)
{
    const struct keeper *keeper = &placer->keeper;

    for (size_t i = 0; i < keeper->count; i++) {
        keeper->nodes[i]->kept = kept;
        placer_see(placer, keeper->nodes[i]);
    }
    placer->looks_left -= (int64_t)keeper->count * LOOKS_A_NODE;
}

void keeper_open(struct placer *placer)
{
    placer->keeper.tried_ms = placer->pending.now_ms;
    placer->keeper.gained = false;
    set_kept(placer, false);
}

void keeper_close(struct placer *placer)
{
    set_kept(placer, true);
}

void keeper_release(struct placer *placer)
{
    struct keeper *keeper = &placer->keeper;

    set_kept(placer, false);
    for (size_t i = 0; i < keeper->count; i++)
        placer_help(placer, keeper->nodes[i]);
    free(keeper->nodes);
    keeper->nodes = NULL;
    keeper->count = 0;
    placer->pending.favoured = NULL;
}

bool keeper_is_due(const struct placer *placer)
{
    const struct keeper *keeper = &placer->keeper;
    const struct pending *pending = &placer->pending;

    return pending->favoured &&
           pending->now_ms - keeper->tried_ms >= TRY_EVERY_MS &&
           (keeper->gained ||
            pending_highest(pending) > seeker_priority(pending->favoured));
}

/* ---- which nodes ---- */

struct choice {
    struct node *node;
    uint64_t units;    /* so many fit there now */
    uint32_t distance; /* when none does: the share that is short */
};

static int closest_first(const void *left, const void *right)
{
    const struct choice *a = left;
    const struct choice *b = right;

    if (a->units != b->units)
        return a->units > b->units ? -1 : 1;
    if (a->distance != b->distance)
        return a->distance < b->distance ? -1 : 1;
    return a->node->id < b->node->id ? -1 : 1;
}

static struct choice judge(struct node *node, const struct resources *room,
                           const struct resources *want)
{
    struct resources lacking = resources_less(want, room);
    struct choice choice = {.node = node, .units = UINT32_MAX};

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t wanted = want->amount[i];
        uint32_t share = resource_share(lacking.amount[i], wanted);

        if (wanted > 0 && room->amount[i] / wanted < choice.units)
            choice.units = room->amount[i] / wanted;
        if (share > choice.distance)
            choice.distance = share;
    }
    return choice;
}

/* All nodes that may ever take one of its pods. */
static size_t find_choices(struct placer *placer, const struct seeker *seeker,
                           struct choice *choices)
{
    const struct spec *spec = seeker->group->spec;
    size_t count = 0;

    list_for_each(link, next, &placer->cluster->nodes.all)
    {
        struct node *node = container_of(link, struct node, all);
        struct resources room;

        if (resources_fit(&node->capacity, &spec->want) &&
            placement_offers(placer->view, node->id, &room) &&
            placement_suits(placer->view, node->id, spec->message) &&
            placement_admits(placer->view, node->id, spec->message))
            choices[count++] = judge(node, &room, &spec->want);
    }
    qsort(choices, count, sizeof *choices, closest_first);
    return count;
}

/* Keep nodes for it; of those where nothing fits now, not the ones that were
 * kept for it before. False: there are none. */
static bool favour(struct placer *placer, struct seeker *seeker)
{
    struct keeper *keeper = &placer->keeper;
    struct choice *choices =
        memory_array(placer->cluster->nodes.count + 1, sizeof *choices);
    size_t count = find_choices(placer, seeker, choices);
    size_t wanted = seeker->group->gang ? seeker->group->count : 1;
    size_t ready = 0;

    while (ready < count && choices[ready].units > 0)
        ready++;
    if (wanted > count)
        wanted = count;
    keeper->nodes = memory_array(wanted + 1, sizeof(struct node *));
    for (keeper->count = 0; keeper->count < wanted; keeper->count++) {
        size_t at = keeper->count;

        if (at >= ready)
            at =
                ready + (at - ready + seeker->turns * wanted) % (count - ready);
        keeper->nodes[keeper->count] = choices[at].node;
    }
    free(choices);
    seeker->turns++;
    placer->pending.favoured = seeker;
    keeper->gained_ms = placer->pending.now_ms;
    keeper->gained = ready > 0;
    set_kept(placer, true);
    if (wanted == 0)
        keeper_release(placer);
    return wanted > 0;
}

/* ---- for whom ---- */

/* Of those who have waited long the first in order. */
static struct seeker *find_neglected(const struct placer *placer)
{
    const struct pending *pending = &placer->pending;
    struct seeker *best = NULL;
    unsigned searched = 0;

    list_for_each(link, next, &pending->by_age)
    {
        struct seeker *seeker = container_of(link, struct seeker, by_age);

        if (searched++ == SEARCHED_MAX ||
            pending->now_ms - seeker->since_ms < placer->keeper.patience_ms)
            break;
        if (seeker->next && (!best || order_key_less(seeker->key, best->key)))
            best = seeker;
    }
    return best;
}

void keeper_step(struct placer *placer)
{
    struct keeper *keeper = &placer->keeper;
    struct pending *pending = &placer->pending;
    struct seeker *seeker = pending->favoured;

    if (keeper->gained)
        keeper->gained_ms = pending->now_ms;
    if (seeker && pending->now_ms - keeper->gained_ms >= keeper->turn_ms)
        pending_wait_anew(pending, seeker);
    if (keeper->count > 0 && (!seeker || pending->now_ms - seeker->since_ms <
                                             placer->keeper.patience_ms))
        keeper_release(placer); /* it was placed, or it was in vain */
    if (pending->favoured ||
        pending->now_ms - keeper->searched_ms < SEARCH_EVERY_MS)
        return;
    keeper->searched_ms = pending->now_ms;
    seeker = find_neglected(placer);
    if (seeker && !favour(placer, seeker))
        pending_wait_anew(pending, seeker);
}
