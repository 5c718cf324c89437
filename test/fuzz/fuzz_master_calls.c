/* fuzz_master_calls.c - any requests of people and nodes, and anything that a
 * node reports, to a real master that leads alone: each is answered, and the
 * state can be saved and loaded after it.
 *
 * A backup has no arguments, and forks: it is not asked for.
 *
 * The input is a list: what it is (a method of Cluster, or something the node
 * says), who calls, the length of a message in two bytes, and the message. Each
 * input begins with a state of node n1 alone. */
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "master/service.h"
#include "raft/replica_members.h"
#include "raft/replica_state.h"
#include "rpc/address.h"
#include "test/unit/master_world.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { CALLS_MAX = 24, TIMEOUT_MS = 5000, TURNS = 40 };

/* What the node says; all else is a method. */
enum { SAY_REPORT = 32, SAY_LIST, SAY_COUNT };

static struct {
    struct channel *callers[3];
    const char *node_address;
    int state;          /* a file: what each input begins with */
    struct call *watch; /* that n1 answers; NULL: none */
    Kontor__V1__NodeListPodsResponse *list; /* what it has; NULL: nothing */
} all;

/* ---- n1: it takes every order, and says what the input wants ---- */

static void take_create(struct call *call, const ProtobufCMessage *request)
{
    static const Kontor__V1__CreatePodsResponse done =
        KONTOR__V1__CREATE_PODS_RESPONSE__INIT;

    (void)request;
    call_reply(call, &done.base);
}

static void take_delete(struct call *call, const ProtobufCMessage *request)
{
    static const Kontor__V1__DeletePodsResponse done =
        KONTOR__V1__DELETE_PODS_RESPONSE__INIT;

    (void)request;
    call_reply(call, &done.base);
}

static void take_routes(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__SetRoutesResponse done = KONTOR__V1__SET_ROUTES_RESPONSE__INIT;

    done.version =
        ((const Kontor__V1__SetRoutesRequest *)(const void *)message)->version;
    call_reply(call, &done.base);
}

static void give_list(struct call *call, const ProtobufCMessage *request)
{
    static const Kontor__V1__NodeListPodsResponse nothing =
        KONTOR__V1__NODE_LIST_PODS_RESPONSE__INIT;

    (void)request;
    call_reply(call, all.list ? &all.list->base : &nothing.base);
}

static void on_watch_ended(struct call *call, const struct error *why)
{
    (void)why;
    if (all.watch == call)
        all.watch = NULL;
}

static void give_watch(struct call *call, const ProtobufCMessage *request)
{
    static const struct call_events events = {.ended = on_watch_ended};

    (void)request;
    all.watch = call;
    call_listen(call, &events, NULL);
}

#define ROW(method, in, out, how)                                   \
    {                                                               \
        .name = method, .request = &kontor__v1__##in##__descriptor, \
        .response = &kontor__v1__##out##__descriptor,               \
        .roles = RPC_ROLE_MASTER, .handle = how                     \
    }

static const struct method node_methods[] = {
    ROW("CreatePods", create_pods_request, create_pods_response, take_create),
    ROW("DeletePods", delete_pods_request, delete_pods_response, take_delete),
    ROW("SetRoutes", set_routes_request, set_routes_response, take_routes),
    ROW("ListPods", node_list_pods_request, node_list_pods_response, give_list),
    {.name = "Watch",
     .request = &kontor__v1__node_watch_request__descriptor,
     .response = &kontor__v1__node_report__descriptor,
     .roles = RPC_ROLE_MASTER,
     .server_streams = true,
     .handle = give_watch},
};

static const struct service node_service = {"kontor.v1.Node", node_methods,
                                            ARRAY_LEN(node_methods)};

