#include "test/bench/hollow.h"

#include "base/clock.h"
#include "base/memory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 1000 };

struct hollow_pod {
    struct map_link by_id;
    struct hollow_pod *older;
    struct hollow_pod *newer;
    uint64_t id;
    uint64_t started_at_ms;
    uint32_t generation;
};

int hollow_board_open(struct hollow_board **out, const char *path, bool make,
                      struct error *why)
{
    int fd = path ? open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600)
                  : memfd_create("board", MFD_CLOEXEC);
    void *mapped = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof **out) == 0)
        mapped =
            mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        error_errno(why, "map the board %s", path ? path : "");
    if (fd >= 0)
        close(fd);
    if (mapped == MAP_FAILED)
        return (int)why->code;
    *out = mapped;
    return 0;
}

/* ---- what it has ---- */

static struct hollow_pod *find(const struct hollow *hollow, uint64_t id)
{
    uint64_t hash = map_hash_id(id);
    struct map_link *at = map_chain(&hollow->pods, hash);

    while (at && at->hash != hash) /* distinct ids, distinct hashes */
        at = at->next;
    return at ? container_of(at, struct hollow_pod, by_id) : NULL;
}

static struct hollow_pod *add(struct hollow *hollow, uint64_t id)
{
    struct hollow_pod *pod = memory_new(sizeof *pod);

    pod->id = id;
    pod->older = hollow->newest;
    if (pod->older)
        pod->older->newer = pod;
    hollow->newest = pod;
    map_insert(&hollow->pods, &pod->by_id, map_hash_id(id));
    return pod;
}

static void drop(struct hollow *hollow, struct hollow_pod *pod)
{
    if (pod->older)
        pod->older->newer = pod->newer;
    if (pod->newer)
        pod->newer->older = pod->older;
    else
        hollow->newest = pod->older;
    map_remove(&hollow->pods, &pod->by_id);
    free(pod);
}

/* ---- what it says ---- */

static void status_of(Kontor__V1__PodStatus *status,
                      const struct hollow_pod *pod)
{
    static char address[] = "10.1.2.3";

    kontor__v1__pod_status__init(status);
    status->pod_id = pod->id;
    status->generation = pod->generation;
    status->phase = KONTOR__V1__POD_PHASE__POD_RUNNING;
    status->address = address;
    status->pid = 1000;
    status->started_at_ms = pod->started_at_ms;
}

static void report(struct hollow *hollow, Kontor__V1__PodStatus **pods,
                   size_t count)
{
    Kontor__V1__NodeReport message = KONTOR__V1__NODE_REPORT__INIT;
    struct error why;

    if (!hollow->watch)
        return;
    message.sequence = ++hollow->sequence;
    message.pods = pods;
    message.n_pods = count;
    call_send(hollow->watch, &message.base, &why);
}

static void on_heartbeat(uv_timer_t *timer)
{
    struct hollow *hollow = container_of(timer, struct hollow, heartbeat);

    if (hollow->board->vanished != hollow->number)
        report(hollow, NULL, 0);
}

/* ---- what it is told ---- */

/* The node may answer: it is there, and the order is the newest leader's. */
static bool may_answer(struct call *call, uint64_t term)
{
    struct hollow *hollow = call_service_data(call);
    struct hollow_board *board = hollow->board;

    if (board->vanished == hollow->number)
        return false; /* never answered */
    if (term < hollow->term) {
        call_fail(call, ERROR_FAILED_PRECONDITION, "term is old");
        return false;
    }
    if (term > board->term) {
        board->sessions = 0;
        board->all_at_ns = 0;
        board->term = term;
    }
    return true;
}

static void count_created(struct hollow *hollow, uint32_t generation)
{
    struct hollow_board *board = hollow->board;
    uint64_t now_ns = clock_monotonic_ns();

    if (board->first_ns == 0)
        board->first_ns = now_ns;
    board->created_ns = now_ns;
    board->created++;
    if (generation < 2)
        return;
    board->moved_last_wall_ms = clock_wall_ms();
    if (board->moved++ == 0)
        board->moved_first_wall_ms = board->moved_last_wall_ms;
}

/* Room for so many statuses, and the pointers to them. */
struct statuses {
    Kontor__V1__PodStatus *messages;
    Kontor__V1__PodStatus **pointers;
};

static void statuses_init(struct statuses *statuses, size_t count)
{
    statuses->messages = memory_array(count, sizeof(Kontor__V1__PodStatus));
    statuses->pointers = memory_array(count, sizeof(Kontor__V1__PodStatus *));
    for (size_t i = 0; i < count; i++)
        statuses->pointers[i] = &statuses->messages[i];
}

static void statuses_fini(struct statuses *statuses)
{
    free(statuses->messages);
    free(statuses->pointers);
}

static const struct hollow_pod *take(struct hollow *hollow,
                                     const Kontor__V1__PodOrder *order)
{
    struct hollow_pod *pod = find(hollow, order->pod_id);

    if (!pod)
        pod = add(hollow, order->pod_id);
    pod->generation = order->generation;
    pod->started_at_ms = clock_wall_ms();
    count_created(hollow, pod->generation);
    return pod;
}

