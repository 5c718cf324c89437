/* Room for the pods of writes. What has arrived is placed together, the largest
 * first; nothing waits for more. */
#include "master/service.h"

#include "base/clock.h"
#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Writes, and pods, that are placed at once; more make another batch, also of
 * one write. What is left after so long waits until the loop comes by again:
 * the others must hear of us meanwhile. */
enum { ARRIVALS_MAX = 512, ARRIVED_PODS_MAX = 1024, PLACE_NS = 8000000 };

static Kontor__V1__PodSpec *copy_spec(const Kontor__V1__PodSpec *spec)
{
    size_t length = kontor__v1__pod_spec__get_packed_size(spec);
    CLEANUP(free_pointer) uint8_t *bytes = memory_new(length);
    Kontor__V1__PodSpec *copy;

    kontor__v1__pod_spec__pack(spec, bytes);
    copy = kontor__v1__pod_spec__unpack(NULL, length, bytes);
    assert(copy);
    return copy;
}

void service_place(struct write *write, const Kontor__V1__PodSpec *spec,
                   uint32_t pods, service_placed_cb *placed)
{
    assert(pods > 0);
    write->spec = copy_spec(spec);
    write->pods = pods;
    write->placed = placed;
    write->proposal.changes = pods;
    list_append(&write->master->arrivals, &write->arrived);
}

/* How many pods of a write are placed beside `pods` of others. A gang is placed
 * whole and by itself: its room is given back when it does not fit. */
static uint32_t share_of(const struct write *write, size_t pods)
{
    uint32_t left = write->pods - write->tried;

    if (write->gang)
        return pods == 0 ? left : 0;
    return left < ARRIVED_PODS_MAX - pods ? left
                                          : (uint32_t)(ARRIVED_PODS_MAX - pods);
}

/* Those of the first that arrived that have a share in what is placed now, the
 * last perhaps with a part; *pods in all. Returns how many they are. */
static size_t share_out(const struct master *master,
                        struct write *writes[ARRIVALS_MAX], size_t *pods)
{
    size_t count = 0;

    *pods = 0;
    list_for_each(link, next, &master->arrivals)
    {
        struct write *write = container_of(link, struct write, arrived);

        write->share = share_of(write, *pods);
        if (count == ARRIVALS_MAX || write->share == 0)
            break;
        writes[count++] = write;
        *pods += write->share;
        if (write->gang)
            break;
    }
    return count;
}

static bool all_have_room(const struct write *write)
{
    for (uint32_t i = 0; i < write->pods; i++)
        if (!write->holds[i])
            return false;
    return true;
}

/* All of its pods were tried; `gang_fit` is how many of a gang would fit. */
static void finish(struct write *write, size_t gang_fit)
{
    Kontor__V1__PodSpec *spec = write->spec;
    struct placement_request wanted = placer_request(spec);
    char reason[PLACEMENT_SUMMARY_MAX] = "";

    if (write->gang && gang_fit < write->pods)
        snprintf(reason, sizeof reason, PLACER_GANG_WAITS, write->pods,
                 gang_fit);
    else if (!all_have_room(write))
        placer_reason(&write->master->placer, &wanted, reason);
    list_remove(&write->arrived);
    write->spec = NULL;
    write->placed(write, spec, reason);
    kontor__v1__pod_spec__free_unpacked(spec, NULL);
}

/* Keep what was found for its share. */
static void keep(struct write *write, struct placement_hold *const *holds)
{
    if (!write->holds)
        write->holds = memory_array(write->pods, sizeof *holds);
    memcpy(&write->holds[write->tried], holds, write->share * sizeof *holds);
    write->tried += write->share;
}

static void place_some(struct master *master)
{
    struct write *writes[ARRIVALS_MAX];
    size_t pods, at = 0;
    size_t count = share_out(master, writes, &pods);
    size_t fit = pods;
    CLEANUP(free_pointer)
    struct placement_request *wanted = memory_array(pods, sizeof *wanted);
    CLEANUP(free_pointer)
    struct placement_hold **holds =
        memory_array(pods, sizeof(struct placement_hold *));

    assert(count > 0); /* the first has a share */
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < writes[i]->share; k++)
            wanted[at++] = placer_request(writes[i]->spec);
    if (writes[0]->gang) /* where equals stop to fit: so many do */
        placement_place_gang(master->placer.view, wanted, pods, holds, &fit);
    else
        placement_place_all(master->placer.view, wanted, pods, holds);
    at = 0;
    for (size_t i = 0; i < count; i++) {
        keep(writes[i], &holds[at]);
        at += writes[i]->share;
        if (writes[i]->tried == writes[i]->pods)
            finish(writes[i], fit);
    }
}

/* Whoever leads now places them; our view of the nodes may be replaced. */
static void give_up(struct master *master)
{
    struct error why;

    error_set(&why, ERROR_UNAVAILABLE, "this master leads no longer");
    list_for_each(link, next, &master->arrivals)
    {
        list_remove(link);
        service_give_up(container_of(link, struct write, arrived), &why);
    }
}

bool service_place_step(struct master *master)
{
    uint64_t until_ns = clock_monotonic_ns() + PLACE_NS;

    if (!master_leads(master))
        give_up(master);
    while (!list_empty(&master->arrivals) && clock_monotonic_ns() < until_ns)
        place_some(master);
    return !list_empty(&master->arrivals);
}
