/* Plan: what would happen. The first moves are told, and how many there are. */
#include "master/service.h"

#include "base/memory.h"
#include "master/cluster_apply.h"
#include "master/planner.h"
#include "master/reasons.h"
#include "master/spec_check.h"

#include <inttypes.h>

enum { PAGE_DEFAULT = 1000, PAGE_MAX = 8000 };

/* What is told of the plan; texts are borrowed from the state, or are on the
 * list. */
struct telling {
    struct plan *plan;
    const Kontor__V1__PodSpec *spec; /* of pods that are not there yet */
    char *reason;                    /* of these; NULL: not asked for yet */
    struct reasons reasons;          /* of others */
    char **texts;                    /* owned, each */
    size_t text_count;
    Kontor__V1__Evenness before, after;
};

static char *keep(struct telling *telling, char *text)
{
    telling->texts[telling->text_count++] = text;
    return text;
}

static char *name_of_node(struct telling *telling, uint64_t node_id)
{
    static char new_node[] = "new";
    const struct cluster *cluster = telling->plan->cluster;
    const struct node *node = nodes_find(&cluster->nodes, node_id);

    if (node)
        return node->name->bytes;
    if (telling->plan->nodes_added == 1)
        return new_node;
    return keep(telling, memory_format("new-%" PRIu64,
                                       node_id - cluster->next_node_id + 1));
}

static char *name_of_new(struct telling *telling, uint32_t number)
{
    return keep(telling, memory_format("%s-%u", telling->spec->app, number));
}

static char *reason_of_new(const struct telling *telling)
{
    const struct plan *plan = telling->plan;
    struct placement_request request = placer_request(telling->spec);
    char text[PLACEMENT_SUMMARY_MAX];

    if (plan->gang)
        return memory_format(PLACER_GANG_WAITS, plan->gang, plan->gang_fit);
    if (plan->preempts_more)
        return memory_format(
            "%zu pods of lower priority have made room: whether "
            "more could was not worked out",
            plan->preempted);
    return memory_string(placement_summarise(plan->copy, &request, text));
}

/* Why it fits nowhere, then. */
static char *why_pending(struct telling *telling, const struct plan_pod *pod)
{
    const char *reason;

    if (pod->pod) {
        reason = reasons_find(&telling->reasons, pod->pod->facts.spec);
        return without_const(reason ? reason : PLACER_NOWHERE);
    }
    if (!telling->reason)
        telling->reason = keep(telling, reason_of_new(telling));
    return telling->reason;
}

