/* peers.c
 *
 *   ours:    channel connected -> stream -> peers_send() ...
 *            channel lost      -> events.lost, stream given up
 *   theirs:  peers_service/Messages -> events.message ...
 *            ended             -> events.lost
 *
 * Invariants:
 * 1. An outgoing stream is `peer->out` from its start until its end or until
 *    its connection drains, and is freed by its `ended`.
 * 2. An incoming stream is `peer->in` until its end or until a newer one takes
 *    its place, which makes it deaf.
 * 3. A member has a channel and a timer, a stranger has neither. Who leaves is
 *    on the list until both are closed and its stream has ended. */
#include "raft/peers.h"

#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "raft/codec.h"
#include "raft/core/configuration.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A stream that ended although the connection stands is tried again then. A
 * member that was removed keeps its connection for a while: the answer to who
 * asked for it may come over it. */
enum { REOPEN_MS = 100, LINGER_MS = 2000 };

struct peer {
    struct list link;
    struct peers *peers;
    uint32_t id; /* RAFT_NOBODY: a stranger that has not spoken */
    char name[RAFT_NAME_MAX];
    char *address;           /* owned; NULL: a stranger */
    struct channel *channel; /* to there; NULL: a stranger */
    bool connected;
    struct call *out; /* NULL: none */
    struct call *in;  /* NULL: none */
    uv_timer_t timer; /* to open the stream again, or to part */
    bool spoke;       /* since it was lost; its program knows ... */
    uint32_t format;
    bool refused; /* on this connection; that was told */
    bool leaving;
    bool parting; /* the channel is being closed */
};

struct peers {
    struct peers_config config;
    uv_loop_t *loop;
    struct list all;
    uint32_t next_id;
    unsigned strangers;
    struct codec_frame frame;
    bool closing;
    void (*closed)(void *data);
    void *closed_data;
};

/* Another program may take its place. */
static void tell_lost(struct peer *peer)
{
    struct peers *peers = peer->peers;

    peer->spoke = false;
    if (!peers->closing && !peer->leaving && peer->channel)
        peers->config.events.lost(peers->config.data, peer->id);
}

/* ---- who there is ---- */

static struct peer *find(const struct peers *peers, uint32_t id)
{
    list_for_each(link, next, &peers->all)
    {
        struct peer *peer = container_of(link, struct peer, link);

        if (peer->id == id && !peer->leaving)
            return peer;
    }
    return NULL;
}

/* Of two of a name, a member and the stranger that is to take its place, the
 * stranger. */
static struct peer *find_name(const struct peers *peers, const char *name)
{
    struct peer *newest = NULL;

    list_for_each(link, next, &peers->all)
    {
        struct peer *peer = container_of(link, struct peer, link);

        if (strcmp(peer->name, name) == 0 && !peer->leaving &&
            (!newest || peer->id > newest->id))
            newest = peer;
    }
    return newest;
}

static struct peer *peer_new(struct peers *peers, const char *name)
{
    struct peer *peer = memory_new(sizeof *peer);

    peer->peers = peers;
    snprintf(peer->name, sizeof peer->name, "%s", name);
    list_append(&peers->all, &peer->link);
    return peer;
}

static void check_closed(struct peers *peers)
{
    void (*closed)(void *data) = peers->closed;
    void *data = peers->closed_data;

    if (!peers->closing || !list_empty(&peers->all))
        return;
    codec_frame_fini(&peers->frame);
    free(peers);
    closed(data);
}

/* Nothing of it is left open. */
static void peer_free(struct peer *peer)
{
    struct peers *peers = peer->peers;

    assert(!peer->in && !peer->out);
    list_remove(&peer->link);
    free(peer->address);
    free(peer);
    check_closed(peers);
}

/* ---- messages in ---- */

static const struct call_events in_events;

static bool may_be_stranger(const struct peers *peers, struct call *call)
{
    if (peers->strangers < PEERS_STRANGERS_MAX)
        return true;
    call_fail(call, ERROR_RESOURCE_EXHAUSTED,
              "%u masters that are not of this cluster are connected",
              peers->strangers);
    return false;
}

/* A member of that name was removed, and another added, which we do not know
 * yet: its stream is a stranger's. */
