/* peers.h - the other members, as connections.
 *
 * To each leads one channel that is kept warm, with one long-lived stream of
 * our messages on it; each has the same towards us. A message that finds no
 * stream, or too much before it, is dropped: the core sends again.
 *
 * A master that our log does not know (yet) is a stranger: what it asks is
 * answered on its own stream. So is one that an entry removes which is not
 * committed: it may be the leader that will take that entry back. Afterwards
 * it is told that it was removed. */
#pragma once

#include "kontor/v1/raft.pb-c.h"
#include "raft/core/message.h"
#include "rpc/channel.h"
#include "rpc/server.h"

struct peers;

/* What may wait to be sent to one member; beyond it messages are dropped. */
enum { PEERS_QUEUE_MAX_BYTES = 6 << 20 };

/* Streams of strangers; more are refused. */
enum { PEERS_STRANGERS_MAX = 8 };

struct peers_events {
    /* From a member, whose certificate says that it is `message->from`, or a
     * stranger. */
    void (*message)(void *data, const struct raft_message *message);
    /* The connection to or from a member's process was closed. */
    void (*lost)(void *data, uint32_t member);
    /* Are the members that were set last committed? */
    bool (*settled)(void *data);
    /* A master, RAFT_NOBODY where it is a stranger, calls InstallSnapshot:
     * call_listen() to it. */
    void (*install)(void *data, uint32_t member, struct call *call);
};

struct peers_config {
    uint32_t self;
    uint32_t format;         /* that our program knows: RaftMessage.format */
    struct tls_context *tls; /* borrowed */
    struct peers_events events;
    void *data;
};

/* Adds the Raft service to `server`, which must close before the peers. */
struct peers *peers_open(uv_loop_t *loop, struct server *server,
                         const struct peers_config *config);

/* These are the members from now on: connect to those who are new, part from
 * those who are gone. */
void peers_set(struct peers *peers,
               const Kontor__V1__RaftConfiguration *members);

/* The message stays the caller's. */
void peers_send(struct peers *peers, const struct raft_message *message);

/* What the member's program knows, as its latest message on its present
 * stream says. False: there is none. */
bool peers_format(const struct peers *peers, uint32_t member, uint32_t *format);

/* NULL for ourselves and for strangers. Borrowed. */
struct channel *peers_channel(const struct peers *peers, uint32_t member);

/* No event comes any more; streams end, then `closed`. */
void peers_close(struct peers *peers, void (*closed)(void *data), void *data);
