/* A state read back, and every word of it doubted: what loads keeps the
 * invariants of cluster.h, whatever the file held. */
#include "base/memory.h"
#include "master/cluster.h"
#include "master/cluster_names.h"
#include "master/record.h"

#include <inttypes.h>
#include <string.h>

/* What pods on one node may want together, so that sums stay in 64 bits. */
#define ALLOCATED_MAX (UINT64_C(1) << 62)

struct load {
    struct cluster *cluster;
    struct record_reader reader;
    Kontor__V1__SnapshotRecord *record; /* owned; the one being looked at */
    Kontor__V1__SnapshotHeader header;  /* strings not kept */
    struct spec **specs;                /* owned, with references */
    uint32_t spec_count;
};

/* Read the next record, which must be of one kind. */
static int next(struct load *load, Kontor__V1__SnapshotRecord__RecordCase which,
                struct error *why)
{
    if (load->record)
        kontor__v1__snapshot_record__free_unpacked(load->record, NULL);
    load->record = NULL;
    if (record_read(&load->reader, &load->record, why) != 0)
        return why->code;
    if (load->record->record_case != which)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot holds a record of kind %d where %d belongs",
                         (int)load->record->record_case, (int)which);
    return 0;
}

static int load_header(struct load *load, struct error *why)
{
    struct cluster *cluster = load->cluster;
    const Kontor__V1__SnapshotHeader *header;

    if (next(load, KONTOR__V1__SNAPSHOT_RECORD__RECORD_HEADER, why) != 0)
        return why->code;
    header = load->record->header;
    if (header->version < SNAPSHOT_VERSION)
        return error_set(why, ERROR_DATA_LOSS, "snapshot has version %u",
                         header->version);
    if (header->version - SNAPSHOT_VERSION > cluster->known)
        return error_set(why, ERROR_UNIMPLEMENTED,
                         "the snapshot has format %u, this program knows %u: "
                         "it must be upgraded",
                         header->version - SNAPSHOT_VERSION, cluster->known);
    if (header->nodes > NODES_MAX || header->requests > REQUESTS_MAX ||
        header->pods > PODS_LIVING_MAX + PODS_ENDED_MAX ||
        header->events > EVENTS_MAX ||
        header->specs > header->pods + header->events)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot claims more records than there can be");
    if (header->next_pod_id == 0 || header->next_pod_id > INT64_MAX ||
        header->next_node_id == 0 || header->next_node_id > INT64_MAX ||
        header->dropped_index > header->index)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot's counters cannot be right");
    if (header->pod_network[0] &&
        pod_network_parse(header->pod_network, &cluster->network, why) != 0)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot's pod network \"%.40s\" is none",
                         header->pod_network);
    load->header = *header;
    load->header.pod_network = NULL;
    cluster->index = header->index;
    cluster->format = header->version - SNAPSHOT_VERSION;
    cluster->next_pod_id = header->next_pod_id;
    cluster->next_node_id = header->next_node_id;
    return 0;
}

static int load_specs(struct load *load, struct error *why)
{
    size_t capacity = 0;

    while (load->spec_count < load->header.specs) {
        if (next(load, KONTOR__V1__SNAPSHOT_RECORD__RECORD_SPEC, why) != 0)
            return why->code;
        if (load->spec_count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            load->specs =
                memory_resize(load->specs, capacity * sizeof(struct spec *));
        }
        if (specs_intern(&load->cluster->specs, load->record->spec,
                         &load->specs[load->spec_count], why) != 0)
            return error_wrap(why, "snapshot");
        load->spec_count++;
    }
    return 0;
}

/* Borrowed. */
static struct spec *spec_numbered(const struct load *load, uint32_t number)
{
    return number >= 1 && number <= load->spec_count ? load->specs[number - 1]
                                                     : NULL;
}

static bool labels_valid(Kontor__V1__Label *const *labels, size_t count)
{
    if (count > NODE_LABELS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!node_text_valid(labels[i]->key) ||
            !node_text_valid(labels[i]->value))
            return false;
    }
    return true;
}

