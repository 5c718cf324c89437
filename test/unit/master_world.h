/* master_world.h - real masters and made-up nodes in one process and on one
 * loop, over real sockets: for tests of the services and of dispatch.
 *
 * A made-up node speaks the Node service, remembers what it was ordered, and
 * reports what the test tells it to. */
#pragma once

#include "kontor/v1/node.pb-c.h"
#include "master/master.h"
#include "pki_fixture.h"
#include "rpc/channel.h"

enum { WORLD_MASTERS_MAX = 3, WORLD_NODES_MAX = 3, FAKE_PODS_MAX = 64 };

struct fake_node {
    struct world *world;
    char name[16];
    char address[64];
    struct tls_context *tls;
    struct server *server;
    struct call *watch; /* the newest, or NULL */
    bool silent;        /* no heartbeats, and no answers to Watch */
    const char *refuse; /* INVALID_ARGUMENT for orders with a pod called so */
    Kontor__V1__PodStatus pods[FAKE_PODS_MAX]; /* what it has; no strings */
    size_t pod_count;
    unsigned create_calls;
    unsigned created;
    unsigned deleted;
    unsigned routes; /* in the last SetRoutes */
    uint64_t term;   /* the greatest seen */
    uint64_t sequence;
};

struct world {
    uv_loop_t loop;
    uv_timer_t heartbeat;
    struct pki_fixture pki;
    char folder[64];
    struct tls_context *tls[WORLD_MASTERS_MAX];
    char names[WORLD_MASTERS_MAX][16];
    char addresses[WORLD_MASTERS_MAX][64];
    char folders[WORLD_MASTERS_MAX][96];
    struct replica_member members[WORLD_MASTERS_MAX];
    struct master *masters[WORLD_MASTERS_MAX];
    unsigned master_count;
    struct fake_node nodes[WORLD_NODES_MAX];
    struct tls_context *client_tls[16];
    struct channel *channels[16];
    unsigned channel_count;
};

/* `members` masters of which the first `running` run; waits for a leader when
 * they are a majority. Nodes are Suspect after 500 ms, Lost after a second. */
void world_init(struct world *world, unsigned members, unsigned running);
void world_fini(struct world *world);

/* A test's teardown: removes the folders when the test failed half way. */
int world_teardown(void **state);

/* The position of the master that leads. */
unsigned world_leader(struct world *world);

/* A channel to master `i` as "admin", "viewer" or a node's name. */
struct channel *world_channel(struct world *world, unsigned i,
                              const char *identity);

/* A call to Cluster/`method` and its one answer, or a stream's last, freed by
 * the caller with protobuf_c_message_free_unpacked(); NULL when none came.
 * `why` is how it ended. */
ProtobufCMessage *world_call(struct world *world, struct channel *channel,
                             const char *method,
                             const ProtobufCMessage *request,
                             struct error *why);

/* Run the loop until the condition holds; ends the test after ten seconds. */
void world_until(struct world *world, bool (*holds)(void *data), void *data);
void world_run_ms(struct world *world, uint64_t ms);

/* Start made-up node number `i` ("n1" is 0), and register it, by way of
 * master 0 or of another one. */
void world_node_start(struct world *world, unsigned i);
void world_node_register(struct world *world, unsigned i);
void world_node_register_with(struct world *world, unsigned i, unsigned master);
/* Its process is gone; what it had is kept for the next start. */
void world_node_stop(struct world *world, unsigned i);

/* Say that a pod is in a phase now; STOPPED is forgotten then. */
void fake_report(struct fake_node *node, uint64_t pod_id,
                 Kontor__V1__PodPhase phase);
Kontor__V1__PodStatus *fake_pod(struct fake_node *node, uint64_t pod_id);
