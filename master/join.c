#include "master/join.h"

#include "base/log.h"
#include "rpc/channel.h"

#include <stdio.h>
#include <string.h>

enum { ASK_EVERY_MS = 500, ASK_TIMEOUT_MS = 2000 };

struct join {
    uv_loop_t loop;
    uv_timer_t timer;
    const char *name;
    struct channel *channels[RAFT_MEMBERS_MAX];
    unsigned count;
    struct join_members *out;
    bool found;
};

static void on_channel_closed(void *data)
{
    (void)data;
}

static void stop(struct join *join)
{
    uv_close((uv_handle_t *)&join->timer, NULL);
    for (unsigned i = 0; i < join->count; i++)
        channel_close(join->channels[i], on_channel_closed, NULL);
}

static const Kontor__V1__Master *
find_row(const Kontor__V1__MastersResponse *told, const char *name)
{
    for (size_t i = 0; i < told->n_masters; i++)
        if (strcmp(told->masters[i]->name, name) == 0)
            return told->masters[i];
    return NULL;
}

/* Is who told this the leader, or as far as it? Another may still list those
 * of long ago. */
static bool is_current(const Kontor__V1__MastersResponse *told)
{
    const Kontor__V1__Master *teller = find_row(told, told->answered_by);

    for (size_t i = 0; teller && i < told->n_masters; i++) {
        const Kontor__V1__Master *row = told->masters[i];

        if (strcmp(row->role, "leader") == 0)
            return row == teller || teller->applied_index >= row->last_index;
    }
    return false;
}

bool join_is_told(const Kontor__V1__MastersResponse *told, const char *name)
{
    const Kontor__V1__Master *own = find_row(told, name);

    return told->n_masters <= RAFT_MEMBERS_MAX && own && own->learner &&
           is_current(told);
}

/* Take the members over, with their ids. */
static void on_told(struct call *call, const ProtobufCMessage *message)
{
    struct join *join = call_data(call);
    const Kontor__V1__MastersResponse *told =
        (const Kontor__V1__MastersResponse *)message;
    struct join_members *out = join->out;

    if (join->found || !join_is_told(told, join->name))
        return;
    for (unsigned i = 0; i < told->n_masters; i++) {
        const Kontor__V1__Master *row = told->masters[i];

        snprintf(out->names[i], sizeof out->names[i], "%s", row->name);
        snprintf(out->addresses[i], sizeof out->addresses[i], "%s",
                 row->address);
        out->members[i] = (struct replica_member){
            .name = out->names[i],
            .address = out->addresses[i],
            .id = row->id,
            .learner = row->learner,
        };
    }
    out->count = (unsigned)told->n_masters;
    join->found = true;
    stop(join);
}

static void on_told_all(struct call *call, const struct error *why)
{
    (void)call;
    (void)why; /* asked again soon */
}

static const struct call_events asking = {
    .message = on_told,
    .ended = on_told_all,
};

static void on_timer(uv_timer_t *timer)
{
    struct join *join = timer->data;
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;

    for (unsigned i = 0; i < join->count; i++) {
        if (!channel_connected(join->channels[i]))
            continue;
        channel_call_unary(
            join->channels[i],
            &(struct call_request){
                .path = "/kontor.v1.Cluster/Masters",
                .response = &kontor__v1__masters_response__descriptor,
                .timeout_ms = ASK_TIMEOUT_MS,
                .events = &asking,
                .data = join,
            },
            &request.base);
    }
}

int join_wait(const struct replica_member *masters, unsigned count,
              const char *name, struct tls_context *tls,
              struct join_members *out, struct error *why)
{
    struct join join = {.name = name, .out = out};

    uv_loop_init(&join.loop);
    for (unsigned i = 0; i < count; i++) {
        const struct channel_config config = {
            .address = masters[i].address,
            .context = tls,
            .role = RPC_ROLE_MASTER,
        };

        if (strcmp(masters[i].name, name) != 0)
            join.channels[join.count++] = channel_open(&join.loop, &config);
    }
    if (join.count == 0) {
        uv_loop_close(&join.loop);
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--members names no other master to ask");
    }
    log_info("waiting to be added: kctl masters add %s=HOST:PORT", name);
    uv_timer_init(&join.loop, &join.timer);
    join.timer.data = &join;
    uv_timer_start(&join.timer, on_timer, 0, ASK_EVERY_MS);
    uv_run(&join.loop, UV_RUN_DEFAULT);
    uv_loop_close(&join.loop);
    return 0;
}
