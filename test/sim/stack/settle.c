#include "test/sim/stack/settle.h"

#include "master/preemptor.h"
#include "raft/replica_parts.h"
#include "test/sim/stack/check_state.h"
#include "test/sim/stack/client.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/knode.h"
#include "test/sim/stack/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a pod may wait where it fits, or for room that others can make, seen
 * at each look. */
enum { FITS_US = 500000, ROOM_US = 2000000, SEEN_US = 300000 };

static char missing[160];

#define MISSING(...) (snprintf(missing, sizeof missing, __VA_ARGS__), missing)

static const struct kmaster *find_master(const char *name)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (strcmp(kmasters[i].host->identity.name, name) == 0)
            return &kmasters[i];
    return NULL;
}

/* Every member has the leader's log and has applied it. */
static const char *masters_missing(const struct kmaster *leader)
{
    struct replica *replica = leader->master->replica;
    const Kontor__V1__RaftConfiguration *members = replica_members(replica);
    uint64_t last = raft_last_index(replica->raft);

    for (size_t i = 0; i < members->n_members; i++) {
        const struct kmaster *kmaster = find_master(members->members[i]->name);
        struct replica_status status;

        /* The operator's impatient repetition arrived when it was removed
         * already: nobody starts it. */
        if (members->members[i]->learner && kmaster->retired)
            continue;
        if (members->members[i]->learner)
            return MISSING("%s is still a learner", members->members[i]->name);
        if (!kmaster->host->life || kmaster->closing)
            return MISSING("%s is down", members->members[i]->name);
        status = replica_status(kmaster->master->replica);
        if (status.last_index != last || status.applied_index != last)
            return MISSING("%s lags", members->members[i]->name);
    }
    return NULL;
}

/* Unless a member is one that nobody starts, as above. */
static const char *format_missing(const struct master *master)
{
    const Kontor__V1__RaftConfiguration *members =
        replica_members(master->replica);

    for (size_t i = 0; i < members->n_members; i++)
        if (members->members[i]->learner)
            return NULL;
    if (master->cluster->format < CLUSTER_FORMAT)
        return MISSING("format %u is not reached", (unsigned)CLUSTER_FORMAT);
    return NULL;
}

static bool could_preempt(struct placer *placer,
                          const struct placement_request *request)
{
    struct placement_victims victims =
        preempt_seek(placer->cluster, placer->view, request);

    free(victims.pod_ids);
    return victims.node_id != 0;
}

/* It is placed, and room is made, at once, not when others happen to end. */
static const char *waits_for_room(const struct pod *pod, uint64_t most_us,
                                  const char *where)
{
    static struct {
        uint64_t seed, pod_id, since_us, seen_us;
    } waiting;

    if (waiting.seed != world.seed || waiting.pod_id != pod->facts.id ||
        world.now_us - waiting.seen_us > SEEN_US) {
        waiting.seed = world.seed;
        waiting.pod_id = pod->facts.id;
        waiting.since_us = world.now_us;
    }
    waiting.seen_us = world.now_us;
    if (world.now_us - waiting.since_us >= most_us)
        FAIL("after healing: %s waits where %s", pod->name, where);
    return MISSING("%s waits where %s", pod->name, where);
}

static const char *pod_missing(struct placer *placer, const struct pod *pod)
{
    const struct pod_facts *facts = &pod->facts;
    struct placement_request request = placer_request(facts->spec->message);
    size_t size;

    if (pod_ended(pod))
        return NULL;
    if (facts->stop_requested || check_is_stopped(facts->id))
        return MISSING("%s has not stopped", pod->name);
    if (facts->phase == KONTOR__V1__POD_PHASE__POD_RUNNING)
        return NULL;
    if (pod->gang && placer_gang_room(placer, pod, &size) < size)
        return NULL;
    if (pod->gang || facts->phase != KONTOR__V1__POD_PHASE__POD_PENDING)
        return MISSING("%s is in phase %d", pod->name, facts->phase);
    if (placement_choose(placer->view, &request) != 0)
        return waits_for_room(pod, FITS_US, "it fits");
    if (could_preempt(placer, &request))
        return waits_for_room(pod, ROOM_US, "others could make room");
    return NULL;
}

