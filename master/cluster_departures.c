#include "master/cluster_departures.h"

#include "base/memory.h"
#include "master/cluster_pods.h"

#include <assert.h>

void departures_init(struct departures *departures)
{
    *departures = (struct departures){.count = 0};
    list_init(&departures->list);
}

void departure_begin(struct departures *departures, uint64_t node_id,
                     struct pod *pod, uint32_t generation)
{
    struct departure *departure = memory_new(sizeof *departure);

    assert(!pod->departure);
    departure->all = departures;
    departure->pod = pod;
    departure->node_id = node_id;
    departure->generation = generation;
    pod->departure = departure;
    list_append(&departures->list, &departure->link);
    resources_add(&departures->wants, &pod->facts.spec->want);
    departures->count++;
}

void departure_end(struct pod *pod)
{
    struct departure *departure = pod->departure;
    struct departures *all;

    if (!departure)
        return;
    all = departure->all;
    all->wants = resources_less(&all->wants, &pod->facts.spec->want);
    all->count--;
    list_remove(&departure->link);
    pod->departure = NULL;
    free(departure);
}

bool departure_is(const struct pod *pod, uint64_t node_id, uint32_t generation)
{
    return pod && pod->departure && pod->departure->node_id == node_id &&
           pod->departure->generation == generation;
}
