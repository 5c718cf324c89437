/* service.h - the Cluster service: its table, and what its methods share.
 *
 * A write is proposed and answered from what the state remembers under its
 * request id, so the first answer and a repeated one are the same. A read
 * waits until the state is known to be current. Both go to the leader when
 * this is not it. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "master/service_methods.h"

extern const struct service cluster_service;

/* The row for a call's path; never NULL for a call that reached a handler. */
const struct method *service_method(const struct call *call);

static inline struct master *service_master(const struct call *call)
{
    return call_service_data(call);
}

/* Answer a call that was listened to: nothing of it comes back. */
void service_reply(struct call *call, const ProtobufCMessage *message);
void service_fail(struct call *call, const struct error *why);

/* The node of that name; NULL: the call has been told that there is none. */
const struct node *service_find_node(const struct master *master,
                                     struct call *call, const char *name);

/* ---- reads ---- */

/* Answer `call` from the state, which is current now. The request is borrowed
 * for the duration. */
typedef void service_answer_cb(struct master *master, struct call *call,
                               const ProtobufCMessage *request);

/* Make sure that the state is current, then answer; or forward. */
void service_read(struct call *call, const ProtobufCMessage *request,
                  service_answer_cb *answer);

/* What a node is asked on a caller's behalf. */
struct node_question {
    const char *path; /* static */
    const ProtobufCMessage *request;
    enum error_code unreachable; /* answered when the node is not connected */
};

/* Let `node` answer `call`: what it says goes to the caller as it comes. From
 * within a service_answer_cb. */
void service_relay(struct master *master, struct call *call,
                   const struct node *node,
                   const struct node_question *question);

/* ---- writes ---- */

struct write;

/* What a kind of write says once it is done; `request` is what the state
 * remembers of it. */
typedef void service_written_cb(struct write *write,
                                const struct request *request);

/* Room was looked for and is held; `reason` says why some has none. Is to
 * propose the write. The spec is borrowed. */
typedef void service_placed_cb(struct write *write, Kontor__V1__PodSpec *spec,
                               const char *reason);

struct write {
    struct replica_proposal proposal;
    struct replica_read current; /* before it is refused for its format */
    struct master *master;
    struct call *call; /* NULL: the caller has gone */
    service_written_cb *written;
    struct request_id id;
    uint32_t operation; /* Kontor__V1__Command__OperationCase */
    uint32_t format;
    struct placement_hold **holds; /* owned; room that is kept for it, for the
                                      pods from its subject on; may be NULL */
    uint32_t pods;                 /* of them */
    bool gang;                     /* all of them or none */
    bool named;                    /* Schedule: the app's name was given */
    uint64_t like_pod_id;          /* Scale: has that spec; 0: no pod is new */
    struct list arrived;           /* to be placed (service_place_step()) */
    Kontor__V1__PodSpec *spec;     /* owned; of what is to be placed */
    uint32_t tried;                /* pods that room was looked for */
    uint32_t share;                /* and those in the batch at hand */
    service_placed_cb *placed;
    size_t length;
    uint8_t request[]; /* serialised, to be brought to another leader */
};

/* The id that came, or a new one, in `id`. */
void service_request_id(const Kontor__V1__RequestId *given,
                        Kontor__V1__RequestId *id);

/* A write that is to be proposed for `call`; `request` holds `id`. */
struct write *service_write(struct call *call, const ProtobufCMessage *request,
                            const Kontor__V1__RequestId *id,
                            service_written_cb *written);

/* Look for room for so many pods, more than 0, with others that have arrived.
 * The spec is copied. */
void service_place(struct write *write, const Kontor__V1__PodSpec *spec,
                   uint32_t pods, service_placed_cb *placed);

/* End a write that is not proposed as if it had failed so; where that is
 * UNAVAILABLE it is brought to another leader. */
void service_give_up(struct write *write, const struct error *why);

/* Propose, and answer when it is committed. Frees the write in the end. */
void service_propose(struct write *write, Kontor__V1__Command *command);

/* The nodes that room is held on for a write's pods, 0 where there is none; the
 * caller's to free. */
uint64_t *service_held_nodes(const struct write *write);