static void report(const uint8_t *bytes, size_t length)
{
    Kontor__V1__NodeReport *said =
        kontor__v1__node_report__unpack(NULL, length, bytes);
    struct error why;

    for (int i = 0; i < TURNS && !all.watch; i++)
        uv_run(&world.loop, UV_RUN_NOWAIT);
    if (said && all.watch)
        (void)call_send(all.watch, &said->base, &why);
    if (said)
        kontor__v1__node_report__free_unpacked(said, NULL);
}

static void set_list(const uint8_t *bytes, size_t length)
{
    if (all.list)
        kontor__v1__node_list_pods_response__free_unpacked(all.list, NULL);
    all.list = kontor__v1__node_list_pods_response__unpack(NULL, length, bytes);
}

/* ---- calls ---- */

struct asked {
    struct call *call; /* NULL: it has ended */
    bool streams;
    char path[64];
};

static void on_ended(struct call *call, const struct error *why)
{
    struct asked *asked = call_data(call);

    (void)why;
    asked->call = NULL;
}

/* A master that was added would be reached for, wherever that is: those get an
 * address at which nobody listens. A name or an address that is refused stays
 * as it is. */
static void make_harmless(Kontor__V1__AddMasterRequest *request)
{
    struct address address;
    struct error why;

    if (address_parse(request->address, &address, &why) != 0)
        return;
    free(request->address);
    request->address = memory_string("127.0.0.1:1");
}

static void ask(struct asked *asked, const struct method *method, uint8_t who,
                const ProtobufCMessage *message)
{
    static const struct call_events events = {.ended = on_ended};
    const struct call_request request = {.path = asked->path,
                                         .response = method->response,
                                         .timeout_ms = TIMEOUT_MS,
                                         .events = &events,
                                         .data = asked};
    struct channel *channel =
        all.callers[(who & 0x7f) % ARRAY_LEN(all.callers)];
    struct error why;

    snprintf(asked->path, sizeof asked->path, "/kontor.v1.Cluster/%s",
             method->name);
    asked->streams = method->server_streams;
    if (!method->client_streams) {
        asked->call = channel_call_unary(channel, &request, message);
        return;
    }
    asked->call = channel_call(channel, &request);
    if (call_send(asked->call, message, &why) == 0)
        call_half_close(asked->call);
}

static void call_method(struct asked *asked, const struct method *method,
                        uint8_t who, const uint8_t *bytes, size_t length)
{
    ProtobufCMessage *message =
        protobuf_c_message_unpack(method->request, NULL, length, bytes);

    if (!message)
        return;
    if (message->descriptor == &kontor__v1__add_master_request__descriptor)
        make_harmless((Kontor__V1__AddMasterRequest *)(void *)message);
    ask(asked, method, who, message);
    protobuf_c_message_free_unpacked(message, NULL);
}

/* Streams go on for ever; all other calls are answered in time. */
static void await(struct asked *asked, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t before = uv_hrtime();

        for (int turn = 0; turn < TURNS && asked[i].call; turn++)
            uv_run(&world.loop, UV_RUN_NOWAIT);
        if (asked[i].call && asked[i].streams)
            call_cancel(asked[i].call);
        while (asked[i].call)
            uv_run(&world.loop, UV_RUN_ONCE);
        assert(uv_hrtime() - before < (uint64_t)TIMEOUT_MS * 1000000);
    }
}

/* ---- the state ---- */

static struct master *the_master(void)
{
    return world.masters[0].master;
}

/* As if it had followed, got a snapshot installed, and leads again. */
static void begin_anew(void)
{
    struct master *master = the_master();
    struct replica *replica = master->replica;
    const struct replica_machine *machine = &replica->machine;
    void *loaded;
    struct error why;

    dispatch_follow(&master->dispatch);
    watchers_end(&master->watchers);
    master->leading = false;
    master->role_changed = true;
    lseek(all.state, 0, SEEK_SET);
    if (machine->load(machine->data, all.state, replica->applied_index, &loaded,
                      &why) != 0)
        abort();
    machine->drop(machine->exchange(machine->data, loaded));
    uv_run(&world.loop, UV_RUN_NOWAIT);
}

