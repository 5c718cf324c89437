#include "master_commands.h"

#include "base/fd.h"
#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SNAPSHOT_MAX = 64 << 20 };

struct cluster_result apply_message(struct cluster *cluster,
                                    const Kontor__V1__Command *command)
{
    size_t length = kontor__v1__command__get_packed_size(command);
    uint8_t *bytes = memory_new(length + 1);
    struct cluster_result result;

    kontor__v1__command__pack(command, bytes);
    cluster_apply(cluster, cluster->index + 1, bytes, length, &result);
    free(bytes);
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

struct cluster_result do_create(struct cluster *cluster, struct create create)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_CREATE_POD);
    Kontor__V1__CreatePod in = KONTOR__V1__CREATE_POD__INIT;
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    char app[64], pin[64], image[] = "registry.local:5000/web:1";
    char reason[] = "nothing fits";

    snprintf(app, sizeof app, "%s", create.app ? create.app : "web");
    snprintf(pin, sizeof pin, "%s", create.pin ? create.pin : "");
    resources.cpu_milli = create.want.cpu_milli;
    resources.memory_bytes = create.want.memory_bytes;
    resources.disk_bytes = create.want.disk_bytes;
    resources.net_bits = create.want.net_bits;
    container.image = image;
    spec.app = app;
    spec.node = pin;
    spec.resources = &resources;
    spec.containers = containers;
    spec.n_containers = 1;
    spec.restart = create.restart;
    in.spec = &spec;
    in.node_id = create.node_id;
    in.named = create.named;
    if (!create.node_id)
        in.reason = reason;
    id.low = create.request;
    command.request_id = &id;
    command.create_pod = &in;
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

struct cluster_result do_place(struct cluster *cluster, uint64_t pod_id,
                               uint64_t node_id)
{
    Kontor__V1__Command command =
        command_of(cluster, KONTOR__V1__COMMAND__OPERATION_PLACE_PODS);
    Kontor__V1__PlacePods in = KONTOR__V1__PLACE_PODS__INIT;
    Kontor__V1__PlacePods__Placement placement =
        KONTOR__V1__PLACE_PODS__PLACEMENT__INIT;
    Kontor__V1__PlacePods__Placement *placements[] = {&placement};

    placement.pod_id = pod_id;
    placement.node_id = node_id;
    in.placements = placements;
    in.n_placements = 1;
    command.place_pods = &in;
    return apply_message(cluster, &command);
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
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__Label label = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&label};
    char own_name[256], address[] = "127.0.0.1:7500", version[] = "0.1.0";
    char network[] = "10.42.0.0/16", key[] = "zone", value[] = "a";

    snprintf(own_name, sizeof own_name, "%s", name);
    resources.cpu_milli = capacity.cpu_milli;
    resources.memory_bytes = capacity.memory_bytes;
    resources.disk_bytes = capacity.disk_bytes;
    resources.net_bits = capacity.net_bits;
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
