/* agent.c - opens the parts from the bottom to the top and closes them from
 * the top to the bottom:
 *
 *   home, certificates -> images -> engine -> network -> server, service
 *     -> registration
 *
 * Nothing here waits for a master: pods of an earlier life are looked after
 * at once. */
#include "node/agent.h"

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "node/features.h"
#include "node/home.h"
#include "node/network.h"
#include "node/register.h"
#include "node/service.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    /* A registered node that no master watches is one that the masters have
     * forgotten, and one without a network has yet to use what they gave it:
     * so often it registers again. */
    REGISTER_AGAIN_MS = 10000,
    DRAIN_MS = 1000,
    HEAP_CHUNK_MAX_BYTES = 64 << 10,
};

/* The request, with all that it points to. */
struct introduction {
    Kontor__V1__RegisterNodeRequest request;
    Kontor__V1__RequestId id;
    Kontor__V1__Resources capacity;
    Kontor__V1__Label labels[LABELS_MAX];
    Kontor__V1__Label *label_list[LABELS_MAX];
    char version[32];
};

struct agent {
    const struct node_options *options;
    uv_loop_t loop;
    struct home home;
    struct home_names names;
    struct tls_context *tls;
    struct image_store *images;
    struct pod_engine *engine;
    struct node_network network;
    struct term term;
    struct node_service *service;
    struct server *server;
    struct registration *registration;
    struct introduction introduction;
    uint64_t refusals[NODE_MASTERS_MAX]; /* hash of what each said last */
    uv_timer_t again;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    bool closing;
};

/* ---- registration -------------------------------------------------------- */

static void introduce(struct introduction *to, const struct agent *agent,
                      const struct capacity *offer)
{
    const struct node_options *options = agent->options;
    size_t count = options->label_count;

    kontor__v1__register_node_request__init(&to->request);
    kontor__v1__request_id__init(&to->id);
    kontor__v1__resources__init(&to->capacity);
    to->capacity.cpu_milli = offer->cpu_milli;
    to->capacity.memory_bytes = offer->memory_bytes;
    to->capacity.disk_bytes = offer->disk_bytes;
    to->capacity.net_bits = offer->net_bits;
    for (size_t i = 0; i < options->label_count; i++) {
        kontor__v1__label__init(&to->labels[i]);
        to->labels[i].key = without_const(options->labels[i].key);
        to->labels[i].value = without_const(options->labels[i].value);
    }
    count += features_found(options->data, to->labels + count);
    for (size_t i = 0; i < count; i++)
        to->label_list[i] = &to->labels[i];
    snprintf(to->version, sizeof to->version, "%s", KONTOR_VERSION);
    to->request.request_id = &to->id;
    to->request.name = without_const(options->name);
    to->request.address = without_const(options->advertise);
    to->request.capacity = &to->capacity;
    to->request.labels = to->label_list;
    to->request.n_labels = count;
    to->request.version = to->version;
    to->request.routes_apart = true;
}

static void agent_on_registered(void *data,
                                const Kontor__V1__RegisterNodeResponse *answer)
{
    struct agent *agent = data;
    struct error why;

    memset(agent->refusals, 0, sizeof agent->refusals);
    if (node_network_registered(&agent->network, answer, &why) != 0) {
        log_error("network: %s", why.message);
        return;
    }
    malloc_trim(0); /* what netlink and nftables needed once */
    log_info("registered: %s, pods in %s", agent->options->name,
             answer->node->subnet);
}

/* What a master said last time is not said again. */
static void agent_on_refused(void *data, const char *master,
                             const struct error *why)
{
    struct agent *agent = data;
    uint64_t hash = map_hash_bytes(why->message, strlen(why->message));
    size_t i = 0;

    while (strcmp(agent->options->masters[i], master) != 0)
        i++;
    if (agent->refusals[i] == hash)
        return;
    agent->refusals[i] = hash;
    log_warn("register with %s: %s: %s; trying on", master,
             error_name((int)why->code), why->message);
}

static void agent_on_again(uv_timer_t *timer)
{
    struct agent *agent = container_of(timer, struct agent, again);

    if (node_service_watchers(agent->service) == 0 || !agent->network.net)
        registration_start(agent->registration);
}

static int agent_set_routes(void *data,
                            const Kontor__V1__SetRoutesRequest *request,
                            struct error *why)
{
    struct agent *agent = data;

