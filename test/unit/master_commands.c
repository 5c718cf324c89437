#include "master_commands.h"

#include "base/fd.h"
#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SNAPSHOT_MAX = 64 << 20, JOINED_MAX = 16 };

/* Commands that are to be one entry. */
static struct {
    bool kept;
    ProtobufCBinaryData commands[JOINED_MAX];
    size_t count;
} joint;

static struct cluster_result apply_bytes(struct cluster *cluster,
                                         const uint8_t *bytes, size_t length)
{
    struct cluster_result result;

    cluster_apply(cluster, cluster->index + 1, bytes, length, &result);
    return result;
}

struct cluster_result apply_message(struct cluster *cluster,
                                    const Kontor__V1__Command *command)
{
    size_t length = kontor__v1__command__get_packed_size(command);
    uint8_t *bytes = memory_new(length + 1);
    struct cluster_result result = {0};

    kontor__v1__command__pack(command, bytes);
    if (joint.kept) {
        assert(joint.count < JOINED_MAX);
        joint.commands[joint.count++] = (ProtobufCBinaryData){length, bytes};
        return result;
    }
    result = apply_bytes(cluster, bytes, length);
    free(bytes);
    return result;
}

void join_commands(void)
{
    joint.kept = true;
    joint.count = 0;
}

struct cluster_result apply_joined(struct cluster *cluster)
{
    size_t length;
    uint8_t *bytes = cluster_join(joint.commands, joint.count, &length);
    struct cluster_result result = apply_bytes(cluster, bytes, length);

    for (size_t i = 0; i < joint.count; i++)
        free(joint.commands[i].data);
    free(bytes);
    joint.kept = false;
    return result;
}

/* Time goes one second a command, so that runs are alike. */
static Kontor__V1__Command
command_of(const struct cluster *cluster,
           Kontor__V1__Command__OperationCase operation)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;

    command.time_ms = (cluster->index + 1) * 1000;
    command.operation_case = operation;
    return command;
}

/* A spec and all that it points at. Not to be moved. */
struct made_spec {
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
    Kontor__V1__ContainerSpec container;
    Kontor__V1__ContainerSpec *containers[1];
    char app[64], pin[64], image[32];
};

static Kontor__V1__Resources message_of(struct wanted wanted)
{
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;

    resources.cpu_milli = wanted.cpu_milli;
    resources.memory_bytes = wanted.memory_bytes;
    resources.disk_bytes = wanted.disk_bytes;
    resources.net_bits = wanted.net_bits;
    return resources;
}

static Kontor__V1__PodSpec *make_spec(struct made_spec *made,
                                      const struct create *create)
{
    kontor__v1__pod_spec__init(&made->spec);
    kontor__v1__container_spec__init(&made->container);
    snprintf(made->app, sizeof made->app, "%s",
             create->app ? create->app : "web");
    snprintf(made->pin, sizeof made->pin, "%s", create->pin ? create->pin : "");
    snprintf(made->image, sizeof made->image, "registry.local:5000/web:1");
    made->resources = message_of(create->want);
    made->container.image = made->image;
    made->containers[0] = &made->container;
    made->spec.app = made->app;
    made->spec.node = made->pin;
    made->spec.resources = &made->resources;
    made->spec.containers = made->containers;
    made->spec.n_containers = 1;
    made->spec.restart = create->restart;
    made->spec.priority = create->priority;
    return &made->spec;
}

struct cluster_result do_create(struct cluster *cluster, struct create create)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_CREATE_POD);
    Kontor__V1__CreatePod in = KONTOR__V1__CREATE_POD__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    char reason[] = "nothing fits";
    struct made_spec made;

    in.spec = make_spec(&made, &create);
    in.node_id = create.node_id;
    in.named = create.named;
    if (!create.node_id)
        in.reason = reason;
    id.low = create.request;
    command.request_id = &id;
    command.create_pod = &in;
    return apply_message(cluster, &command);
}

