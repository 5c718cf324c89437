/* peers.h - the other members, as connections.
 *
 * To each leads one channel that is kept warm, with one long-lived stream of
 * our messages on it; each has the same towards us. A message that finds no
 * stream, or too much before it, is dropped: the core sends again. */
#pragma once

#include "raft/core/message.h"
#include "rpc/channel.h"
#include "rpc/server.h"

struct peers;

/* What may wait to be sent to one member; beyond it messages are dropped. */
enum { PEERS_QUEUE_MAX_BYTES = 6 << 20 };

struct peers_events {
    /* From a member, whose certificate says that it is `message->from`. */
    void (*message)(void *data, const struct raft_message *message);
    /* The connection to or from a member's process was closed. */
    void (*lost)(void *data, uint32_t member);
    /* A member calls InstallSnapshot: call_listen() to it. */
    void (*install)(void *data, uint32_t member, struct call *call);
};

struct peers_config {
    uint32_t self;
    unsigned member_count;
    /* By id - 1; borrowed, outlive the peers. */
    char *const *names;
    char *const *addresses;
    struct tls_context *tls; /* borrowed */
    struct peers_events events;
    void *data;
};

/* Adds the Raft service to `server`, which must close before the peers. */
struct peers *peers_open(uv_loop_t *loop, struct server *server,
                         const struct peers_config *config);

/* The message stays the caller's. */
void peers_send(struct peers *peers, const struct raft_message *message);

/* NULL for ourselves. Borrowed. */
struct channel *peers_channel(const struct peers *peers, uint32_t member);

/* No event comes any more; streams end, then `closed`. */
void peers_close(struct peers *peers, void (*closed)(void *data), void *data);
