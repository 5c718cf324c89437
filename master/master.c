#include "master/master.h"

#include "base/log.h"
#include "base/memory.h"
#include "master/matcher.h"
#include "master/service.h"

#include <assert.h>
#include <inttypes.h>
#include <unistd.h>

/* ---- the state machine, as the replica drives it ---- */

/* The others know what to do and we do not: whatever we did would be another
 * state than theirs. The log keeps the entry for a program that knows it. */
static _Noreturn void die(const struct error *why)
{
    log_error("this master ends: %s", why->message);
    _exit(EXIT_FAILURE);
}

static uint32_t format_of(const void *data)
{
    return ((const struct master *)data)->cluster->format;
}

/* What came in one turn, as one entry. */
static struct raft_payload *
on_join(const void *data, struct raft_payload *const *commands, size_t count)
{
    CLEANUP(free_pointer) ProtobufCBinaryData *all = NULL;
    CLEANUP(free_pointer) uint8_t *bytes = NULL;
    size_t length;

    if (format_of(data) < CLUSTER_FORMAT_2)
        return NULL;
    all = memory_array(count, sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = (ProtobufCBinaryData){commands[i]->length,
                                       without_const(commands[i]->bytes)};
    bytes = cluster_join(all, count, &length);
    return raft_payload_new(bytes, length);
}

static void on_apply(void *data, uint64_t index, const uint8_t *bytes,
                     size_t length)
{
    struct master *master = data;
    uint32_t format = master->cluster->format;
    struct cluster_result result;

    cluster_apply(master->cluster, index, bytes, length, &result);
    if (result.beyond)
        die(&result.error);
    if (result.replayed)
        master->replayed_index = index;
    if (master->cluster->format > format) {
        log_info("the cluster has reached format %" PRIu32,
                 master->cluster->format);
        placer_lead(&master->placer); /* it may do more than before */
    }
    placer_refresh(&master->placer);
}

static int on_save(void *data, int fd, struct error *why)
{
    struct master *master = data;

    return cluster_save(master->cluster, fd, why);
}

/* On a thread of its own: `master` is only asked what stays as it is. */
static int on_load(void *data, int fd, uint64_t index, void **out,
                   struct error *why)
{
    const struct master *master = data;
    struct cluster *loaded;

    if (cluster_load(&loaded, fd, why) != 0) {
        if (why->code == ERROR_UNIMPLEMENTED && master->replica)
            die(why); /* of the leader's; our own is for main to refuse */
        return why->code;
    }
    /* The log may end in entries that are no commands. */
    if (loaded->index > index) {
        int code = error_set(why, ERROR_DATA_LOSS,
                             "snapshot of index %" PRIu64
                             " holds the state at %" PRIu64,
                             index, loaded->index);

        cluster_free(loaded);
        return code;
    }
    *out = loaded;
    return 0;
}

static void *on_exchange(void *data, void *loaded)
{
    struct master *master = data;
    struct cluster *former = master->cluster;

    master->cluster = loaded;
    watchers_reset(&master->watchers, master->cluster);
    placer_reset(&master->placer, master->cluster);
    master->dispatch.cluster = master->cluster;
    master->state_replaced = true;
    return former;
}

static void on_drop(void *state)
{
    cluster_free(state);
}

static void on_changed(void *data)
{
    struct master *master = data;

    master->role_changed = true;
}

/* ---- the end of a loop turn ---- */

static void lead(struct master *master, uint64_t term)
{
    placer_lead(&master->placer);
    format_lead(master);
    dispatch_lead(&master->dispatch, term);
}

static void follow(struct master *master)
{
    dispatch_follow(&master->dispatch);
    watchers_end(&master->watchers);
}

static void look_at_role(struct master *master)
{
    struct replica_status status = replica_status(master->replica);
    bool was_leading = master->leading;

    master->role_changed = false;
    if (was_leading && (!status.ready || status.term != master->term))
        follow(master);
    if (status.ready && (!was_leading || status.term != master->term))
        lead(master, status.term);
    master->term = status.term;
    master->leading = status.ready;
    service_transfers_step(master);
    forwarder_kick(&master->forwarder);
}

/* For another turn. */
static void on_again(uv_timer_t *timer)
{
    (void)timer;
}

/* Who waits is placed before what has just come. */
static void step(struct master *master)
{
    bool more;

    if (master->state_replaced) {
        master->state_replaced = false;
        dispatch_reset(&master->dispatch, master->cluster);
    }
    if (master->role_changed)
        look_at_role(master);
    more = master->leading && placer_step(&master->placer);
    if (service_place_step(master) || more)
        uv_timer_start(&master->again, on_again, 1, 0);
    service_members_step(master);
    dispatch_step(&master->dispatch);
    watchers_step(&master->watchers);
    format_step(master);
}

static void on_prepare(uv_prepare_t *prepare)
{
    step(container_of(prepare, struct master, prepare));
}

static void on_check(uv_check_t *check)
{
    step(container_of(check, struct master, check));
}

/* ---- opening ---- */

static void open_parts(struct master *master)
{
    const struct master_config *config = &master->config;

    master->cluster = cluster_new();
    placer_init(&master->placer, master->cluster);
    watchers_init(&master->watchers, master->cluster);
    forwarder_init(&master->forwarder, master);
    list_init(&master->changes);
    list_init(&master->transfers);
    list_init(&master->arrivals);
    dispatch_init(&master->dispatch,
                  &(struct dispatch_config){
                      .loop = master->loop,
                      .tls = config->tls,
                      .watchers = &master->watchers,
                      .suspect_after_ms = config->suspect_after_ms,
                      .lost_after_ms = config->lost_after_ms,
                  },
                  master->cluster);
    uv_prepare_init(master->loop, &master->prepare);
    uv_check_init(master->loop, &master->check);
    uv_timer_init(master->loop, &master->again);
}

static int open_replica(struct master *master, struct error *why)
{
    const struct master_config *config = &master->config;
    struct replica_config replica = {
        .name = config->name,
        .folder = config->folder,
        .members = config->members,
        .member_count = config->member_count,
        .tls = config->tls,
        .lease_drift_permille = config->lease_drift_permille,
        .election_timeout_ms = config->election_timeout_ms,
        .heartbeat_ms = config->heartbeat_ms,
        .snapshot_entries = config->snapshot_entries,
        .apply_entries = config->apply_entries,
        .format = master->cluster->known,
        .machine = {on_apply, on_save, on_load, on_exchange, on_drop,
                    on_changed, master, format_of, on_join},
    };

    return replica_open(&master->replica, master->loop, master->server,
                        &replica, why);
}

int master_open(struct master **out, uv_loop_t *loop,
                const struct master_config *config, struct error *why)
{
    struct master *master = memory_new(sizeof *master);

    master->loop = loop;
    master->config = *config;
    open_parts(master);
    /* When this fails the process ends: what is open goes with it. */
    if (server_open(&master->server, loop, config->listen, config->tls,
                    &(struct server_limits){0}, why) != 0 ||
        open_replica(master, why) != 0)
        return why->code;
    server_add(master->server, &cluster_service, master);
    master->placer.replica = master->replica;
    dispatch_start(&master->dispatch, master->replica);
    /* Each is run before the replica's, which was started first. */
    uv_prepare_start(&master->prepare, on_prepare);
    uv_check_start(&master->check, on_check);
    *out = master;
    return 0;
}

/* ---- closing ---- */

static void on_check_closed(uv_handle_t *handle)
{
    struct master *master =
        container_of((uv_check_t *)(void *)handle, struct master, check);
    void (*closed)(void *data) = master->closed;
    void *data = master->closed_data;

    placer_fini(&master->placer);
    cluster_free(master->cluster);
    free(master);
    closed(data);
}

static void on_prepare_closed(uv_handle_t *handle)
{
    struct master *master =
        container_of((uv_prepare_t *)(void *)handle, struct master, prepare);

    uv_close((uv_handle_t *)&master->check, on_check_closed);
}

static void on_replica_closed(void *data)
{
    struct master *master = data;

    /* What is closed in one turn is gone before that turn's last. */
    uv_close((uv_handle_t *)&master->again, NULL);
    uv_close((uv_handle_t *)&master->prepare, on_prepare_closed);
}

static void on_server_closed(void *data)
{
    struct master *master = data;

    assert(list_empty(&master->arrivals)); /* their calls have ended */
    service_members_step(master);
    uv_prepare_stop(&master->prepare);
    uv_check_stop(&master->check);
    watchers_end(&master->watchers);
    dispatch_close(&master->dispatch);
    forwarder_close(&master->forwarder);
    replica_close(master->replica, on_replica_closed, master);
}

void master_close(struct master *master, uint64_t grace_ms,
                  void (*closed)(void *data), void *data)
{
    master->closed = closed;
    master->closed_data = data;
    server_set_serving(master->server, false);
    server_close(master->server, grace_ms, on_server_closed, master);
}
