#include "master/preemptor.h"

#include "base/memory.h"
#include "master/propose.h"

/* A PreemptPods under way; what is free on the node already is kept for it. */
struct placer_preemption {
    struct replica_proposal proposal;
    struct placer *placer; /* NULL: it has been closed */
    struct placement_hold *hold;
    struct seeker *seeker;
    uint64_t winner_id;
};

static void on_applied(struct replica_proposal *proposal, uint64_t index,
                       const struct error *why)
{
    struct placer_preemption *preemption =
        container_of(proposal, struct placer_preemption, proposal);
    struct placer *placer = preemption->placer;

    (void)index;
    (void)why;
    if (placer) {
        placer_return(placer, preemption->hold, preemption->winner_id);
        placer->preemption = NULL;
        placer_help_contested(placer);
    }
    pending_land(placer ? &placer->pending : NULL, preemption->seeker);
    free(preemption);
}

struct placement_victims preempt_seek(const struct cluster *cluster,
                                      struct placement *view,
                                      const struct placement_request *request)
{
    struct placement_victims victims = placement_preempt(view, request);

    for (size_t i = 0; i < victims.count; i++) {
        const struct pod *pod = pods_find(&cluster->pods, victims.pod_ids[i]);

        if (pod && pod_may_yield(pod, request->spec->priority))
            continue;
        free(victims.pod_ids);
        return (struct placement_victims){.looks = victims.looks};
    }
    return victims;
}

static void propose_preemption(struct placer *placer, const struct pod *winner,
                               const struct placement_victims *victims)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__PreemptPods operation = KONTOR__V1__PREEMPT_PODS__INIT;
    Kontor__V1__PreemptPods__Victim *messages =
        memory_array(victims->count, sizeof *messages);

    operation.pod_id = winner->facts.id;
    operation.node_id = victims->node_id;
    operation.victims = memory_array(victims->count, sizeof(void *));
    operation.n_victims = victims->count;
    for (size_t i = 0; i < victims->count; i++) {
        const struct pod *pod =
            pods_find(&placer->cluster->pods, victims->pod_ids[i]);

        kontor__v1__preempt_pods__victim__init(&messages[i]);
        messages[i].pod_id = pod->facts.id;
        messages[i].generation = pod->facts.generation;
        operation.victims[i] = &messages[i];
    }
    command.format = CLUSTER_FORMAT_1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_PREEMPT_PODS;
    command.preempt_pods = &operation;
    placer->preemption->proposal.changes = victims->count;
    propose(placer->replica, &placer->preemption->proposal, &command);
    free(operation.victims);
    free(messages);
}

/* What is looked at in vain is counted (matcher.c). */
static bool try_for(struct placer *placer, struct seeker *seeker)
{
    const struct pod *winner = seeker->next;
    struct placement_request request =
        placer_request(winner->facts.spec->message);
    struct placement_victims victims =
        preempt_seek(placer->cluster, placer->view, &request);
    bool found = victims.node_id != 0;

    if (found) {
        struct placer_preemption *preemption = memory_new(sizeof *preemption);

        request.want = resources_less(&request.want, &victims.freed);
        preemption->hold =
            placement_hold(placer->view, victims.node_id, &request);
        preemption->placer = placer;
        preemption->seeker = seeker;
        preemption->winner_id = winner->facts.id;
        preemption->proposal.done = on_applied;
        placer->preemption = preemption;
        propose_preemption(placer, winner, &victims);
        pending_fly(&placer->pending, seeker);
    }
    placer->preempt_looks_left -=
        (int64_t)(found ? placer->cluster->nodes.count : victims.looks + 1);
    free(victims.pod_ids);
    return found;
}

struct seeker *preempt_whom(const struct placer *placer)
{
    if (placer->preemption || placer->cluster->format < CLUSTER_FORMAT_1)
        return NULL;
    return pending_first(&placer->pending, PENDING_PREEMPTS);
}

void preempt_next(struct placer *placer)
{
    struct seeker *seeker;

    while (placer->preempt_looks_left > 0 && (seeker = preempt_whom(placer))) {
        if (placer->pending.favoured &&
            seeker_priority(placer->pending.favoured) < seeker_priority(seeker))
            keeper_release(placer);
        if (!try_for(placer, seeker))
            pending_take_out(&placer->pending, seeker, PENDING_PREEMPTS);
    }
}

void preemption_forget(struct placer_preemption *preemption)
{
    if (preemption)
        preemption->placer = NULL;
}