static bool node_valid(const struct cluster *cluster,
                       const Kontor__V1__NodeRecord *record)
{
    const Kontor__V1__NodeInfo *info = record->node;
    struct list *last = cluster->nodes.all.prev;
    bool first = list_empty(&cluster->nodes.all);

    return info && cluster->network.prefix != 0 && info->id > 0 &&
           info->id < cluster->next_node_id &&
           (first || info->id > container_of(last, struct node, all)->id) &&
           node_name_valid(info->name) &&
           labels_valid(info->labels, info->n_labels) &&
           labels_valid(info->set_labels, info->n_set_labels) &&
           labels_valid(info->taints, info->n_taints) &&
           !nodes_find_name(&cluster->nodes, info->name) &&
           record->subnet_number == cluster->nodes.count + 1 &&
           record->subnet_number <= pod_network_subnets(&cluster->network) &&
           (int)info->state >= KONTOR__V1__NODE_STATE__NODE_READY &&
           info->state <= KONTOR__V1__NODE_STATE__NODE_LOST;
}

static int load_nodes(struct load *load, struct error *why)
{
    struct cluster *cluster = load->cluster;

    for (uint32_t i = 0; i < load->header.nodes; i++) {
        const Kontor__V1__NodeRecord *record;
        const Kontor__V1__NodeInfo *info;
        struct node *node;

        if (next(load, KONTOR__V1__SNAPSHOT_RECORD__RECORD_NODE, why) != 0)
            return why->code;
        record = load->record->node;
        if (!node_valid(cluster, record))
            return error_set(why, ERROR_DATA_LOSS,
                             "snapshot's node record %u is not valid", i);
        info = record->node;
        node = nodes_add(&cluster->nodes, info->id, info->name);
        node->address = text_new(info->address);
        node->version = text_new(info->version);
        node->capacity = resources_of(info->capacity);
        node->subnet_number = record->subnet_number;
        node->routed_index = record->routed_index;
        node->registered_at_ms = info->registered_at_ms;
        node->state = (int32_t)info->state;
        node->cordoned = info->cordoned;
        for (size_t k = 0; k < info->n_set_labels; k++)
            labels_put(&node->set_labels, info->set_labels[k]);
        for (size_t k = 0; k < info->n_taints; k++)
            labels_put(&node->taints, info->taints[k]);
        node_set_own_labels(node, info->labels, info->n_labels);
    }
    return 0;
}

/* Everything a pod message says but name and spec; its texts are new. */
static void take_facts(struct pod_facts *facts, const Kontor__V1__Pod *pod,
                       uint64_t node_id)
{
    const Kontor__V1__PodStatus *status = pod->status;

    facts->id = pod->id;
    facts->node_id = node_id;
    facts->created_at_ms = pod->created_at_ms;
    facts->changed_index = pod->changed_index;
    facts->started_at_ms = status->started_at_ms;
    facts->finished_at_ms = status->finished_at_ms;
    facts->reason = text_new(status->reason);
    pod_set_address(facts, status->address);
    facts->details = details_new(status);
    facts->generation = status->generation;
    facts->restarts = status->restarts;
    facts->phase = (uint8_t)status->phase;
    facts->pid = status->pid;
    facts->exit_code = status->exit_code;
    facts->signal = status->signal;
    facts->oom_killed = status->oom_killed;
    facts->stop_requested = pod->stop_requested;
}

static bool phase_valid(const Kontor__V1__Pod *pod)
{
    return pod->status &&
           (int)pod->status->phase >= KONTOR__V1__POD_PHASE__POD_PENDING &&
           pod->status->phase <= KONTOR__V1__POD_PHASE__POD_STOPPED;
}