static void create_pods(struct call *call, const ProtobufCMessage *message)
{
    struct hollow *hollow = call_service_data(call);
    const Kontor__V1__CreatePodsRequest *request = (const void *)message;
    Kontor__V1__CreatePodsResponse response =
        KONTOR__V1__CREATE_PODS_RESPONSE__INIT;
    struct statuses statuses;

    if (!may_answer(call, request->term))
        return;
    statuses_init(&statuses, request->n_pods);
    for (size_t i = 0; i < request->n_pods; i++)
        status_of(&statuses.messages[i], take(hollow, request->pods[i]));
    call_reply(call, &response.base);
    report(hollow, statuses.pointers, request->n_pods);
    statuses_fini(&statuses);
}

static void delete_pods(struct call *call, const ProtobufCMessage *message)
{
    struct hollow *hollow = call_service_data(call);
    const Kontor__V1__DeletePodsRequest *request = (const void *)message;
    Kontor__V1__DeletePodsResponse response =
        KONTOR__V1__DELETE_PODS_RESPONSE__INIT;
    struct statuses statuses;
    size_t count = 0;

    if (!may_answer(call, request->term))
        return;
    statuses_init(&statuses, request->n_pods);
    for (size_t i = 0; i < request->n_pods; i++) {
        struct hollow_pod *pod = find(hollow, request->pods[i]->pod_id);

        if (!pod)
            continue;
        status_of(&statuses.messages[count], pod);
        statuses.messages[count++].phase = KONTOR__V1__POD_PHASE__POD_STOPPED;
        drop(hollow, pod);
    }
    call_reply(call, &response.base);
    report(hollow, statuses.pointers, count);
    statuses_fini(&statuses);
}

/* The leader compares next: the node is under its orders. */
static void count_session(struct hollow *hollow, uint64_t term)
{
    struct hollow_board *board = hollow->board;

    if (term == hollow->term)
        return; /* compared once more */
    hollow->term = term;
    if (term == board->term && ++board->sessions == board->nodes)
        board->all_at_ns = clock_monotonic_ns();
}

static void list_pods(struct call *call, const ProtobufCMessage *message)
{
    struct hollow *hollow = call_service_data(call);
    const Kontor__V1__NodeListPodsRequest *request = (const void *)message;
    Kontor__V1__NodeListPodsResponse response =
        KONTOR__V1__NODE_LIST_PODS_RESPONSE__INIT;
    struct statuses statuses;

    if (!may_answer(call, request->term))
        return;
    statuses_init(&statuses, hollow->pods.count);
    for (struct hollow_pod *pod = hollow->newest; pod; pod = pod->older)
        status_of(&statuses.messages[response.n_pods++], pod);
    response.pods = statuses.pointers;
    response.routes_version = hollow->routes_version;
    call_reply(call, &response.base);
    count_session(hollow, request->term);
    statuses_fini(&statuses);
}

static void on_watch_ended(struct call *call, const struct error *why)
{
    struct hollow *hollow = call_data(call);

    (void)why;
    if (hollow->watch == call)
        hollow->watch = NULL;
}

static void watch_pods(struct call *call, const ProtobufCMessage *message)
{
    static const struct call_events events = {.ended = on_watch_ended};
    struct hollow *hollow = call_service_data(call);
    const Kontor__V1__NodeWatchRequest *request = (const void *)message;

    if (!may_answer(call, request->term))
        return;
    hollow->watch = call;
    hollow->sequence = 0;
    call_listen(call, &events, hollow);
    report(hollow, NULL, 0);
}

static void set_routes(struct call *call, const ProtobufCMessage *message)
{
    struct hollow *hollow = call_service_data(call);
    const Kontor__V1__SetRoutesRequest *request = (const void *)message;
    Kontor__V1__SetRoutesResponse response =
        KONTOR__V1__SET_ROUTES_RESPONSE__INIT;

    if (!may_answer(call, request->term))
        return;
    hollow->routes_version = request->version;
    response.version = request->version;
    call_reply(call, &response.base);
}

#define METHOD(METHOD_NAME, REQUEST, RESPONSE, HANDLE)                    \
    .name = METHOD_NAME, .request = &kontor__v1__##REQUEST##__descriptor, \
    .response = &kontor__v1__##RESPONSE##__descriptor,                    \
    .roles = RPC_ROLE_MASTER, .handle = HANDLE

static const struct method methods[] = {
    {METHOD("CreatePods", create_pods_request, create_pods_response,
            create_pods)},
    {METHOD("DeletePods", delete_pods_request, delete_pods_response,
            delete_pods)},
    {METHOD("ListPods", node_list_pods_request, node_list_pods_response,
            list_pods)},
    {METHOD("Watch", node_watch_request, node_report, watch_pods),
     .server_streams = true},
    {METHOD("SetRoutes", set_routes_request, set_routes_response, set_routes)},
};

const struct service hollow_service = {"kontor.v1.Node", methods,
                                       ARRAY_LEN(methods)};

void hollow_init(struct hollow *hollow, struct hollow_board *board,
                 uint64_t number, uv_loop_t *loop)
{
    hollow->board = board;
    hollow->number = number;
    map_init(&hollow->pods);
    uv_timer_init(loop, &hollow->heartbeat);
    /* Their heartbeats come spread over the second, as of real machines. */
    uv_timer_start(&hollow->heartbeat, on_heartbeat,
                   number * 7919 % HEARTBEAT_MS, HEARTBEAT_MS);
}
