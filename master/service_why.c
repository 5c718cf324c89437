/* Why: node by node, what a pod would meet there. */
#include "master/service.h"

#include "base/memory.h"
#include "master/cluster_status.h"
#include "master/cluster_view.h"

struct why_verdict {
    Kontor__V1__NodeVerdict message;
    Kontor__V1__Resources lacking;
    char constraint[PLACEMENT_RULE_MAX];
    char would_fit[PLACEMENT_RULE_MAX];
};

static void tell(const struct master *master, const struct spec *spec,
                 const struct placement_verdict *verdict, uint64_t *looks_left,
                 struct why_verdict *out)
{
    const struct node *node =
        nodes_find(&master->cluster->nodes, verdict->node->id);
    struct placement_request request = placer_request(spec->message);

    kontor__v1__node_verdict__init(&out->message);
    kontor__v1__resources__init(&out->lacking);
    resources_tell(&verdict->lacking, &out->lacking);
    if (node && node->name)
        out->message.node = node->name->bytes;
    out->message.short_ = &out->lacking;
    out->message.constraint =
        placement_rule_text(&request, verdict, out->constraint);
    out->message.would_fit = placement_remedy_text(
        master->placer.view, &request, verdict, looks_left, out->would_fit);
}

/* One line on where it is. */
static struct text *summary_of(struct master *master, const struct pod *pod,
                               const char *placing)
{
    const struct cluster *cluster = master->cluster;
    size_t size, fit;

    if (pod->gang) {
        fit = placer_gang_room(&master->placer, pod, &size);
        return text_format(PLACER_GANG_WAITS "; %s", (unsigned)size, fit,
                           placing);
    }
    if (pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING &&
        pod->facts.generation > 0) /* how it came to be so */
        return text_format("%s; %s", text_string(pod->facts.reason), placing);
    if (pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING)
        return text_new(placing);
    return pod_status_text(cluster, &pod->facts);
}

static void answer(struct master *master, struct call *call,
                   const ProtobufCMessage *message)
{
    const Kontor__V1__WhyRequest *request =
        (const Kontor__V1__WhyRequest *)message;
    Kontor__V1__WhyResponse response = KONTOR__V1__WHY_RESPONSE__INIT;
    const struct cluster *cluster = master->cluster;
    struct placement_verdict *verdicts;
    struct why_verdict *tellings;
    struct text *summary;
    char placing[PLACEMENT_SUMMARY_MAX];
    struct pod_view view;
    struct error why;
    struct pod *pod;
    uint64_t looks_left = WHY_LOOKS_MAX;
    size_t count;
    size_t page =
        request->page_size > 0 && request->page_size < WHY_VERDICTS_MAX
            ? request->page_size
            : WHY_VERDICTS_MAX;

    if (cluster_find_pod(cluster, request->pod, &pod, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    verdicts = placer_why(&master->placer, pod, &count, placing);
    if (count > page) {
        response.more_nodes = (uint32_t)(count - page);
        count = page;
    }
    tellings = memory_array(count + 1, sizeof *tellings);
    response.verdicts =
        memory_array(count + 1, sizeof(Kontor__V1__NodeVerdict *));
    for (size_t i = 0; i < count; i++) {
        tell(master, pod->facts.spec, &verdicts[i], &looks_left, &tellings[i]);
        response.verdicts[response.n_verdicts++] = &tellings[i].message;
    }
    summary = summary_of(master, pod, placing);
    if (summary)
        response.summary = summary->bytes;
    pod_view_fill(&view, cluster, pod);
    response.pod = &view.pod;
    service_reply(call, &response.base);
    text_drop(summary);
    free(verdicts);
    free(tellings);
    free(response.verdicts);
}

void service_why(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, answer);
}