static bool part_stranger(struct peer *member, struct call *call, uint32_t id)
{
    struct peers *peers = member->peers;
    struct peer *stranger;

    if (!may_be_stranger(peers, call))
        return false;
    peers->strangers++;
    stranger = peer_new(peers, member->name);
    stranger->id = id;
    stranger->in = call;
    member->in = NULL;
    call_listen(call, &in_events, stranger);
    return true;
}

/* Was the id given, and is it nobody's now? */
static bool is_gone(const struct peer *peer, uint32_t from)
{
    const struct peers *peers = peer->peers;
    const struct peer *known = find(peers, from);

    return !peer->channel && from < peers->next_id &&
           from != peers->config.self && (!known || known == peer);
}

/* Is `from` who its certificate says? A stranger's id is new to us, or that of
 * a member whose removal may yet be taken back, perhaps by itself. */
static bool check_sender(struct peer *peer, struct call *call, uint32_t from)
{
    const struct peers *peers = peer->peers;
    bool is_new = from >= peers->next_id;
    bool gone = is_gone(peer, from);

    if (gone && peers->config.events.settled(peers->config.data)) {
        call_fail(call, ERROR_PERMISSION_DENIED,
                  "master %s was removed from the cluster", peer->name);
        return false;
    }
    if (peer->id == RAFT_NOBODY && (is_new || gone))
        peer->id = from;
    if (from == peer->id)
        return true;
    if (is_new && peer->channel && peer->in == call)
        return part_stranger(peer, call, from);
    call_fail(call, ERROR_INVALID_ARGUMENT,
              "%s, member %u, sent a message from %u", peer->name, peer->id,
              from);
    return false;
}

static int take(struct peer *peer, const Kontor__V1__RaftMessage *received,
                struct error *why)
{
    struct peers *peers = peer->peers;
    struct raft_message message;

    if (codec_decode(received, &message, why) != 0)
        return why->code;
    peer->spoke = true;
    peer->format = received->format;
    peers->config.events.message(peers->config.data, &message);
    raft_message_fini(&message);
    return 0;
}

/* ---- ours ---- */

static void open_stream(struct peer *peer);

static void on_reopen(uv_timer_t *timer)
{
    struct peer *peer = container_of(timer, struct peer, timer);

    if (peer->connected && !peer->out)
        open_stream(peer);
}

/* An answer to one that does not know us yet. */
static void on_out_message(struct call *call, const ProtobufCMessage *in)
{
    struct peer *peer = call_data(call);
    const Kontor__V1__RaftMessage *received =
        (const Kontor__V1__RaftMessage *)(const void *)in;
    struct error why;

    if (!peer->peers->closing && !peer->leaving && received->from == peer->id)
        (void)take(peer, received, &why);
}

/* It is of another cluster, or of a version that does not understand us: only
 * an operator can mend that. */
static void tell_refused(struct peer *peer, const struct error *why)
{
    if (peer->refused || peer->leaving ||
        (why->code != ERROR_INVALID_ARGUMENT &&
         why->code != ERROR_PERMISSION_DENIED))
        return;
    peer->refused = true;
    log_warn("raft: %s refuses us: %s", peer->name, why->message);
}

static void on_out_ended(struct call *call, const struct error *why)
{
    struct peer *peer = call_data(call);

    if (peer->out != call)
        return; /* of a connection that is gone already */
    peer->out = NULL;
    tell_refused(peer, why);
    if (peer->connected && !peer->leaving)
        uv_timer_start(&peer->timer, on_reopen, REOPEN_MS, 0);
}

static void open_stream(struct peer *peer)
{
    static const struct call_events events = {
        .message = on_out_message,
        .ended = on_out_ended,
    };
    const struct call_request request = {
        .path = "/kontor.v1.Raft/Messages",
        .response = &kontor__v1__raft_message__descriptor,
        .events = &events,
        .data = peer,
    };

    peer->out = channel_call(peer->channel, &request);
}

static void on_changed(void *data, bool connected, const struct error *why)
{
    struct peer *peer = data;
    bool was_connected = peer->connected;

    (void)why;
    peer->connected = connected && !peer->leaving;
    if (peer->connected) {
        assert(!peer->out);
        peer->refused = false;
        open_stream(peer);
        return;
    }
    if (!was_connected)
        return;
    if (peer->out) { /* it may be draining: do not hold it up */
        call_cancel(peer->out);
        peer->out = NULL;
    }
    tell_lost(peer);
}