    return node_network_set_routes(&agent->network, request->routes,
                                   request->n_routes,
                                   request->after_version != 0, why);
}

/* ---- images -------------------------------------------------------------- */

static int agent_each_used(void *data, image_used_cb *used, void *to,
                           struct error *why)
{
    const struct agent *agent = data;

    if (!agent->engine)
        return error_set(why, ERROR_UNAVAILABLE, "this node is stopping");
    return pod_engine_each_layer(agent->engine, used, to, why);
}

static void agent_on_swept(void *data, const struct sweep *sweep,
                           const struct error *why)
{
    (void)data;
    if (why->code != ERROR_OK)
        log_warn("images: %s", why->message);
    for (size_t i = 0; i < sweep->removed_count; i++)
        log_info("image %s: removed, nothing used it", sweep->removed[i]);
}

/* ---- closing ------------------------------------------------------------- */

static void agent_on_images_closed(void *data)
{
    struct agent *agent = data;

    agent->images = NULL;
}

static void agent_on_service_closed(void *data)
{
    struct agent *agent = data;

    image_store_close(agent->images, agent_on_images_closed, agent);
}

static void agent_on_engine_closed(void *data)
{
    struct agent *agent = data;

    agent->engine = NULL;
    node_service_close(agent->service, agent_on_service_closed, agent);
}

static void agent_on_server_closed(void *data)
{
    struct agent *agent = data;

    pod_engine_close(agent->engine, agent_on_engine_closed, agent);
}

static void agent_on_registration_closed(void *data)
{
    struct agent *agent = data;

    node_service_hang_up(agent->service);
    server_close(agent->server, DRAIN_MS, agent_on_server_closed, agent);
}

static void agent_on_signal(uv_signal_t *handle, int number)
{
    struct agent *agent = handle->data;

    if (agent->closing)
        return;
    agent->closing = true;
    log_info("%s: stopping; pods run on", strsignal(number));
    uv_close((uv_handle_t *)&agent->terminate, NULL);
    uv_close((uv_handle_t *)&agent->interrupt, NULL);
    uv_close((uv_handle_t *)&agent->again, NULL);
    registration_close(agent->registration, agent_on_registration_closed,
                       agent);
}

/* ---- opening ------------------------------------------------------------- */

static int open_home(struct agent *agent, struct error *why)
{
    const struct node_options *options = agent->options;
    struct home_names *names = &agent->names;

    if (home_open(&agent->home, options->data, why) != 0)
        return (int)why->code;
    snprintf(names->cgroup, sizeof names->cgroup, "%s", options->cgroup);
    snprintf(names->bridge, sizeof names->bridge, "%s", options->bridge);
    snprintf(names->table, sizeof names->table, "%s", options->table);
    if (home_keep_names(&agent->home, names, why) != 0)
        return (int)why->code;
    return term_open(&agent->term, agent->home.folder, why);
}

static int measure(struct agent *agent, struct error *why)
{
    const struct capacity_wishes *wishes = &agent->options->capacity;
    char card[NET_LINK_NAME_MAX];
    struct capacity machine;
    struct capacity offer;
    struct error lack;

    if (capacity_measure(agent->home.path, &machine, why) != 0 ||
        capacity_offer(&machine, wishes, &offer, why) != 0)
        return (int)why->code;
    net_link_name(card);
    if (capacity_check_net(&offer, wishes, card, &lack) != 0)
        log_warn("%s", lack.message);
    introduce(&agent->introduction, agent, &offer);
    return 0;
}

static int open_engine(struct agent *agent, struct error *why)
{
    const struct node_options *options = agent->options;
    struct image_store_config images = {
        .folder = agent->home.images,
        .puller = options->kpull,
        .insecure = options->insecure.values,
        .insecure_count = options->insecure.count,
        .keep_ms = options->image_keep_ms,
        .each_used = agent_each_used,
        .swept = agent_on_swept,
        .data = agent,
    };
    struct pod_engine_config engine = {
        .folder = agent->home.pods,
        .image_folder = agent->home.images,
        .kpod = options->kpod,
        .cgroup = options->cgroup,
        .log_limit_bytes = options->log_limit_bytes,
        .changed = node_service_changed,
    };

    if (access(options->kpod, X_OK) != 0)
        return error_errno(why, "--kpod %s", options->kpod);
    if (access(options->kpull, X_OK) != 0)
        return error_errno(why, "--kpull %s", options->kpull);
    if (image_store_open(&agent->images, &agent->loop, &images, why) != 0)
        return (int)why->code;
    agent->service = node_service_open(&agent->loop);
    engine.images = agent->images;
    engine.data = agent->service;
    return pod_engine_open(&agent->engine, &agent->loop, &engine, why);
}