static bool pod_valid(const struct cluster *cluster,
                      const Kontor__V1__PodRecord *record, const char *app)
{
    const Kontor__V1__Pod *pod = record->pod;
    const struct pod *last = series_before(&cluster->pods.all, UINT64_MAX);
    bool pending, ended;
    uint32_t number, least;

    if (!pod || !phase_valid(pod) || pod->id == 0 ||
        pod->id >= cluster->next_pod_id ||
        (last && pod->id <= last->facts.id) || !app_name_valid(app))
        return false;
    number = pod_name_number(pod->name, app);
    least = pods_next_number(&cluster->pods, app);
    if (number == 0 || least == 0 || number < least)
        return false;
    pending = pod->status->phase == KONTOR__V1__POD_PHASE__POD_PENDING;
    if (record->gang > number ||
        (record->gang && (!pending || pod->status->generation)))
        return false;
    ended = pod_phase_ended((int32_t)pod->status->phase);
    if (record->node_id == 0)
        return pending || ended;
    return !pending && nodes_find(&cluster->nodes, record->node_id);
}

/* Onto the queue or node where it belongs; ended ones wait for EndedPods. */
static int seat(struct cluster *cluster, struct pod *pod, struct error *why)
{
    struct node *node = nodes_find(&cluster->nodes, pod->facts.node_id);

    if (pod_ended(pod)) {
        pod->app->living--;
        cluster->pods.ended_count++;
    } else if (!node) {
        waiting_join(&cluster->pods.waiting, pod);
    } else {
        node_put(&cluster->nodes, node, pod);
        for (int i = 0; i < RESOURCE_COUNT; i++) {
            if (node->allocated.amount[i] > ALLOCATED_MAX)
                return error_set(why, ERROR_DATA_LOSS,
                                 "snapshot's pods on node %s want too much",
                                 text_string(node->name));
        }
    }
    return 0;
}

/* A placement that was given up. */
static bool take_departure(struct cluster *cluster, struct pod *pod,
                           const Kontor__V1__PodRecord *record)
{
    struct node *node = nodes_find(&cluster->nodes, record->leaving_node_id);
    bool there = record->leaving_generation == pod->facts.generation;

    if (record->leaving_node_id == 0)
        return true;
    if (!node || node->state == KONTOR__V1__NODE_STATE__NODE_LOST ||
        record->leaving_generation == 0 ||
        record->leaving_generation > pod->facts.generation ||
        (there && pod->facts.node_id != 0 && !pod_ended(pod)))
        return false;
    departure_begin(&node->leaving, node->id, pod, record->leaving_generation);
    return true;
}

static int load_pods(struct load *load, struct error *why)
{
    struct cluster *cluster = load->cluster;

    for (uint32_t i = 0; i < load->header.pods; i++) {
        const Kontor__V1__PodRecord *record;
        struct spec *spec;
        struct pod *pod;

        if (next(load, KONTOR__V1__SNAPSHOT_RECORD__RECORD_POD, why) != 0)
            return why->code;
        record = load->record->pod;
        spec = spec_numbered(load, record->spec_number);
        if (!spec || !pod_valid(cluster, record, spec->message->app))
            return error_set(why, ERROR_DATA_LOSS,
                             "snapshot's pod record %u is not valid", i);
        pod = pods_add(&cluster->pods, record->pod->id, spec->message->app,
                       pod_name_number(record->pod->name, spec->message->app),
                       spec_take(spec));
        pod->gang = record->gang;
        take_facts(&pod->facts, record->pod, record->node_id);
        if (!take_departure(cluster, pod, record))
            return error_set(why, ERROR_DATA_LOSS,
                             "snapshot's pod record %u leaves wrongly", i);
        if (seat(cluster, pod, why) != 0)
            return why->code;
    }
    return 0;
}

static int load_ended(struct load *load, struct error *why)
{
    struct pods *pods = &load->cluster->pods;
    const Kontor__V1__EndedPods *ended;

    if (next(load, KONTOR__V1__SNAPSHOT_RECORD__RECORD_ENDED, why) != 0)
        return why->code;
    ended = load->record->ended;
    if (ended->n_pod_ids != pods->ended_count ||
        pods->ended_count > PODS_ENDED_MAX)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot orders %zu ended pods and holds %zu",
                         ended->n_pod_ids, pods->ended_count);
    for (size_t i = 0; i < ended->n_pod_ids; i++) {
        struct pod *pod = pods_find(pods, ended->pod_ids[i]);

        if (!pod || !pod_ended(pod) || !list_empty(&pod->queue))
            return error_set(why, ERROR_DATA_LOSS,
                             "snapshot orders pod %" PRIu64 " wrongly",
                             ended->pod_ids[i]);
        list_append(&pods->ended, &pod->queue);
    }
    return 0;
}