void peers_send(struct peers *peers, const struct raft_message *message)
{
    const struct peer *peer = find(peers, message->to);
    struct codec_frame *frame = &peers->frame;
    struct call *call;
    struct error why;

    assert(message->to != peers->config.self);
    if (!peer)
        return;
    call = peer->channel ? peer->out : peer->in;
    if (!call || call_queued_bytes(call) > PEERS_QUEUE_MAX_BYTES)
        return;
    codec_encode(frame, message);
    frame->message.format = peers->config.format;
    /* Refused: dropped, as any message may be. */
    (void)call_send(call, &frame->message.base, &why);
}

bool peers_format(const struct peers *peers, uint32_t member, uint32_t *format)
{
    const struct peer *peer = find(peers, member);

    if (!peer || !peer->spoke)
        return false;
    *format = peer->format;
    return true;
}

struct channel *peers_channel(const struct peers *peers, uint32_t member)
{
    const struct peer *peer = find(peers, member);

    return peer ? peer->channel : NULL;
}

/* ---- theirs ---- */

static void on_in_message(struct call *call, const ProtobufCMessage *in)
{
    struct peer *peer = call_data(call);
    const Kontor__V1__RaftMessage *received =
        (const Kontor__V1__RaftMessage *)(const void *)in;
    struct error why;

    if (peer->peers->closing || peer->leaving)
        return;
    if (received->to != peer->peers->config.self)
        call_fail(call, ERROR_INVALID_ARGUMENT,
                  "%s takes this master for number %u, which is number %u: "
                  "they are not of one cluster, or not restored from one "
                  "backup",
                  peer->name, received->to, peer->peers->config.self);
    else if (check_sender(peer, call, received->from) &&
             take(call_data(call), received, &why) != 0)
        call_fail(call, why.code, "%s", why.message);
}

static void on_in_half_closed(struct call *call)
{
    static const struct error fine;

    call_finish(call, &fine);
}

static void on_in_ended(struct call *call, const struct error *why)
{
    struct peer *peer = call_data(call);

    (void)why;
    peer->in = NULL;
    if (peer->channel) {
        tell_lost(peer);
    } else { /* a stranger, or all else of it is closed */
        peer->peers->strangers -= !peer->leaving;
        peer_free(peer);
    }
}

static const struct call_events in_events = {
    .message = on_in_message,
    .half_closed = on_in_half_closed,
    .ended = on_in_ended,
};

/* Whose call it is; NULL when it was refused. */
static struct peer *accept_peer(struct peers *peers, struct call *call)
{
    const char *self = tls_context_identity(peers->config.tls)->name;
    const char *name = call_peer(call)->name;
    struct peer *peer = find_name(peers, name);

    if (peers->closing || strcmp(name, self) == 0) {
        call_fail(call, ERROR_PERMISSION_DENIED,
                  "%s is not another master of this cluster", name);
        return NULL;
    }
    if (peer)
        return peer;
    if (!may_be_stranger(peers, call))
        return NULL;
    peers->strangers++;
    return peer_new(peers, name);
}

static void ignore_end(struct call *call, const struct error *why)
{
    (void)call;
    (void)why;
}

/* A newer stream takes its place: nothing more is heard of it. */
static void replace(struct call *call)
{
    static const struct call_events deaf = {.ended = ignore_end};

    call_listen(call, &deaf, NULL);
    call_fail(call, ERROR_ABORTED, "a newer stream took its place");
}

static void open_messages(struct call *call)
{
    struct peer *peer = accept_peer(call_service_data(call), call);

    if (!peer)
        return;
    if (peer->in)
        replace(peer->in);
    peer->in = call;
    peer->spoke = false;
    call_listen(call, &in_events, peer);
    if (peer->channel)
        channel_kick(peer->channel); /* its process is there again */
}

static void open_install(struct call *call)
{
    struct peers *peers = call_service_data(call);
    const struct peer *peer = find_name(peers, call_peer(call)->name);

    if (peers->closing)
        call_fail(call, ERROR_UNAVAILABLE, "this master is shutting down");
    else
        peers->config.events.install(peers->config.data,
                                     peer ? peer->id : RAFT_NOBODY, call);
}

