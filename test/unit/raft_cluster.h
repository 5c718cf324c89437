/* raft_cluster.h - whole members - core, store, network - on one loop: real
 * sockets on loopback, real files, a small state machine. For tests.
 *
 * What cannot be done, and what is waited for in vain, fails the test. */
#pragma once

#include "free_address.h"
#include "pki_fixture.h"
#include "raft/replica_members.h"
#include "rpc/tls.h"
#include "save_gate.h"

/* Founders, and how many there can be in the end. */
enum { CLUSTER_MEMBERS = 3, CLUSTER_MEMBERS_MAX = 4 };

/* All share a process: where that is slow, silence says less. */
#ifdef __SANITIZE_ADDRESS__
enum { CLUSTER_ELECTION_TIMEOUT_MS = 600 };
#else
enum { CLUSTER_ELECTION_TIMEOUT_MS = 150 };
#endif

/* The state: how many commands, and a hash of all of them in order. */
struct member_state {
    uint64_t index;
    uint64_t count;
    uint64_t hash;
};

struct member {
    char name[16];
    char address[FREE_ADDRESS_MAX];
    char *folder; /* owned */
    struct tls_context *tls;
    struct server *server;
    struct replica *replica; /* NULL: down */
    struct member_state state;
    unsigned loads;         /* snapshots */
    unsigned changes;       /* machine.changed */
    bool saving_fails;      /* snapshots cannot be saved */
    struct save_gate *gate; /* that saving waits at; NULL: none. Borrowed */
    struct save_gate *load_gate; /* and loading */
    uint32_t format;             /* that its program knows */
    unsigned slow_ms;            /* that it takes to apply "slow" */
};

/* The one cluster of a test program. */
struct cluster {
    uv_loop_t loop;
    struct pki_fixture pki;
    char folder[64];
    struct member members[CLUSTER_MEMBERS_MAX];
    uint64_t snapshot_entries; /* 0: the default */
    uint64_t snapshot_bytes;   /* the same */
    unsigned lease_drift_permille;
    uint32_t format; /* that what was applied needs */
    bool joins;      /* commands of a turn are one entry */
};
extern struct cluster cluster;

/* For cmocka: m1 to m4, not started; all is gone afterwards. */
int cluster_set_up(void **state);
int cluster_tear_down(void **state);

void cluster_start(void);

/* What the member's replica is given. */
struct replica_machine member_machine(struct member *member);

/* Run the loop until `condition` holds. */
void cluster_wait(bool (*condition)(void *data), void *data, const char *what);

/* A leader that may serve; NULL for none. */
struct member *cluster_leader(void);
struct member *cluster_wait_leader(void);
/* The one after `leading`. */
struct member *cluster_follower(const struct member *leading);
/* Conditions. All that are up have applied the same and everything. */
bool cluster_agrees(void *data);

/* Start one of a cluster of the first `count`. */
int member_try_start(struct member *member, unsigned count, struct error *why);
void member_start_of(struct member *member, unsigned count);
void member_start(struct member *member);
/* Start one with an empty folder as `known` knows the cluster. */
void member_join(struct member *member, const struct member *known);
void member_begin_stop(struct member *member);
void member_stop(struct member *member);

/* Conditions. */
bool member_is_down(void *data);
bool member_has_snapshot(void *data);
/* No other one will follow before more is applied. */
bool member_has_last_snapshot(void *data);

/* A proposal or a read, and what became of it. */
struct asked {
    struct replica_proposal proposal;
    struct replica_read read;
    bool done;
    uint64_t index;
    struct error why;
};
void asked_on_read(struct replica_read *read, const struct error *why);
bool asked_is_done(void *data);

/* Propose; `asked` says what becomes of it. */
void member_ask(struct member *member, struct asked *asked, const char *text);

/* Ask for a change of members and wait; the code, 0 when it was made. */
int member_change(struct member *member, enum replica_change_kind kind,
                  const struct member *whom, struct error *why);

/* Propose and wait. */
struct asked member_propose(struct member *member, const char *text);
void member_commit(struct member *member, const char *text);
/* Many at once: they share writes and messages. */
void member_commit_many(struct member *member, unsigned count);