static void check_state(void)
{
    CLEANUP(fd_close) int fd = memfd_create("state", MFD_CLOEXEC);
    struct cluster *loaded;
    struct error why;

    assert(cluster_save(the_master()->cluster, fd, &why) == 0);
    lseek(fd, 0, SEEK_SET);
    assert(cluster_load(&loaded, fd, &why) == 0);
    cluster_free(loaded);
}

static const struct method *method_of(const char *name)
{
    const struct method *method = cluster_service.methods;

    while (strcmp(method->name, name) != 0)
        method++;
    return method;
}

static void register_node(void)
{
    Kontor__V1__RegisterNodeRequest request =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;
    Kontor__V1__Resources capacity = KONTOR__V1__RESOURCES__INIT;
    struct asked asked = {0};

    capacity.cpu_milli = 4000;
    capacity.memory_bytes = UINT64_C(4) << 30;
    request.name = (char[]){"n1"};
    request.address = memory_string(all.node_address);
    request.capacity = &capacity;
    ask(&asked, method_of("RegisterNode"), 2, &request.base);
    await(&asked, 1);
    free(request.address);
}

/* Members are no part of the state that each input begins with. */
static void remove_masters(void)
{
    const struct world_master *own = &world.masters[0];
    const Kontor__V1__RaftConfiguration *members;

    while ((members = replica_members(own->master->replica))->n_members > 1) {
        Kontor__V1__RemoveMasterRequest request =
            KONTOR__V1__REMOVE_MASTER_REQUEST__INIT;
        struct asked asked = {0};
        bool first = strcmp(members->members[0]->name, own->name) == 0;

        request.name = memory_string(members->members[first]->name);
        ask(&asked, method_of("RemoveMaster"), 0, &request.base);
        await(&asked, 1);
        free(request.name);
    }
}

/* ---- the whole ---- */

static void remove_folders(void)
{
    struct error why;

    folder_remove(AT_FDCWD, world.folder, &why);
    folder_remove(AT_FDCWD, world.pki.folder, &why);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char address[FREE_ADDRESS_MAX];
    struct tls_context *tls;
    struct server *server;
    struct error why;

    (void)argc;
    (void)argv;
    log_set_level(LOG_LEVEL_ERROR + 1);
    world_start(1, 1);
    atexit(remove_folders);
    pki_fixture_issue(&world.pki, "n1", "node");
    free_address(address);
    all.node_address = address;
    assert(tls_context_new(&tls, world.pki.folder, "n1", &why) == 0);
    assert(server_open(&server, &world.loop, address, tls,
                       &(struct server_limits){0}, &why) == 0);
    server_add(server, &node_service, NULL);
    all.callers[0] = world_channel(0, "admin");
    all.callers[1] = world_channel(0, "viewer");
    all.callers[2] = world_channel(0, "n1");
    register_node();
    all.state = memfd_create("state", MFD_CLOEXEC);
    assert(cluster_save(the_master()->cluster, all.state, &why) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct asked asked[CALLS_MAX] = {0};
    size_t count = 0;

    set_list(NULL, 0);
    begin_anew();
    while (length >= 4 && count < CALLS_MAX) {
        uint8_t what = bytes[0] % SAY_COUNT;
        uint8_t who = bytes[1];
        size_t part = (size_t)(bytes[2] | bytes[3] << 8);

        bytes += 4;
        length -= 4;
        if (part > length)
            part = length;
        if (what == SAY_REPORT)
            report(bytes, part);
        else if (what == SAY_LIST)
            set_list(bytes, part);
        else if (what < cluster_service.method_count &&
                 &cluster_service.methods[what] != method_of("Backup"))
            call_method(&asked[count++], &cluster_service.methods[what], who,
                        bytes, part);
        if (who & 0x80) /* else it comes together with the next */
            await(asked, count);
        bytes += part;
        length -= part;
    }
    await(asked, count);
    check_state();
    remove_masters();
    return 0;
}
