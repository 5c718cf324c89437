/* What one node says of its pods, on its way into the log: the newest status
 * of each pod, as many together as there are, one command at a time. What
 * says nothing new is dropped; bytes pulled go to those who watch only. */
#include "master/link.h"

#include "base/memory.h"
#include "base/utf8.h"
#include "master/cluster_apply.h"
#include "master/propose.h"

struct report {
    struct map_link by_id;
    struct list queued;
    struct list flying;
    uint64_t pod_id;
    Kontor__V1__PodStatus *status; /* owned */
};

static struct report *find(const struct link *link, uint64_t pod_id)
{
    uint64_t hash = map_hash_id(pod_id);
    struct map_link *at = map_chain(&link->reports, hash);

    while (at && at->hash != hash) /* distinct ids, distinct hashes */
        at = at->next;
    return at ? container_of(at, struct report, by_id) : NULL;
}

static void forget(struct link *link, struct report *report)
{
    list_remove(&report->queued);
    list_remove(&report->flying);
    map_remove(&link->reports, &report->by_id);
    kontor__v1__pod_status__free_unpacked(report->status, NULL);
    free(report);
    if (link->reports.count == 0) /* its slots are not kept, either */
        map_fini(&link->reports);
}

void link_forget_reports(struct link *link)
{
    list_for_each(item, next, &link->queued)
        forget(link, container_of(item, struct report, queued));
    list_for_each(item, next, &link->flying)
        forget(link, container_of(item, struct report, flying));
    if (link->report_proposal)
        link->report_proposal->link = NULL;
    link->report_proposal = NULL;
}

static Kontor__V1__PodStatus *copy_of(const Kontor__V1__PodStatus *status)
{
    size_t length = kontor__v1__pod_status__get_packed_size(status);
    uint8_t *bytes = memory_new(length + 1);
    Kontor__V1__PodStatus *copy;

    kontor__v1__pod_status__pack(status, bytes);
    copy = kontor__v1__pod_status__unpack(NULL, length, bytes);
    free(bytes);
    return copy;
}

/* It says what the state does not know. */
static bool is_news(const struct pod_facts *facts,
                    const Kontor__V1__PodStatus *status)
{
    return facts->phase != status->phase ||
           !text_is(facts->reason, status->reason) ||
           !pod_has_address(facts, status->address) ||
           !details_are(facts->details, status) || facts->pid != status->pid ||
           facts->restarts != status->restarts ||
           facts->exit_code != status->exit_code ||
           facts->signal != status->signal ||
           facts->oom_killed != (status->oom_killed != 0) ||
           facts->started_at_ms != status->started_at_ms ||
           facts->finished_at_ms != status->finished_at_ms;
}

static void queue(struct link *link, const Kontor__V1__PodStatus *status)
{
    Kontor__V1__PodStatus *copy = copy_of(status);
    struct report *report = find(link, status->pod_id);

    if (!copy)
        return;
    if (!report) {
        report = memory_new(sizeof *report);
        report->pod_id = status->pod_id;
        list_init(&report->queued);
        list_init(&report->flying);
        map_insert(&link->reports, &report->by_id, map_hash_id(status->pod_id));
    } else {
        kontor__v1__pod_status__free_unpacked(report->status, NULL);
    }
    report->status = copy;
    if (list_empty(&report->queued))
        list_append(&link->queued, &report->queued);
    link_touch(link);
}

void link_report(struct link *link, const Kontor__V1__PodStatus *status)
{
    const struct dispatch *dispatch = link->dispatch;
    const struct pod *pod = pods_find(&dispatch->cluster->pods, status->pod_id);

    if (departure_is(pod, link->node_id, status->generation) &&
        pod_phase_ended((int32_t)status->phase))
        queue(link, status);
    if (!pod_is_placed(pod, link->node_id, status->generation) ||
        pod_ended(pod)) {
        /* A node that knows of no sessions took an order that came late. */
        if (!pod_phase_ended((int32_t)status->phase))
            link_order_delete(link, status->pod_id, status->generation);
        return;
    }
    if (status->phase == KONTOR__V1__POD_PHASE__POD_PULLING &&
        status->pulled_bytes > 0)
        watchers_progress(dispatch->config.watchers, pod, status);
    /* What is on its way may differ from the state: then all is news. */
    if (find(link, status->pod_id) || is_news(&pod->facts, status))
        queue(link, status);
}

void link_report_own(struct link *link, const struct pod *pod,
                     Kontor__V1__PodPhase phase, const char *reason)
{
    Kontor__V1__PodStatus status = KONTOR__V1__POD_STATUS__INIT;
    char own[TEXT_MAX_BYTES + 1];

    utf8_clean(own, sizeof own, reason);
    status.pod_id = pod->facts.id;
    status.generation = pod->facts.generation;
    status.phase = phase;
    status.reason = own;
    link_report(link, &status);
}

void link_report_departed(struct link *link, const struct departure *departure)
{
    Kontor__V1__PodStatus status = KONTOR__V1__POD_STATUS__INIT;

    status.pod_id = departure->pod->facts.id;
    status.generation = departure->generation;
    status.phase = KONTOR__V1__POD_PHASE__POD_STOPPED;
    queue(link, &status);
}

/* Of one that ended by itself its output is left there. Nobody can ask for
 * that when the pod was given up there before. */
static void remove_rest(struct link *link, const Kontor__V1__PodStatus *status)
{
    const struct cluster *cluster = link->dispatch->cluster;
    const struct pod *pod = pods_find(&cluster->pods, status->pod_id);

    if (!pod_phase_ended((int32_t)status->phase) ||
        status->phase == KONTOR__V1__POD_PHASE__POD_STOPPED)
        return;
    if (!pod_is_placed(pod, link->node_id, status->generation))
        link_order_delete(link, status->pod_id, status->generation);
}

static void on_applied(struct replica_proposal *proposal, uint64_t index,
                       const struct error *why)
{
    struct link_proposal *op =
        container_of(proposal, struct link_proposal, proposal);
    struct link *link = op->link;

    (void)index;
    free(op);
    if (!link)
        return;
    link->report_proposal = NULL;
    list_for_each(item, next, &link->flying)
    {
        struct report *report = container_of(item, struct report, flying);

        list_remove(&report->flying);
        if (why->code != 0 && list_empty(&report->queued))
            list_append(&link->queued, &report->queued);
        if (!list_empty(&report->queued))
            continue;
        remove_rest(link, report->status);
        forget(link, report);
    }
    if (why->code == 0)
        link_touch(link); /* more to report, or room; else the next tick */
}

void link_propose_reports(struct link *link)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__ReportPods operation = KONTOR__V1__REPORT_PODS__INIT;
    Kontor__V1__PodStatus *pods[REPORTS_PER_COMMAND_MAX];
    struct link_proposal *op;

    if (link->report_proposal || list_empty(&link->queued))
        return;
    list_for_each(item, next, &link->queued)
    {
        struct report *report = container_of(item, struct report, queued);

        if (operation.n_pods == REPORTS_PER_COMMAND_MAX)
            break;
        pods[operation.n_pods++] = report->status;
        list_remove(&report->queued);
        list_append(&link->flying, &report->flying);
    }
    op = memory_new(sizeof *op);
    op->link = link;
    op->proposal.done = on_applied;
    op->proposal.changes = operation.n_pods;
    link->report_proposal = op;
    operation.node_id = link->node_id;
    operation.pods = pods;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_REPORT_PODS;
    command.report_pods = &operation;
    propose(link->dispatch->replica, &op->proposal, &command);
}
