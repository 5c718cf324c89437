/* The state written down, record by record; cluster_load.c reads it. */
#include "base/memory.h"
#include "master/cluster_view.h"
#include "master/record.h"

struct save {
    struct cluster *cluster;
    struct record_writer writer;
    struct spec **specs; /* in the order of their numbers; borrowed */
    uint32_t spec_count;
};

/* ---- numbers for the specs: in the order pods, then events use them ---- */

static void unnumber(struct cluster *cluster)
{
    const struct events *events = &cluster->events;
    const struct pod *pod;

    for (uint32_t at = 0; (pod = series_walk(&cluster->pods.all, &at));)
        pod->facts.spec->number = 0;
    for (uint64_t at = events->first; at < events->next; at++) {
        struct spec *spec = events_at(events, at)->pod.spec;

        if (spec)
            spec->number = 0;
    }
}

static void number_one(struct save *save, struct spec *spec)
{
    if (spec->number != 0)
        return;
    save->specs[save->spec_count++] = spec;
    spec->number = save->spec_count;
}

static void number_specs(struct save *save)
{
    struct cluster *cluster = save->cluster;
    const struct events *events = &cluster->events;
    const struct pod *pod;

    save->specs =
        memory_array(cluster->specs.map.count + 1, sizeof(struct spec *));
    unnumber(cluster);
    for (uint32_t at = 0; (pod = series_walk(&cluster->pods.all, &at));)
        number_one(save, pod->facts.spec);
    for (uint64_t at = events->first; at < events->next; at++) {
        struct spec *spec = events_at(events, at)->pod.spec;

        if (spec)
            number_one(save, spec);
    }
}

/* ---- the records ---- */

static Kontor__V1__SnapshotRecord
record_of(Kontor__V1__SnapshotRecord__RecordCase which)
{
    Kontor__V1__SnapshotRecord record = KONTOR__V1__SNAPSHOT_RECORD__INIT;

    record.record_case = which;
    return record;
}

static int save_header(struct save *save, struct error *why)
{
    const struct cluster *cluster = save->cluster;
    Kontor__V1__SnapshotHeader header = KONTOR__V1__SNAPSHOT_HEADER__INIT;
    Kontor__V1__SnapshotRecord out =
        record_of(KONTOR__V1__SNAPSHOT_RECORD__RECORD_HEADER);
    char network[POD_NETWORK_TEXT_MAX];

    header.version = SNAPSHOT_VERSION + cluster->format;
    header.index = cluster->index;
    header.next_pod_id = cluster->next_pod_id;
    header.next_node_id = cluster->next_node_id;
    if (cluster->network.prefix)
        header.pod_network = pod_network_text(&cluster->network, network);
    header.dropped_index = cluster->events.dropped_index;
    header.specs = save->spec_count;
    header.nodes = (uint32_t)cluster->nodes.count;
    header.pods = series_count(&cluster->pods.all);
    header.requests =
        (uint32_t)(cluster->requests.next - cluster->requests.first);
    header.events = (uint32_t)(cluster->events.next - cluster->events.first);
    out.header = &header;
    return record_write(&save->writer, &out, why);
}

static int save_specs(struct save *save, struct error *why)
{
    Kontor__V1__SnapshotRecord out =
        record_of(KONTOR__V1__SNAPSHOT_RECORD__RECORD_SPEC);

    for (uint32_t i = 0; i < save->spec_count; i++) {
        out.spec = save->specs[i]->message;
        if (record_write(&save->writer, &out, why) != 0)
            return why->code;
    }
    return 0;
}

static int save_nodes(struct save *save, struct error *why)
{
    Kontor__V1__SnapshotRecord out =
        record_of(KONTOR__V1__SNAPSHOT_RECORD__RECORD_NODE);

    list_for_each(link, next, &save->cluster->nodes.all)
    {
        const struct node *node = container_of(link, struct node, all);
        Kontor__V1__NodeRecord record = KONTOR__V1__NODE_RECORD__INIT;
        struct node_view view;

        node_view_fill(&view, save->cluster, node);
        view.node.allocated = NULL; /* these follow from the pods */
        view.node.pods = 0;
        view.node.leaving = 0;
        view.node.labels = node->own_labels.all;
        view.node.n_labels = node->own_labels.count;
        record.node = &view.node;
        record.subnet_number = node->subnet_number;
        record.routed_index = node->routed_index;
        out.node = &record;
        if (record_write(&save->writer, &out, why) != 0)
            return why->code;
    }
    return 0;
}

