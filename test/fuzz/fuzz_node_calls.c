/* fuzz_node_calls.c - any orders and questions of a master to a node whose
 * images cannot be fetched: each call is answered, and every pod that was
 * taken can be removed until nothing is left.
 *
 * The input is a list: a method of Node, flags, the length of a message in two
 * bytes, and the message. Of Exec, which takes many, those in a row are one
 * call. */
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/service.h"
#include "test/unit/pki_fixture.h"

#include "rpc/channel.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { CALLS_MAX = 24, TIMEOUT_MS = 5000, TURNS = 40 };
enum { FLAG_AWAIT = 1, FLAG_LAST = 2 };

static struct {
    uv_loop_t loop;
    char folder[64];
    char *pods;
    int dir;
    struct term term;
    struct pod_engine *engine;
    struct node_service *service;
    struct channel *master;
} node;

/* ---- the node ---- */

static int take_routes(void *data, const Kontor__V1__SetRoutesRequest *request,
                       struct error *why)
{
    (void)data;
    if (request->n_routes % 2)
        return error_set(why, ERROR_INVALID_ARGUMENT, "an odd route");
    return 0;
}

static void open_node(struct tls_context *tls, struct server **server)
{
    struct pod_engine_config engine = {
        .folder = node.pods,
        .kpod = "/nowhere",
        .cgroup = "kontor-fuzz-node",
        .changed = node_service_changed,
    };
    struct node_service_config service = {
        .term = &node.term,
        .set_routes = take_routes,
    };
    CLEANUP(free_pointer)
    char *folder = memory_format("%s/images", node.folder);
    const struct image_store_config images = {.folder = folder,
                                              .puller = "/nowhere"};
    struct error why;

    engine.image_folder = folder;
    node.service = node_service_open(&node.loop);
    engine.data = node.service;
    if (image_store_open(&service.images, &node.loop, &images, &why) != 0)
        abort();
    engine.images = service.images;
    if (pod_engine_open(&node.engine, &node.loop, &engine, &why) != 0 ||
        server_open(server, &node.loop, "127.0.0.1:0", tls,
                    &(struct server_limits){0}, &why) != 0)
        abort();
    service.engine = node.engine;
    node_service_start(node.service, &service, *server);
}

static void remove_folder(void)
{
    struct error why;

    folder_remove(AT_FDCWD, node.folder, &why);
}