/* Messages hold plain pointers; nothing writes through them. */
static uint64_t *copy_ids(struct nodes_chosen nodes)
{
    uint64_t *ids = memory_array(nodes.count + 1, sizeof *ids);

    for (size_t i = 0; i < nodes.count; i++)
        ids[i] = nodes.ids[i];
    return ids;
}

struct cluster_result do_create_many(struct cluster *cluster,
                                     struct create create,
                                     struct nodes_chosen nodes, bool gang)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_CREATE_PODS);
    Kontor__V1__CreatePods in = KONTOR__V1__CREATE_PODS__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    char reason[] = "nothing fits";
    struct made_spec made;
    struct cluster_result result;

    in.spec = make_spec(&made, &create);
    in.node_ids = copy_ids(nodes);
    in.n_node_ids = nodes.count;
    in.named = create.named;
    in.gang = gang;
    in.reason = reason;
    id.low = create.request;
    command.format = CLUSTER_FORMAT_1;
    command.request_id = &id;
    command.create_pods = &in;
    result = apply_message(cluster, &command);
    free(in.node_ids);
    return result;
}

struct cluster_result do_scale(struct cluster *cluster, const char *app,
                               uint32_t replicas, struct nodes_chosen nodes,
                               uint64_t request)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_SCALE_APP);
    Kontor__V1__ScaleApp in = KONTOR__V1__SCALE_APP__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    CLEANUP(free_pointer) char *name = memory_string(app);
    CLEANUP(free_pointer) uint64_t *ids = copy_ids(nodes);
    char reason[] = "nothing fits";

    in.app = name;
    in.replicas = replicas;
    in.node_ids = ids;
    in.n_node_ids = nodes.count;
    in.like_pod_id = nodes.like_pod_id;
    in.reason = reason;
    id.low = request;
    command.format = CLUSTER_FORMAT_1;
    command.request_id = &id;
    command.scale_app = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_preempt(struct cluster *cluster, struct chosen winner,
                                 const struct move *victims, size_t count)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_PREEMPT_PODS);
    Kontor__V1__PreemptPods in = KONTOR__V1__PREEMPT_PODS__INIT;
    CLEANUP(free_pointer)
    Kontor__V1__PreemptPods__Victim *messages =
        memory_array(count + 1, sizeof *messages);
    CLEANUP(free_pointer)
    Kontor__V1__PreemptPods__Victim **pointers =
        memory_array(count + 1, sizeof(void *));

    for (size_t i = 0; i < count; i++) {
        const struct pod *pod = pods_find(&cluster->pods, victims[i].pod_id);

        kontor__v1__preempt_pods__victim__init(&messages[i]);
        messages[i].pod_id = victims[i].pod_id;
        messages[i].generation = victims[i].generation;
        if (pod && !victims[i].generation)
            messages[i].generation = pod->facts.generation;
        pointers[i] = &messages[i];
    }
    in.pod_id = winner.pod_id;
    in.node_id = winner.node_id;
    in.victims = pointers;
    in.n_victims = count;
    command.format = CLUSTER_FORMAT_1;
    command.preempt_pods = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_stop(struct cluster *cluster, uint64_t pod_id,
                              uint64_t request)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_STOP_POD);
    Kontor__V1__StopPod in = KONTOR__V1__STOP_POD__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;

    in.pod_id = pod_id;
    id.low = request;
    command.request_id = &id;
    command.stop_pod = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_place_many(struct cluster *cluster,
                                    const struct chosen *chosen, size_t count)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_PLACE_PODS);
    Kontor__V1__PlacePods in = KONTOR__V1__PLACE_PODS__INIT;
    CLEANUP(free_pointer)
    Kontor__V1__PlacePods__Placement *placements =
        memory_array(count + 1, sizeof *placements);
    CLEANUP(free_pointer)
    Kontor__V1__PlacePods__Placement **pointers =
        memory_array(count + 1, sizeof(void *));

    for (size_t i = 0; i < count; i++) {
        kontor__v1__place_pods__placement__init(&placements[i]);
        placements[i].pod_id = chosen[i].pod_id;
        placements[i].node_id = chosen[i].node_id;
        pointers[i] = &placements[i];
    }
    in.placements = pointers;
    in.n_placements = count;
    command.place_pods = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_place(struct cluster *cluster, uint64_t pod_id,
                               uint64_t node_id)
{
    return do_place_many(cluster, &(struct chosen){pod_id, node_id}, 1);
}

