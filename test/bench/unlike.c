#include "test/bench/unlike.h"

#include "base/lang.h"
#include "base/memory.h"
#include "base/random.h"
#include "master/placement/preempt.h"
#include "test/bench/figure.h"

#include <stdio.h>

enum { UNLIKE_NODES = 5000 };

/* What the pods of a node are drawn from. */
struct unlike {
    const char *what;
    unsigned pods;  /* on each node */
    bool first_low; /* the first of them is of a priority below the others' */
    uint64_t least[2], most[2]; /* of cpu and memory; the odd ones swap them */
    uint64_t wanted[2];
};

static struct placement *unlike_new(const struct unlike *unlike,
                                    Kontor__V1__PodSpec *specs,
                                    Kontor__V1__Resources *messages)
{
    static const struct resources capacity = {{64000, 64000, 0, 0}};
    static char app[] = "batch";
    struct placement *placement = placement_new();
    struct random random = {7};

    for (uint64_t id = 1; id <= UNLIKE_NODES; id++) {
        struct placement_node full = {
            .id = id, .name = "n", .capacity = capacity};

        placement_set(placement, &full);
        for (uint64_t i = 0; i < unlike->pods; i++) {
            size_t at = (id - 1) * unlike->pods + i;
            struct resources want = {{0}};

            for (uint64_t k = 0; k < 2; k++)
                want.amount[(k + i) % 2] =
                    unlike->least[k] +
                    random_below(&random, unlike->most[k] - unlike->least[k]);
            kontor__v1__pod_spec__init(&specs[at]);
            kontor__v1__resources__init(&messages[at]);
            resources_tell(&want, &messages[at]);
            specs[at].resources = &messages[at];
            specs[at].app = app;
            specs[at].priority = unlike->first_low && i == 0 ? 0 : 1;
            placement_put(placement, id, at, &specs[at]);
        }
    }
    return placement;
}

/* How long the loop stands still for one that has to have room made. */
static void measure_unlike(const struct unlike *unlike)
{
    enum { ROUNDS = 20 };
    size_t pods = UNLIKE_NODES * (size_t)unlike->pods;
    Kontor__V1__PodSpec *specs = memory_array(pods, sizeof *specs);
    Kontor__V1__Resources *messages = memory_array(pods, sizeof *messages);
    struct placement *placement = unlike_new(unlike, specs, messages);
    Kontor__V1__PodSpec high = KONTOR__V1__POD_SPEC__INIT;
    struct placement_request request = {
        .want = {{unlike->wanted[0], unlike->wanted[1], 0, 0}},
        .node = "",
        .spec = &high};
    uint64_t worst = 0;
    size_t fewest = SIZE_MAX;
    char what[64], ours[32];

    high.priority = 2;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t began = spent_ns(), ns;
        struct placement_victims victims =
            placement_preempt(placement, &request);

        ns = spent_ns() - began;
        worst = ns > worst ? ns : worst;
        fewest = victims.count < fewest ? victims.count : fewest;
        for (size_t k = 0; k < victims.count; k++)
            placement_take(placement, victims.node_id, victims.pod_ids[k]);
        free(victims.pod_ids);
    }
    snprintf(what, sizeof what, "  %zu of %u %s go", fewest, unlike->pods,
             unlike->what);
    snprintf(ours, sizeof ours, "%.1f ms", (double)worst / 1e6);
    figure(what, ours, "<= 50 ms", worst <= 50000000, "the longest of 20");
    placement_free(placement);
    free(specs);
    free(messages);
}

void unlike_measure(void)
{
    static const struct unlike all[] = {
        {"unlike pods", 30, false, {500, 500}, {3500, 3500}, {9000, 8000}},
        {"unlike pods", 30, false, {500, 500}, {3500, 3500}, {15000, 14000}},
        {"with much of one resource",
         30,
         false,
         {800, 200},
         {820, 220},
         {2079, 2079}},
        {"unlike pods, one low,", 300, true, {20, 20}, {400, 400}, {900, 800}},
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        measure_unlike(&all[i]);
}
