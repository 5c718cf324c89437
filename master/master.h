/* master.h - one kmaster: the parts and what they share.
 *
 *   calls --> service_*.c --> replica (raft) --> cluster (apply)
 *                 |  ^                              |
 *              forward  watchers <-- events --------+--> placer, dispatch
 *
 * What follows from applied commands happens at the end of the loop turn, so
 * that what came together is sent together. */
#pragma once

#include "master/dispatch.h"
#include "master/format.h"
#include "master/forward.h"
#include "master/placer.h"
#include "master/watchers.h"
#include "rpc/server.h"

struct master_config {
    const char *name;
    const char *listen; /* HOST:PORT */
    const char *folder;
    const struct replica_member *members; /* see replica_config */
    unsigned member_count;
    struct tls_context *tls; /* borrowed, outlives the master */
    unsigned lease_drift_permille;
    uint64_t election_timeout_ms;
    uint64_t heartbeat_ms;
    uint64_t suspect_after_ms;
    uint64_t lost_after_ms;
    uint64_t snapshot_entries; /* between snapshots; 0: raft's default */
    unsigned apply_entries;    /* in a turn; 0: raft's default */
    struct pod_network pod_network;
};

struct master {
    uv_loop_t *loop;
    struct master_config config; /* its strings are borrowed */
    struct server *server;
    struct replica *replica;
    struct cluster *cluster;
    struct placer placer;
    struct dispatch dispatch;
    struct watchers watchers;
    struct forwarder forwarder;
    struct list arrivals;  /* writes that are to be placed */
    struct list changes;   /* of the masters, that are to be judged */
    struct list transfers; /* calls that wait for another leader */
    unsigned backups;      /* calls that are sent one */
    struct format_raise raise;
    /* What calls and commands brought is looked at as soon as the loop has
     * read all there is, and again before it sleeps. */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t again;        /* another turn: there is more to place */
    bool role_changed;       /* since the last turn */
    bool state_replaced;     /* by a snapshot, since the last turn */
    uint64_t replayed_index; /* the last at which a write was done before */
    bool leading;
    uint64_t term; /* that we lead in */
    void (*closed)(void *data);
    void *closed_data;
};

/* Opens the store, listens and serves. Fails with what the store, the
 * snapshot or the socket says. All strings outlive the master. */
int master_open(struct master **out, uv_loop_t *loop,
                const struct master_config *config, struct error *why);

/* Drain for `grace_ms`, then close everything and free the master. */
void master_close(struct master *master, uint64_t grace_ms,
                  void (*closed)(void *data), void *data);

/* We lead and may answer. */
static inline bool master_leads(const struct master *master)
{
    return replica_status(master->replica).ready;
}