struct cluster_result do_report(struct cluster *cluster, uint64_t node_id,
                                uint64_t pod_id, uint32_t generation,
                                Kontor__V1__PodPhase phase)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_REPORT_PODS);
    Kontor__V1__ReportPods in = KONTOR__V1__REPORT_PODS__INIT;
    Kontor__V1__PodStatus status = KONTOR__V1__POD_STATUS__INIT;
    Kontor__V1__PodStatus *pods[] = {&status};
    char address[] = "10.42.1.2";

    status.pod_id = pod_id;
    status.generation = generation;
    status.phase = phase;
    if (phase == KONTOR__V1__POD_PHASE__POD_RUNNING) {
        status.address = address;
        status.pid = 4711;
    }
    in.node_id = node_id;
    in.pods = pods;
    in.n_pods = 1;
    command.report_pods = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_register(struct cluster *cluster, const char *name,
                                  struct wanted capacity)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_REGISTER_NODE);
    Kontor__V1__RegisterNode in = KONTOR__V1__REGISTER_NODE__INIT;
    Kontor__V1__Resources resources = message_of(capacity);
    Kontor__V1__Label label = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&label};
    char own_name[256], address[] = "127.0.0.1:7500", version[] = "0.1.0";
    char network[] = "10.42.0.0/16", key[] = "zone", value[] = "a";

    snprintf(own_name, sizeof own_name, "%s", name);
    label.key = key;
    label.value = value;
    in.name = own_name;
    in.address = address;
    in.version = version;
    in.pod_network = network;
    in.capacity = &resources;
    in.labels = labels;
    in.n_labels = 1;
    command.register_node = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_register_one_of_many(struct cluster *cluster,
                                              unsigned number,
                                              struct wanted capacity)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_REGISTER_NODE);
    Kontor__V1__RegisterNode node = KONTOR__V1__REGISTER_NODE__INIT;
    Kontor__V1__Resources resources = message_of(capacity);
    char name[16], address[] = "10.1.0.1:7500", version[] = "0.1.0";
    char network[] = "10.0.0.0/8";

    snprintf(name, sizeof name, "n%u", number);
    node.name = name;
    node.address = address;
    node.version = version;
    node.pod_network = network;
    node.capacity = &resources;
    command.register_node = &node;
    return apply_message(cluster, &command);
}

struct cluster_result do_state(struct cluster *cluster, uint64_t node_id,
                               Kontor__V1__NodeState state)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_SET_NODE_STATE);
    Kontor__V1__SetNodeState in = KONTOR__V1__SET_NODE_STATE__INIT;

    in.node_id = node_id;
    in.state = state;
    command.set_node_state = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_cordon(struct cluster *cluster, uint64_t node_id,
                                bool cordoned)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_SET_CORDON);
    Kontor__V1__SetCordon in = KONTOR__V1__SET_CORDON__INIT;

    in.node_id = node_id;
    in.cordoned = cordoned;
    command.set_cordon = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_drain(struct cluster *cluster, uint64_t node_id,
                               const struct move *moves, size_t count,
                               bool force)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_MOVE_PODS);
    Kontor__V1__MovePods in = KONTOR__V1__MOVE_PODS__INIT;
    Kontor__V1__MovePods__Move messages[MOVES_MAX];
    Kontor__V1__MovePods__Move *pointers[MOVES_MAX];

    assert(count <= MOVES_MAX);
    for (size_t i = 0; i < count; i++) {
        kontor__v1__move_pods__move__init(&messages[i]);
        messages[i].pod_id = moves[i].pod_id;
        messages[i].generation = moves[i].generation;
        messages[i].node_id = moves[i].node_id;
        pointers[i] = &messages[i];
    }
    in.moves = pointers;
    in.n_moves = count;
    in.drain_node_id = node_id;
    in.force = force;
    command.format = 1;
    command.move_pods = &in;
    return apply_message(cluster, &command);
}