/* A pod without what PodRecord and EventRecord hold beside it. */
static void strip(struct pod_view *view)
{
    Kontor__V1__Pod empty = KONTOR__V1__POD__INIT;

    view->pod.spec = NULL;
    view->pod.node = empty.node;
}

static int save_pods(struct save *save, struct error *why)
{
    Kontor__V1__SnapshotRecord out =
        record_of(KONTOR__V1__SNAPSHOT_RECORD__RECORD_POD);
    const struct pod *pod;

    for (uint32_t at = 0; (pod = series_walk(&save->cluster->pods.all, &at));) {
        const struct pod_facts *facts = &pod->facts;
        Kontor__V1__PodRecord record = KONTOR__V1__POD_RECORD__INIT;
        struct pod_view view;

        pod_view_fill(&view, save->cluster, pod);
        strip(&view);
        record.pod = &view.pod;
        record.node_id = facts->node_id;
        record.spec_number = facts->spec->number;
        if (pod->departure) {
            record.leaving_node_id = pod->departure->node_id;
            record.leaving_generation = pod->departure->generation;
        }
        record.gang = pod->gang;
        out.pod = &record;
        if (record_write(&save->writer, &out, why) != 0)
            return why->code;
    }
    return 0;
}

static int save_ended(struct save *save, struct error *why)
{
    const struct pods *pods = &save->cluster->pods;
    Kontor__V1__SnapshotRecord out =
        record_of(KONTOR__V1__SNAPSHOT_RECORD__RECORD_ENDED);
    Kontor__V1__EndedPods record = KONTOR__V1__ENDED_PODS__INIT;
    uint64_t *ids = memory_array(pods->ended_count + 1, sizeof *ids);
    int code;

    list_for_each(link, next, &pods->ended) ids[record.n_pod_ids++] =
        container_of(link, struct pod, queue)->facts.id;
    record.pod_ids = ids;
    out.ended = &record;
    code = record_write(&save->writer, &out, why);
    free(ids);
    return code;
}

static int save_requests(struct save *save, struct error *why)
{
    Kontor__V1__SnapshotRecord out =
        record_of(KONTOR__V1__SNAPSHOT_RECORD__RECORD_REQUEST);
    const struct requests *requests = &save->cluster->requests;

    for (uint64_t at = requests->first; at < requests->next; at++) {
        const struct request *request = requests_at(requests, at);
        Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
        Kontor__V1__RequestRecord record = KONTOR__V1__REQUEST_RECORD__INIT;

        id.high = request->id.high;
        id.low = request->id.low;
        record.id = &id;
        record.index = request->index;
        record.subject_id = request->subject_id;
        record.operation = request->operation;
        record.code = request->code;
        if (request->message)
            record.message = request->message->bytes;
        out.request = &record;
        if (record_write(&save->writer, &out, why) != 0)
            return why->code;
    }
    return 0;
}

static int save_events(struct save *save, struct error *why)
{
    Kontor__V1__SnapshotRecord out =
        record_of(KONTOR__V1__SNAPSHOT_RECORD__RECORD_EVENT);
    const struct events *events = &save->cluster->events;

    for (uint64_t at = events->first; at < events->next; at++) {
        const struct event *event = events_at(events, at);
        Kontor__V1__EventRecord record = KONTOR__V1__EVENT_RECORD__INIT;
        struct event_view view;

        event_view_fill(&view, save->cluster, event);
        record.event = &view.event;
        if (event->pod.spec) {
            strip(&view.pod);
            record.node_id = event->pod.node_id;
            record.spec_number = event->pod.spec->number;
        }
        out.event = &record;
        if (record_write(&save->writer, &out, why) != 0)
            return why->code;
    }
    return 0;
}

int cluster_save(struct cluster *cluster, int fd, struct error *why)
{
    static int (*const parts[])(struct save *, struct error *) = {
        save_header, save_specs,    save_nodes,  save_pods,
        save_ended,  save_requests, save_events,
    };
    struct save save = {.cluster = cluster};
    int code = 0;

    record_writer_init(&save.writer, fd);
    number_specs(&save);
    for (size_t i = 0; i < ARRAY_LEN(parts) && code == 0; i++)
        code = parts[i](&save, why);
    if (code == 0)
        code = record_flush(&save.writer, why);
    free(save.specs);
    record_writer_fini(&save.writer);
    return code;
}