static struct tls_context *identity(struct pki_fixture *pki, const char *name,
                                    const char *role)
{
    struct tls_context *tls;
    struct error why;

    pki_fixture_issue(pki, name, role);
    if (tls_context_new(&tls, pki->folder, name, &why) != 0)
        abort();
    return tls;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char address[32];
    struct channel_config config = {.address = address, .role = RPC_ROLE_NODE};
    struct pki_fixture pki;
    struct server *server;
    struct error why;

    (void)argc;
    (void)argv;
    log_set_level(LOG_LEVEL_ERROR + 1);
    snprintf(node.folder, sizeof node.folder, "/dev/shm/fuzz-node-%d",
             getpid());
    atexit(remove_folder);
    uv_loop_init(&node.loop);
    node.pods = memory_format("%s/pods", node.folder);
    assert(folder_make(node.folder, 0700, &why) == 0);
    node.dir = open(node.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(term_open(&node.term, node.dir, &why) == 0);
    pki_fixture_init(&pki);
    open_node(identity(&pki, "n1", "node"), &server);
    snprintf(address, sizeof address, "127.0.0.1:%u", server_port(server));
    config.context = identity(&pki, "m1", "master");
    pki_fixture_fini(&pki);
    node.master = channel_open(&node.loop, &config);
    return 0;
}

/* ---- calls ---- */

struct asked {
    struct call *call; /* NULL: it has ended */
    bool streams;
};

static void on_ended(struct call *call, const struct error *why)
{
    struct asked *asked = call_data(call);

    (void)why;
    asked->call = NULL;
}

static const struct {
    const char *path;
    const ProtobufCMessageDescriptor *request, *response;
    bool streams;
} methods[] = {
#define ROW(method, in, out, streams)                               \
    {                                                               \
        "/kontor.v1.Node/" method, &kontor__v1__##in##__descriptor, \
            &kontor__v1__##out##__descriptor, streams               \
    }
    ROW("CreatePods", create_pods_request, create_pods_response, false),
    ROW("DeletePods", delete_pods_request, delete_pods_response, false),
    ROW("ListPods", node_list_pods_request, node_list_pods_response, false),
    ROW("Watch", node_watch_request, node_report, true),
    ROW("Logs", node_logs_request, logs_chunk, true),
    ROW("Usage", usage_request, usage_response, false),
    ROW("SetRoutes", set_routes_request, set_routes_response, false),
    ROW("ListImages", list_images_request, list_images_response, false),
    ROW("PullImage", pull_image_request, pull_image_progress, true),
    ROW("RemoveImages", remove_images_request, remove_images_response, false),
    ROW("Exec", exec_request, exec_response, true), /* the last */
};

enum { EXEC = ARRAY_LEN(methods) - 1 };

static void ask(struct asked *asked, size_t which, uint8_t flags,
                const ProtobufCMessage *message)
{
    static const struct call_events events = {.ended = on_ended};
    const struct call_request request = {.path = methods[which].path,
                                         .response = methods[which].response,
                                         .timeout_ms = TIMEOUT_MS,
                                         .events = &events,
                                         .data = asked};
    struct error why;

    asked->streams = methods[which].streams;
    if (which != EXEC) {
        asked->call = channel_call_unary(node.master, &request, message);
        return;
    }
    if (!asked->call)
        asked->call = channel_call(node.master, &request);
    (void)call_send(asked->call, message, &why);
    if (flags & FLAG_LAST)
        call_half_close(asked->call);
}

/* Streams may go on for ever; all other calls are answered in time. */
static void await(struct asked *asked)
{
    uint64_t before = uv_hrtime();

    for (int turn = 0; turn < TURNS && asked->call; turn++)
        uv_run(&node.loop, UV_RUN_NOWAIT);
    if (asked->call && asked->streams)
        call_cancel(asked->call);
    while (asked->call)
        uv_run(&node.loop, UV_RUN_ONCE);
    assert(uv_hrtime() - before < (uint64_t)TIMEOUT_MS * 1000000);
}

/* ---- what is left ---- */

static void delete_pod(void *data, const Kontor__V1__PodStatus *status)
{
    Kontor__V1__DeletePodsRequest *request = data;
    Kontor__V1__PodOrder *order = memory_new(sizeof *order);

    kontor__v1__pod_order__init(order);
    order->pod_id = status->pod_id;
    order->generation = UINT32_MAX; /* and what is to come after it */
    request->pods =
        memory_resize(request->pods, (request->n_pods + 1) * sizeof(void *));
    request->pods[request->n_pods++] = order;
}

static void count_pod(void *data, const Kontor__V1__PodStatus *status)
{
    (void)status;
    ++*(unsigned *)data;
}

static unsigned pods_left(void)
{
    unsigned count = 0;

    pod_engine_each(node.engine, count_pod, &count);
    return count;
}

static void remove_pods(void)
{
    Kontor__V1__DeletePodsRequest request =
        KONTOR__V1__DELETE_PODS_REQUEST__INIT;
    struct asked asked = {0};
    uint64_t before = uv_hrtime();

    request.term = node.term.seen;
    pod_engine_each(node.engine, delete_pod, &request);
    ask(&asked, 1, 0, &request.base);
    await(&asked);
    while (pods_left() > 0) {
        uv_run(&node.loop, UV_RUN_ONCE);
        assert(uv_hrtime() - before < (uint64_t)TIMEOUT_MS * 1000000);
    }
    for (size_t i = 0; i < request.n_pods; i++)
        free(request.pods[i]);
    free(request.pods);
}

static void check_folder(void)
{
    DIR *listing = opendir(node.pods);
    const struct dirent *entry;

    assert(listing);
    while ((entry = readdir(listing)))
        assert(entry->d_name[0] < '0' || entry->d_name[0] > '9');
    closedir(listing);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct asked asked[CALLS_MAX] = {0};
    size_t at = 0;

    node.term.seen = 0; /* or the first great one would be the last */
    while (length >= 4 && at < CALLS_MAX) {
        size_t which = bytes[0] % ARRAY_LEN(methods);
        uint8_t flags = bytes[1];
        size_t part = (size_t)(bytes[2] | bytes[3] << 8);
        ProtobufCMessage *message;

        bytes += 4;
        length -= 4;
        if (part > length)
            part = length;
        if (asked[at].call && which != EXEC)
            at++;
        message = protobuf_c_message_unpack(methods[which].request, NULL, part,
                                            bytes);
        bytes += part;
        length -= part;
        if (!message || at == CALLS_MAX) {
            protobuf_c_message_free_unpacked(message, NULL);
            continue;
        }
        ask(&asked[at], which, flags, message);
        protobuf_c_message_free_unpacked(message, NULL);
        if (flags & FLAG_AWAIT)
            await(&asked[at]);
    }
    for (size_t i = 0; i < CALLS_MAX; i++)
        await(&asked[i]);
    remove_pods();
    check_folder();
    return 0;
}
