/* peers.c
 *
 *   ours:    channel connected -> stream -> peers_send() ...
 *            channel lost      -> events.lost, stream given up
 *   theirs:  peers_service/Messages -> events.message ...
 *            ended             -> events.lost, unless a newer one is there
 *
 * Invariants:
 * 1. An outgoing stream is `peer->out` from its start until its end or until
 *    its connection drains, and is freed by its `ended`.
 * 2. An incoming stream is freed by its `ended`; `peer->in` is the newest. */
#include "raft/peers.h"

#include "base/memory.h"
#include "kontor/v1/raft.pb-c.h"
#include "raft/codec.h"

#include <assert.h>
#include <string.h>

/* A stream that ended although the connection stands is tried again then. */
enum { REOPEN_MS = 100 };

struct peer {
    struct peers *peers;
    uint32_t id;
    struct channel *channel;
    bool connected;
    struct call *out; /* NULL: none */
    struct call *in;  /* NULL: none */
    uv_timer_t reopen;
};

struct peers {
    struct peers_config config;
    struct peer peers[RAFT_MEMBERS_MAX]; /* by id - 1; self is not used */
    struct codec_frame frame;
    bool closing;
    unsigned open_parts;
    void (*closed)(void *data);
    void *closed_data;
};

static void tell_lost(struct peer *peer)
{
    struct peers *peers = peer->peers;

    if (!peers->closing)
        peers->config.events.lost(peers->config.data, peer->id);
}

/* ---- ours ---- */

static void open_stream(struct peer *peer);

static void on_reopen(uv_timer_t *timer)
{
    struct peer *peer = container_of(timer, struct peer, reopen);

    if (peer->connected && !peer->out)
        open_stream(peer);
}

static void on_out_ended(struct call *call, const struct error *why)
{
    struct peer *peer = call_data(call);

    (void)why;
    if (peer->out != call)
        return; /* of a connection that is gone already */
    peer->out = NULL;
    if (peer->connected && !peer->peers->closing)
        uv_timer_start(&peer->reopen, on_reopen, REOPEN_MS, 0);
}