static int load_requests(struct load *load, struct error *why)
{
    struct requests *requests = &load->cluster->requests;

    for (uint32_t i = 0; i < load->header.requests; i++) {
        const Kontor__V1__RequestRecord *record;
        struct request_id id = {0, 0};

        if (next(load, KONTOR__V1__SNAPSHOT_RECORD__RECORD_REQUEST, why) != 0)
            return why->code;
        record = load->record->request;
        if (record->id)
            id = (struct request_id){record->id->high, record->id->low};
        if (!request_id_given(id) || requests_find(requests, id) ||
            record->code > ERROR_UNAUTHENTICATED)
            return error_set(why, ERROR_DATA_LOSS,
                             "snapshot's request record %u is not valid", i);
        requests_add(requests, &(struct request){
                                   .id = id,
                                   .index = record->index,
                                   .subject_id = record->subject_id,
                                   .operation = record->operation,
                                   .code = record->code,
                                   .message = text_new(record->message),
                               });
    }
    return 0;
}

static bool event_valid(const struct load *load,
                        const Kontor__V1__EventRecord *record)
{
    const struct events *events = &load->cluster->events;
    const Kontor__V1__Event *event = record->event;
    uint64_t least = events->first == events->next
                         ? load->header.dropped_index
                         : events_at(events, events->next - 1)->index;

    if (!event || event->index < least || event->index > load->header.index ||
        event->kind == KONTOR__V1__EVENT_KIND__EVENT_POD_PROGRESS ||
        !protobuf_c_enum_descriptor_get_value(
            &kontor__v1__event_kind__descriptor, (int)event->kind))
        return false;
    if (!event->pod)
        return record->spec_number == 0;
    return spec_numbered(load, record->spec_number) && phase_valid(event->pod);
}

static int load_events(struct load *load, struct error *why)
{
    struct cluster *cluster = load->cluster;

    for (uint32_t i = 0; i < load->header.events; i++) {
        const Kontor__V1__EventRecord *record;
        struct event event = {0};

        if (next(load, KONTOR__V1__SNAPSHOT_RECORD__RECORD_EVENT, why) != 0)
            return why->code;
        record = load->record->event;
        if (!event_valid(load, record))
            return error_set(why, ERROR_DATA_LOSS,
                             "snapshot's event record %u is not valid", i);
        event.index = record->event->index;
        event.time_ms = record->event->time_ms;
        event.kind = (int32_t)record->event->kind;
        event.subject = text_new(record->event->subject);
        event.message = text_new(record->event->message);
        if (record->event->pod) {
            take_facts(&event.pod, record->event->pod, record->node_id);
            event.pod.spec =
                spec_take(spec_numbered(load, record->spec_number));
        }
        events_add(&cluster->events, &cluster->specs, &event);
    }
    cluster->events.dropped_index = load->header.dropped_index;
    return 0;
}

static int load_end(struct load *load, struct error *why)
{
    return record_read_end(&load->reader, why);
}

int cluster_load(struct cluster **out, int fd, struct error *why)
{
    static int (*const parts[])(struct load *, struct error *) = {
        load_header, load_specs,    load_nodes,  load_pods,
        load_ended,  load_requests, load_events, load_end,
    };
    struct load load = {.cluster = cluster_new()};
    int code = 0;

    record_reader_init(&load.reader, fd);
    for (size_t i = 0; i < ARRAY_LEN(parts) && code == 0; i++)
        code = parts[i](&load, why);
    if (load.record)
        kontor__v1__snapshot_record__free_unpacked(load.record, NULL);
    for (uint32_t i = 0; i < load.spec_count; i++)
        specs_drop(&load.cluster->specs, load.specs[i]);
    free(load.specs);
    record_reader_fini(&load.reader);
    if (code == 0)
        *out = load.cluster;
    else
        cluster_free(load.cluster);
    return code;
}
