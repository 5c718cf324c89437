/* Plan: what would happen. The first moves are told, and how many there are. */
#include "master/service.h"

#include "base/memory.h"
#include "master/cluster_apply.h"
#include "master/planner.h"
#include "master/spec_check.h"

#include <string.h>

enum { PAGE_DEFAULT = 1000, PAGE_MAX = 8000 };

/* What is told of the plan; texts are borrowed from the state. */
struct telling {
    struct plan *plan;
    const Kontor__V1__PodSpec *spec; /* of a pod that is not there yet */
    const struct spec *reason_spec;  /* that `reason` is about */
    char *reason;                    /* owned */
    char **reasons;                  /* owned, each */
    size_t reason_count;
};

static char *name_of(const struct cluster *cluster, uint64_t node_id)
{
    static char new_node[] = "new";
    const struct node *node = nodes_find(&cluster->nodes, node_id);

    return node ? node->name->bytes : new_node;
}

/* Why it fits nowhere, then. Pods of one spec, one after the other, share it:
 * each costs a look at every node. */
static char *why_pending(struct telling *telling, const struct plan_pod *pod)
{
    const struct spec *spec = pod->pod ? pod->pod->facts.spec : NULL;
    struct placement_request request =
        placer_request(spec ? spec->message : telling->spec);
    char text[PLACEMENT_SUMMARY_MAX];

    if (telling->reason && spec == telling->reason_spec)
        return telling->reason;
    telling->reason_spec = spec;
    telling->reason =
        memory_string(placement_summarise(telling->plan->copy, &request, text));
    telling->reasons[telling->reason_count++] = telling->reason;
    return telling->reason;
}

static void tell(struct telling *telling, const struct plan_pod *pod,
                 Kontor__V1__PlannedMove *out)
{
    static char fails[] = "may run only once: it fails";
    static char stays[] = "may run only once: it stays until it has ended";
    const struct cluster *cluster = telling->plan->cluster;

    kontor__v1__planned_move__init(out);
    out->pod = pod->pod ? pod->pod->facts.name->bytes : telling->spec->app;
    if (pod->from_id)
        out->from = name_of(cluster, pod->from_id);
    switch (pod->fate) {
    case PLAN_PLACED:
        out->to = name_of(cluster, pod->to_id);
        return;
    case PLAN_PENDING:
        out->reason = why_pending(telling, pod);
        return;
    case PLAN_FAILS:
        out->reason = fails;
        return;
    case PLAN_STAYS:
        out->reason = stays;
        return;
    case PLAN_FATES:
        return;
    }
}

static void answer_with(struct call *call, struct plan *plan,
                        const Kontor__V1__PodSpec *spec, uint32_t page_size)
{
    Kontor__V1__PlanResponse response = KONTOR__V1__PLAN_RESPONSE__INIT;
    size_t page = page_size ? page_size : PAGE_DEFAULT;
    Kontor__V1__PlannedMove *moves;
    struct telling telling = {.plan = plan, .spec = spec};

    if (page > PAGE_MAX)
        page = PAGE_MAX;
    if (page > plan->count)
        page = plan->count;
    moves = memory_array(page + 1, sizeof *moves);
    telling.reasons = memory_array(page + 1, sizeof(char *));
    response.moves = memory_array(page + 1, sizeof(Kontor__V1__PlannedMove *));
    for (size_t i = 0; i < page; i++) {
        tell(&telling, &plan->pods[i], &moves[i]);
        response.moves[response.n_moves++] = &moves[i];
    }
    response.index = plan->cluster->index;
    response.nodes_before = (uint32_t)plan->nodes_before;
    response.nodes_after = (uint32_t)plan->nodes_after;
    response.placed = plan->fates[PLAN_PLACED];
    response.pending = plan->fates[PLAN_PENDING];
    response.failing = plan->fates[PLAN_FAILS];
    response.staying = plan->fates[PLAN_STAYS];
    service_reply(call, &response.base);
    while (telling.reason_count > 0)
        free(telling.reasons[--telling.reason_count]);
    free(telling.reasons);
    free(response.moves);
    free(moves);
}

/* ---- what is asked ---- */

static int find_node(const struct cluster *cluster, const char *name,
                     const struct node **out, struct error *why)
{
    *out = nodes_find_name(&cluster->nodes, name);
    if (*out)
        return 0;
    return error_set(why, ERROR_NOT_FOUND, "no node is called \"%.80s\"", name);
}

/* A new node that offers next to nothing, or more than there can be. */
static int check_capacity(const struct resources *capacity, struct error *why)
{
    if (capacity->amount[RESOURCE_CPU] == 0 ||
        capacity->amount[RESOURCE_MEMORY] == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "add: a node has cpu and memory");
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (capacity->amount[i] > SPEC_AMOUNT_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "add: more %s than there can be",
                             resource_name((enum resource_kind)i));
    }
    return 0;
}

/* How many of the things that can be planned are asked for. */
static int count_asked(const Kontor__V1__PlanRequest *request)
{
    return (request->schedule != NULL) + (request->drain != NULL) +
           (request->lose[0] != '\0') + (request->add != NULL) +
           (request->rebalance != NULL);
}

static int make_plan(struct plan *plan, const Kontor__V1__PlanRequest *request,
                     struct checked_spec *checked, struct error *why)
{
    struct resources capacity = resources_of(request->add);
    const struct node *node = NULL;

    if (count_asked(request) != 1)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a plan is of one of schedule, drain, lose, add and "
                         "rebalance");
    if (request->schedule &&
        spec_check(request->schedule->spec, checked, why) != 0)
        return why->code;
    if (request->add && check_capacity(&capacity, why) != 0)
        return why->code;
    if ((request->drain || request->lose[0]) &&
        find_node(plan->cluster,
                  request->drain ? request->drain->node : request->lose, &node,
                  why) != 0)
        return why->code;
    if (request->schedule)
        plan_schedule(plan, &checked->spec);
    else if (request->drain)
        plan_drain(plan, node, request->drain->force);
    else if (request->add)
        plan_add(plan, &capacity);
    else if (request->rebalance)
        plan_rebalance(plan, service_moves_max(request->rebalance));
    else
        plan_lose(plan, node);
    return 0;
}

static void answer(struct master *master, struct call *call,
                   const ProtobufCMessage *message)
{
    const Kontor__V1__PlanRequest *request =
        (const Kontor__V1__PlanRequest *)message;
    struct checked_spec checked = {.spec = KONTOR__V1__POD_SPEC__INIT};
    struct plan plan;
    struct error why;

    plan_init(&plan, &master->placer);
    if (make_plan(&plan, request, &checked, &why) != 0)
        service_fail(call, &why);
    else
        answer_with(call, &plan, &checked.spec, request->page_size);
    plan_fini(&plan);
}

void service_plan(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, answer);
}