static void tell(struct telling *telling, const struct plan_pod *pod,
                 Kontor__V1__PlannedMove *out)
{
    static char fails[] = "may run only once: it fails";
    static char stays[] = "may run only once: it stays until it has ended";

    kontor__v1__planned_move__init(out);
    out->pod = pod->pod ? without_const(pod->pod->name)
                        : name_of_new(telling, pod->number);
    if (pod->from_id)
        out->from = name_of_node(telling, pod->from_id);
    if (pod->for_whom)
        out->winner = without_const(pod->for_whom->name);
    else if (pod->winner)
        out->winner = name_of_new(telling, pod->winner);
    switch (pod->fate) {
    case PLAN_PLACED:
        out->to = name_of_node(telling, pod->to_id);
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

static void tell_sums(struct telling *telling,
                      Kontor__V1__PlanResponse *response)
{
    const struct plan *plan = telling->plan;

    response->index = plan->cluster->index;
    response->nodes_before = (uint32_t)plan->nodes_before;
    response->nodes_after = (uint32_t)plan->nodes_after;
    response->placed = plan->fates[PLAN_PLACED];
    response->pending = plan->fates[PLAN_PENDING];
    response->failing = plan->fates[PLAN_FAILS];
    response->staying = plan->fates[PLAN_STAYS];
    response->preempted = plan->preempted;
    response->nodes_added = plan->nodes_added;
    if (plan->even) {
        evenness_tell(&plan->even_before, &telling->before);
        evenness_tell(&plan->even_after, &telling->after);
        response->even_before = &telling->before;
        response->even_after = &telling->after;
    }
}

static void answer_with(struct call *call, struct plan *plan,
                        const Kontor__V1__PodSpec *spec, uint32_t page_size)
{
    enum { TEXTS_MAX = 3 }; /* of one pod */
    Kontor__V1__PlanResponse response = KONTOR__V1__PLAN_RESPONSE__INIT;
    size_t page = page_size ? page_size : PAGE_DEFAULT;
    Kontor__V1__PlannedMove *moves;
    struct telling telling = {
        .plan = plan,
        .spec = spec,
        .reasons = {.view = plan->copy, .nodes = plan->cluster->nodes.count}};

    if (page > PAGE_MAX)
        page = PAGE_MAX;
    if (page > plan->count)
        page = plan->count;
    moves = memory_array(page + 1, sizeof *moves);
    telling.texts = memory_array(page * TEXTS_MAX + 1, sizeof(char *));
    response.moves = memory_array(page + 1, sizeof(Kontor__V1__PlannedMove *));
    for (size_t i = 0; i < page; i++) {
        tell(&telling, &plan->pods[i], &moves[i]);
        response.moves[response.n_moves++] = &moves[i];
    }
    tell_sums(&telling, &response);
    service_reply(call, &response.base);
    while (telling.text_count > 0)
        free(telling.texts[--telling.text_count]);
    free(telling.texts);
    reasons_fini(&telling.reasons);
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

static int plan_addition(struct plan *plan,
                         const Kontor__V1__PlanRequest *request,
                         struct error *why)
{
    Kontor__V1__LabelChanges changes = KONTOR__V1__LABEL_CHANGES__INIT;
    struct plan_nodes nodes = {.capacity = resources_of(request->add),
                               .labels = request->add_labels,
                               .label_count = request->n_add_labels,
                               .count =
                                   request->add_count ? request->add_count : 1};

    changes.labels = request->add_labels;
    changes.n_labels = request->n_add_labels;
    if (check_capacity(&nodes.capacity, why) != 0)
        return why->code;
    if (changes.n_labels > 0 && label_changes_check(&changes, why) != 0)
        return error_wrap(why, "add");
    if (nodes.count > NODES_MAX - plan->cluster->nodes.count)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "add: there are %zu nodes, with %u more there would "
                         "be more than %d",
                         plan->cluster->nodes.count, nodes.count, NODES_MAX);
    plan_add(plan, &nodes);
    return 0;
}

/* What Schedule would refuse is refused. */
static int plan_new_pods(struct plan *plan, const struct master *master,
                         const Kontor__V1__ScheduleRequest *request,
                         struct checked_spec *checked, struct error *why)
{
    struct plan_wanted wanted = {.spec = &checked->spec,
                                 .pods = service_pods_asked(request)};

    wanted.gang = request->gang && wanted.pods > 1;
    if (spec_check(request->spec, checked, why) != 0 ||
        service_check_replicas(request, why) != 0 ||
        (wanted.gang &&
         service_check_gang(master, &checked->spec, wanted.pods, why) != 0))
        return why->code;
    wanted.number = pods_admit(&plan->cluster->pods, &checked->spec,
                               checked->named, wanted.pods, why);
    if (wanted.number == 0)
        return why->code;
    plan_schedule(plan, &wanted);
    return 0;
}

static int plan_node(struct plan *plan, const Kontor__V1__PlanRequest *request,
                     struct error *why)
{
    const struct node *node;

    if (find_node(plan->cluster,
                  request->drain ? request->drain->node : request->lose, &node,
                  why) != 0)
        return why->code;
    if (request->drain)
        plan_drain(plan, node, request->drain->force);
    else
        plan_lose(plan, node);
    return 0;
}

/* How many of the things that can be planned are asked for. */
static int count_asked(const Kontor__V1__PlanRequest *request)
{
    return (request->schedule != NULL) + (request->drain != NULL) +
           (request->lose[0] != '\0') + (request->add != NULL) +
           (request->rebalance != NULL);
}

static int make_plan(struct plan *plan, const struct master *master,
                     const Kontor__V1__PlanRequest *request,
                     struct checked_spec *checked, struct error *why)
{
    if (count_asked(request) != 1)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a plan is of one of schedule, drain, lose, add and "
                         "rebalance");
    if (request->schedule)
        return plan_new_pods(plan, master, request->schedule, checked, why);
    if (request->add)
        return plan_addition(plan, request, why);
    if (!request->rebalance)
        return plan_node(plan, request, why);
    service_plan_rebalance(plan, request->rebalance);
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
    if (make_plan(&plan, master, request, &checked, &why) != 0)
        service_fail(call, &why);
    else
        answer_with(call, &plan, &checked.spec, request->page_size);
    plan_fini(&plan);
}

void service_plan(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, answer);
}