static void open_stream(struct peer *peer)
{
    static const struct call_events events = {.ended = on_out_ended};
    const struct call_request request = {
        .path = "/kontor.v1.Raft/Messages",
        .response = &kontor__v1__raft_messages_end__descriptor,
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
    peer->connected = connected;
    if (connected) {
        assert(!peer->out);
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
    const struct peer *peer = &peers->peers[message->to - 1];
    struct error why;

    assert(message->to >= 1 && message->to <= peers->config.member_count);
    assert(message->to != peers->config.self);
    if (!peer->out || call_queued_bytes(peer->out) > PEERS_QUEUE_MAX_BYTES)
        return;
    /* Refused: dropped, as any message may be. */
    (void)call_send(peer->out, &codec_encode(&peers->frame, message)->base,
                    &why);
}

struct channel *peers_channel(const struct peers *peers, uint32_t member)
{
    assert(member >= 1 && member <= peers->config.member_count);
    return peers->peers[member - 1].channel;
}

/* ---- theirs ---- */

/* The member that is calling, or NULL. */
static struct peer *find_peer(struct peers *peers, const struct call *call)
{
    const char *name = call_peer(call)->name;

    for (uint32_t i = 0; i < peers->config.member_count; i++)
        if (i + 1 != peers->config.self &&
            strcmp(peers->config.names[i], name) == 0)
            return &peers->peers[i];
    return NULL;
}

static void on_in_message(struct call *call, const ProtobufCMessage *in)
{
    struct peer *peer = call_data(call);
    struct peers *peers = peer->peers;
    const Kontor__V1__RaftMessage *received =
        (const Kontor__V1__RaftMessage *)(const void *)in;
    struct raft_message message;
    struct error why;

    if (peers->closing)
        return;
    if (received->from != peer->id || received->to != peers->config.self) {
        call_fail(call, ERROR_INVALID_ARGUMENT,
                  "%s, member %u, sent a message from %u to %u",
                  call_peer(call)->name, peer->id, received->from,
                  received->to);
        return;
    }
    if (codec_decode(received, &message, &why) != 0) {
        call_finish(call, &why);
        return;
    }
    peers->config.events.message(peers->config.data, &message);
    raft_message_fini(&message);
}

static void on_in_half_closed(struct call *call)
{
    Kontor__V1__RaftMessagesEnd end = KONTOR__V1__RAFT_MESSAGES_END__INIT;

    call_reply(call, &end.base);
}

/* The end of a stream whose place a newer one has taken says nothing. */
static void on_in_ended(struct call *call, const struct error *why)
{
    struct peer *peer = call_data(call);

    (void)why;
    if (peer->in != call)
        return;
    peer->in = NULL;
    tell_lost(peer);
}

static struct peer *accept_peer(struct call *call)
{
    struct peers *peers = call_service_data(call);
    struct peer *peer = peers->closing ? NULL : find_peer(peers, call);

    if (!peer)
        call_fail(call, ERROR_PERMISSION_DENIED,
                  "%s is not another member of this cluster",
                  call_peer(call)->name);
    return peer;
}

static void open_messages(struct call *call)
{
    static const struct call_events events = {
        .message = on_in_message,
        .half_closed = on_in_half_closed,
        .ended = on_in_ended,
    };
    struct peer *peer = accept_peer(call);

    if (!peer)
        return;
    peer->in = call;
    call_listen(call, &events, peer);
    channel_kick(peer->channel); /* its process is there again */
}

static void open_install(struct call *call)
{
    struct peer *peer = accept_peer(call);

    if (peer)
        peer->peers->config.events.install(peer->peers->config.data, peer->id,
                                           call);
}

static const struct method methods[] = {
    {
        .name = "Messages",
        .request = &kontor__v1__raft_message__descriptor,
        .response = &kontor__v1__raft_messages_end__descriptor,
        .roles = RPC_ROLE_MASTER,
        .client_streams = true,
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

/* ---- opening and closing ---- */

static void open_peer(struct peers *peers, uv_loop_t *loop, uint32_t id)
{
    struct peer *peer = &peers->peers[id - 1];
    const struct channel_config config = {
        .address = peers->config.addresses[id - 1],
        .context = peers->config.tls,
        .role = RPC_ROLE_MASTER,
        .changed = on_changed,
        .data = peer,
    };

    peer->peers = peers;
    peer->id = id;
    uv_timer_init(loop, &peer->reopen);
    peer->channel = channel_open(loop, &config);
}

struct peers *peers_open(uv_loop_t *loop, struct server *server,
                         const struct peers_config *config)
{
    struct peers *peers = memory_new(sizeof *peers);

    peers->config = *config;
    for (uint32_t id = 1; id <= config->member_count; id++)
        if (id != config->self)
            open_peer(peers, loop, id);
    server_add(server, &service, peers);
    return peers;
}

static void part_closed(struct peers *peers)
{
    void (*closed)(void *data) = peers->closed;
    void *data = peers->closed_data;

    if (--peers->open_parts > 0)
        return;
    codec_frame_fini(&peers->frame);
    free(peers);
    closed(data);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct peer *peer =
        container_of((uv_timer_t *)(void *)handle, struct peer, reopen);

    part_closed(peer->peers);
}

static void on_channel_closed(void *data)
{
    struct peer *peer = data;

    uv_close((uv_handle_t *)&peer->reopen, on_timer_closed);
}

void peers_close(struct peers *peers, void (*closed)(void *data), void *data)
{
    peers->closing = true;
    peers->closed = closed;
    peers->closed_data = data;
    peers->open_parts = peers->config.member_count - 1;
    for (uint32_t i = 0; i < peers->config.member_count; i++) {
        struct peer *peer = &peers->peers[i];

        if (peer->channel)
            channel_close(peer->channel, on_channel_closed, peer);
    }
    if (peers->open_parts == 0) { /* the only member */
        peers->open_parts = 1;
        part_closed(peers);
    }
}