static const struct method methods[] = {
    {
        .name = "Messages",
        .request = &kontor__v1__raft_message__descriptor,
        .response = &kontor__v1__raft_message__descriptor,
        .roles = RPC_ROLE_MASTER,
        .client_streams = true,
        .server_streams = true,
        .open = open_messages,
    },
    {
        .name = "InstallSnapshot",
        .request = &kontor__v1__raft_snapshot_chunk__descriptor,
        .response = &kontor__v1__raft_snapshot_end__descriptor,
        .roles = RPC_ROLE_MASTER,
        .client_streams = true,
        .open = open_install,
    },
};

static const struct service service = {
    .name = "kontor.v1.Raft",
    .methods = methods,
    .method_count = ARRAY_LEN(methods),
};

/* ---- members come and go ---- */

static void join(struct peers *peers, const Kontor__V1__RaftMember *member)
{
    struct peer *peer = find_name(peers, member->name);
    struct peer *pretender = find(peers, member->id);
    struct channel_config config = {
        .address = member->address,
        .context = peers->config.tls,
        .role = RPC_ROLE_MASTER,
        .changed = on_changed,
    };

    if (pretender)
        pretender->id = RAFT_NOBODY;
    if (peer)
        peers->strangers--;
    else
        peer = peer_new(peers, member->name);
    peer->id = member->id;
    peer->address = memory_string(member->address);
    uv_timer_init(peers->loop, &peer->timer);
    config.data = peer;
    peer->channel = channel_open(peers->loop, &config);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct peer *peer =
        container_of((uv_timer_t *)(void *)handle, struct peer, timer);

    peer->channel = NULL;
    if (!peer->in)
        peer_free(peer);
}

static void on_channel_closed(void *data)
{
    struct peer *peer = data;

    uv_close((uv_handle_t *)&peer->timer, on_timer_closed);
}

static void part(struct peer *peer)
{
    assert(!peer->parting);
    peer->leaving = true;
    peer->parting = true;
    channel_close(peer->channel, on_channel_closed, peer);
}

static void on_lingered(uv_timer_t *timer)
{
    part(container_of(timer, struct peer, timer));
}

static void leave(struct peer *peer)
{
    peer->leaving = true;
    if (peer->in)
        call_fail(peer->in, ERROR_PERMISSION_DENIED,
                  "master %s was removed from the cluster", peer->name);
    if (peer->out)
        call_cancel(peer->out);
    uv_timer_start(&peer->timer, on_lingered, LINGER_MS, 0);
}

/* An addition that was taken back leaves its id to another, who may also come
 * back with another address. */
static bool is_member(const Kontor__V1__RaftConfiguration *members,
                      const struct peer *peer)
{
    for (size_t i = 0; i < members->n_members; i++) {
        const Kontor__V1__RaftMember *member = members->members[i];

        if (member->id == peer->id)
            return strcmp(member->name, peer->name) == 0 &&
                   strcmp(member->address, peer->address) == 0;
    }
    return false;
}

void peers_set(struct peers *peers,
               const Kontor__V1__RaftConfiguration *members)
{
    peers->next_id = members->next_id;
    list_for_each(link, next, &peers->all)
    {
        struct peer *peer = container_of(link, struct peer, link);

        if (peer->channel && !peer->leaving && !is_member(members, peer))
            leave(peer);
    }
    for (size_t i = 0; i < members->n_members; i++) {
        const Kontor__V1__RaftMember *member = members->members[i];
        const struct peer *known = find(peers, member->id);

        if (member->id != peers->config.self && !(known && known->channel))
            join(peers, member);
    }
}

/* ---- opening and closing ---- */

struct peers *peers_open(uv_loop_t *loop, struct server *server,
                         const struct peers_config *config)
{
    struct peers *peers = memory_new(sizeof *peers);

    peers->config = *config;
    peers->loop = loop;
    list_init(&peers->all);
    server_add(server, &service, peers);
    return peers;
}

void peers_close(struct peers *peers, void (*closed)(void *data), void *data)
{
    peers->closing = true;
    peers->closed = closed;
    peers->closed_data = data;
    list_for_each(link, next, &peers->all)
    {
        struct peer *peer = container_of(link, struct peer, link);

        if (peer->channel && !peer->parting)
            part(peer);
    }
    check_closed(peers);
}