struct cluster_result do_moves(struct cluster *cluster,
                               const struct move *moves, size_t count)
{
    return do_drain(cluster, 0, moves, count, false);
}

struct cluster_result do_move(struct cluster *cluster, uint64_t pod_id,
                              uint32_t generation, uint64_t node_id)
{
    const struct move move = {pod_id, generation, node_id};

    return do_moves(cluster, &move, 1);
}

enum { LABEL_WORDS_MAX = 80 };

/* What do_label() was told. */
struct label_words {
    char *text;
    Kontor__V1__Label set[2][LABEL_WORDS_MAX];
    Kontor__V1__Label *pointers[2][LABEL_WORDS_MAX];
    char *removed[2][LABEL_WORDS_MAX];
    size_t set_count[2];
    size_t removed_count[2];
};

static void add_word(struct label_words *words, char *word)
{
    int taint = word[0] == '!';
    char *key = word + taint;
    char *equals = strchr(key, '=');
    size_t *count =
        equals ? &words->set_count[taint] : &words->removed_count[taint];
    Kontor__V1__Label *label = &words->set[taint][*count];

    assert(*count < LABEL_WORDS_MAX);
    if (!equals) {
        key[strlen(key) - 1] = '\0'; /* the "-" */
        words->removed[taint][(*count)++] = key;
        return;
    }
    *equals = '\0';
    kontor__v1__label__init(label);
    label->key = key;
    label->value = equals + 1;
    words->pointers[taint][(*count)++] = label;
}

struct cluster_result do_label(struct cluster *cluster, uint64_t node_id,
                               const char *text)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_LABEL_NODE);
    Kontor__V1__LabelNode in = KONTOR__V1__LABEL_NODE__INIT;
    Kontor__V1__LabelChanges changes = KONTOR__V1__LABEL_CHANGES__INIT;
    struct label_words *words = memory_new(sizeof *words);
    struct cluster_result result;
    char *rest = NULL;

    words->text = memory_string(text);
    for (char *word = strtok_r(words->text, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest))
        add_word(words, word);
    changes.labels = words->pointers[0];
    changes.n_labels = words->set_count[0];
    changes.labels_removed = words->removed[0];
    changes.n_labels_removed = words->removed_count[0];
    changes.taints = words->pointers[1];
    changes.n_taints = words->set_count[1];
    changes.taints_removed = words->removed[1];
    changes.n_taints_removed = words->removed_count[1];
    in.node_id = node_id;
    in.changes = &changes;
    command.format = CLUSTER_FORMAT_1;
    command.label_node = &in;
    result = apply_message(cluster, &command);
    free(words->text);
    free(words);
    return result;
}

int save_to_file(struct cluster *cluster)
{
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    struct error why;

    assert(fd >= 0);
    if (cluster_save(cluster, fd, &why) != 0)
        assert(!"the snapshot could not be written");
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void read_snapshot(struct cluster *cluster, struct buffer *out)
{
    CLEANUP(fd_close) int fd = save_to_file(cluster);

    buffer_init(out, SNAPSHOT_MAX);
    for (;;) {
        uint8_t *room = buffer_reserve(out, 1 << 16);
        ssize_t got = room ? read(fd, room, 1 << 16) : -1;

        assert(got >= 0);
        if (got == 0)
            return;
        buffer_extend(out, (size_t)got);
    }
}

bool same_state(struct cluster *a, struct cluster *b)
{
    struct buffer left, right;
    bool same;

    read_snapshot(a, &left);
    read_snapshot(b, &right);
    same = buffer_length(&left) == buffer_length(&right) &&
           memcmp(buffer_data(&left), buffer_data(&right),
                  buffer_length(&left)) == 0;
    buffer_fini(&left);
    buffer_fini(&right);
    return same;
}