static const char *pods_missing(struct master *master)
{
    const struct cluster *cluster = master->cluster;
    const struct pod *pod;
    const char *text = NULL;

    for (uint32_t at = 0;
         !text && (pod = series_walk(&cluster->pods.all, &at));)
        text = pod_missing(&master->placer, pod);
    if (!text && master->placer.keeper.count > 0 &&
        !master->placer.pending.favoured)
        text = MISSING("room is kept for nobody");
    for (uint64_t id = 1; !text && id <= check_newest_pod(); id++)
        if (check_is_acknowledged(id) && !pods_find(&cluster->pods, id))
            text = MISSING("acknowledged pod %u is not there", (unsigned)id);
    return text;
}

/* What an operator said of the node is what the state says. */
static const char *label_missing(const struct node *node, unsigned i)
{
    const Kontor__V1__Label *zone = labels_find(&node->labels, "zone");
    const char *set = operator_zone(i);

    if (!operator_unsure(i, false) &&
        strcmp(zone ? zone->value : "", set ? set : "") != 0)
        return MISSING("node %s is in zone %s, not %s", node->name->bytes,
                       zone ? zone->value : "-", set ? set : "-");
    if (!operator_unsure(i, true) &&
        (node->taints.count > 0) != operator_tainted(i))
        return MISSING("node %s has %zu taints", node->name->bytes,
                       node->taints.count);
    return NULL;
}

/* What the node has, the state has there, and the other way round. */
static const char *node_missing(const struct cluster *cluster, unsigned i)
{
    const char *name = world.hosts[MASTERS_MAX + i].identity.name;
    const struct node *node = nodes_find_name(&cluster->nodes, name);
    struct knode_pod held;
    unsigned living = 0;

    if (!node || node->state != KONTOR__V1__NODE_STATE__NODE_READY)
        return MISSING("node %s is not ready", name);
    if (node->cordoned != operator_cordoned(i))
        return MISSING("node %s is %s cordoned", name,
                       node->cordoned ? "still" : "not");
    if (node->leaving.count > 0)
        return MISSING("%u pods have not left %s", node->leaving.count, name);
    if (label_missing(node, i))
        return missing;
    for (unsigned k = 0; knode_pod(knode_at(i), k, &held); k++) {
        const struct pod *pod = pods_find(&cluster->pods, held.pod_id);

        if (!pod || pod->facts.node_id != node->id ||
            pod->facts.generation != held.generation ||
            (pod->facts.phase != held.phase &&
             !(pod_ended(pod) && pod_phase_ended(held.phase))))
            return MISSING("%s has pod %u in phase %d, the state does not",
                           name, (unsigned)held.pod_id, held.phase);
        living += !pod_phase_ended(held.phase);
    }
    if (living != node->pod_count)
        return MISSING("%s has %u pods of %u", name, living, node->pod_count);
    return NULL;
}

static const char *states_differ(const struct kmaster *leader)
{
    uint64_t digest = check_digest(leader->master->cluster);

    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        const struct kmaster *kmaster = &kmasters[i];

        if (kmaster->host->life && !kmaster->closing && !kmaster->retired &&
            replica_status(kmaster->master->replica).applied_index ==
                replica_status(leader->master->replica).applied_index &&
            check_digest(kmaster->master->cluster) != digest)
            return MISSING("the states of %s and %s differ",
                           kmaster->host->identity.name,
                           leader->host->identity.name);
    }
    return NULL;
}

const char *settle_missing(void)
{
    const struct kmaster *leader = kmaster_leader();
    const char *text;

    if (!leader)
        return MISSING("nobody leads");
    if (clients_busy() > 0)
        return MISSING("%u calls are not answered", clients_busy());
    if (operator_busy())
        return MISSING("the operator is not done");
    text = masters_missing(leader);
    if (!text)
        text = format_missing(leader->master);
    if (!text)
        text = pods_missing(leader->master);
    for (unsigned i = 0; !text && i < world.traits.nodes; i++)
        text = node_missing(leader->master->cluster, i);
    return text ? text : states_differ(leader);
}