static void recall_network(struct agent *agent)
{
    struct error why;

    node_network_init(&agent->network, &agent->home, &agent->names,
                      agent->engine);
    agent->network.overlay = agent->options->overlay;
    if (node_network_recall(&agent->network, &why) == 0)
        log_info("pods in %s, as before", agent->network.known->node->subnet);
    else if (why.code != ERROR_NOT_FOUND)
        log_warn("network of before: %s", why.message);
}

static int open_server(struct agent *agent, struct error *why)
{
    struct node_service_config service = {
        .engine = agent->engine,
        .images = agent->images,
        .term = &agent->term,
        .set_routes = agent_set_routes,
        .data = agent,
    };

    if (server_open(&agent->server, &agent->loop, agent->options->listen,
                    agent->tls, &(struct server_limits){0}, why) != 0)
        return (int)why->code;
    node_service_start(agent->service, &service, agent->server);
    return 0;
}

static void start(struct agent *agent)
{
    struct registration_config config = {
        .masters = agent->options->masters,
        .master_count = agent->options->master_count,
        .tls = agent->tls,
        .request = &agent->introduction.request,
        .registered = agent_on_registered,
        .refused = agent_on_refused,
        .data = agent,
    };

    uv_timer_init(&agent->loop, &agent->again);
    uv_timer_start(&agent->again, agent_on_again, REGISTER_AGAIN_MS,
                   REGISTER_AGAIN_MS);
    uv_signal_init(&agent->loop, &agent->terminate);
    uv_signal_init(&agent->loop, &agent->interrupt);
    agent->terminate.data = agent;
    agent->interrupt.data = agent;
    uv_signal_start(&agent->terminate, agent_on_signal, SIGTERM);
    uv_signal_start(&agent->interrupt, agent_on_signal, SIGINT);
    agent->registration = registration_open(&agent->loop, &config);
    registration_start(agent->registration);
}

static int load_identity(struct agent *agent, struct error *why)
{
    const struct node_options *options = agent->options;
    const struct rpc_identity *self;

    if (tls_context_new(&agent->tls, options->pki, options->name, why) != 0)
        return (int)why->code;
    self = tls_context_identity(agent->tls);
    if (self->role != RPC_ROLE_NODE || strcmp(self->name, options->name) != 0)
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "certificate %s/%s.crt is for %s %s, not for node %s",
                         options->pki, options->name, rpc_role_name(self->role),
                         self->name, options->name);
    return 0;
}

/* What was opened before something failed is let go with the process: pods
 * stand on their own, and nothing was promised yet. */
static int open_all(struct agent *agent, struct error *why)
{
    if (load_identity(agent, why) != 0 || open_home(agent, why) != 0 ||
        measure(agent, why) != 0)
        return (int)why->code;
    if (uv_loop_init(&agent->loop) != 0)
        return error_set(why, ERROR_INTERNAL, "make an event loop");
    if (open_engine(agent, why) != 0)
        return (int)why->code;
    recall_network(agent);
    return open_server(agent, why);
}

int agent_run(const struct node_options *options, struct error *why)
{
    struct agent *agent = memory_new(sizeof *agent);

    /* A node idles in little memory: one arena for the workers, too, and
     * what is large is given back at once. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, HEAP_CHUNK_MAX_BYTES);
    /* libuv's workers: a slow removal or sync does not hold up a start. */
    setenv("UV_THREADPOOL_SIZE", "8", 0);
    signal(SIGPIPE, SIG_IGN);
    agent->options = options;
    error_clear(why);
    if (open_all(agent, why) != 0)
        return (int)why->code;
    start(agent);
    log_info("knode %s: %s on %s", KONTOR_VERSION, options->name,
             options->listen);
    uv_run(&agent->loop, UV_RUN_DEFAULT);
    node_network_fini(&agent->network);
    tls_context_free(agent->tls);
    home_close(&agent->home);
    uv_loop_close(&agent->loop);
    free(agent);
    return 0;
}
