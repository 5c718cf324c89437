/* master_world.h - real masters and made-up nodes in one process and on one
 * loop, over real sockets: for tests of the services and of dispatch.
 *
 * What cannot be done, and what is waited for in vain, fails the test. */
#pragma once

#include "fake_node.h"
#include "free_address.h"
#include "master/master.h"
#include "pki_fixture.h"
#include "rpc/channel.h"

enum { WORLD_MASTERS_MAX = 3, WORLD_NODES_MAX = 3, WORLD_CHANNELS_MAX = 16 };
enum { WORLD_LOST_AFTER_MS = 1000 };

struct world_master {
    char name[16];
    char address[FREE_ADDRESS_MAX];
    char folder[96];
    struct tls_context *tls;
    struct master *master; /* NULL: down */
};

/* Has 4 cores and 4 GiB. */
struct world_node {
    struct fake_node fake;
    char name[16];
    char address[FREE_ADDRESS_MAX];
    struct tls_context *tls; /* NULL: was never started */
};

/* The one world of a test program. */
struct world {
    uv_loop_t loop;
    struct pki_fixture pki;
    char folder[64];
    struct world_master masters[WORLD_MASTERS_MAX];
    struct replica_member members[WORLD_MASTERS_MAX]; /* the same */
    unsigned master_count;
    struct world_node nodes[WORLD_NODES_MAX];
    struct tls_context *client_tls[WORLD_CHANNELS_MAX];
    struct channel *channels[WORLD_CHANNELS_MAX];
    unsigned channel_count;
};
extern struct world world;

/* `members` masters of which the first `running` run; waits for a leader when
 * they are a majority, and for the newest format when they are all. Nodes are
 * Suspect after 500 ms, Lost after a second. */
void world_start(unsigned members, unsigned running);
/* One of them, which is down, starts; which runs, stops. */
void world_master_start(unsigned i);
void world_master_stop(unsigned i);
/* For cmocka: all of it is gone, also after a test that failed. */
int world_tear_down(void **state);

/* Run the loop until the condition holds, ten seconds at most. */
void world_until(bool (*holds)(void *data), void *data, const char *what);

/* The position of the master that leads. */
unsigned world_leader(void);

/* A channel to master `i` as "admin", "viewer" or a node's name. Borrowed. */
struct channel *world_channel(unsigned i, const char *identity);

/* A call, and what became of it. */
struct world_asked {
    ProtobufCMessage *answer; /* the caller's to free; NULL: none came */
    struct error why;         /* how it ended */
    bool ended;
    char path[64];
};

/* Call Cluster/`method`; the answer is its one, or a stream's last. */
void world_ask(struct world_asked *asked, struct channel *channel,
               const char *method, const ProtobufCMessage *request);
bool world_is_answered(void *asked);
/* The same, and wait for it; returns the answer, `why` is how it ended. */
void *world_call(struct channel *channel, const char *method,
                 const ProtobufCMessage *request, struct error *why);

/* Node number `i` ("n1" is 0): its process is there or is gone; what it had is
 * kept for the next start. */
struct fake_node *world_node_start(unsigned i);
void world_node_stop(unsigned i);
/* It registers by way of that master. */
void world_node_register(unsigned i, unsigned master);
