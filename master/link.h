/* link.h - one node as the leader deals with it; for dispatch*.c and link*.c.
 *
 *   IDLE --lead--> WAITING --in its turn--> LISTING --compared--> SYNCED
 *     ^              ^  ^                    |                      |
 *     |              |  +------- fails ------+                      |
 *     +--follow--    +------------- fails --------------------------+
 *
 * LISTING: Watch is open but held back, ListPods is asked. What the list says
 * is older than what Watch will say, so it is taken first.
 * SYNCED: orders go out, one RPC at a time, each with all that is ready.
 *
 * Invariant: what has to be ordered is known from the state alone; a failed
 * session loses nothing. */
#pragma once

#include "kontor/v1/node.pb-c.h"
#include "master/dispatch.h"
#include "master/link_hold.h"
#include "master/link_orders.h"
#include "rpc/channel.h"

enum link_state { LINK_IDLE, LINK_LISTING, LINK_SYNCED, LINK_WAITING };

struct link {
    struct list all;
    struct list busy;
    struct list due; /* its list is to be asked for, in its turn */
    struct map_link by_id;
    struct dispatch *dispatch;
    uint64_t node_id;
    char *address;           /* owned; of the channel */
    struct channel *channel; /* NULL: the address is not usable */

    enum link_state state;
    uint64_t session; /* its number */
    struct call *watch;
    struct call *list;
    uint64_t retry_at_ms;
    uint64_t backoff_ms;
    uint64_t listed_at_ms;

    struct call *rpc; /* the order under way */
    enum link_rpc rpc_kind;
    struct link_orders creates;
    struct link_orders deletes;
    struct link_orders sent;                /* by the order under way */
    size_t batch_max;                       /* pods in one CreatePods */
    struct link_hold holds[LINK_RPC_KINDS]; /* what it did not take waits */

    struct route *route; /* to its pods; borrowed of dispatch->routes */
    /* Versions of the routes to the others' (dispatch->routes.version). */
    uint64_t routes_had;  /* by the node, as it says; 0: all must be told */
    uint64_t routes_told; /* in this session, or had at its beginning */
    uint64_t routes_told_at_ms;

    uint64_t heard_at_ms;
    bool asked; /* in this term: its silence counts from then on */
    struct link_proposal *state_proposal; /* a SetNodeState under way */

    struct map reports; /* struct report, by the pod's id */
    struct list queued; /* reports to be proposed */
    struct list flying; /* reports being proposed; may be queued again */
    struct link_proposal *report_proposal; /* a ReportPods under way */
};

/* A proposal about a link, which it may outlive. */
struct link_proposal {
    struct replica_proposal proposal;
    struct link *link; /* NULL: gone, or another term */
};

/* ---- link.c: the session ---- */

struct link *link_new(struct dispatch *dispatch, const struct node *node);
void link_free(struct link *link);
/* The node's address, as the state has it now. */
void link_connect(struct link *link, const char *address);
void link_start(struct link *link, uint64_t now_ms);
void link_stop(struct link *link);
/* There is something to order: open its session before others. */
void link_hurry(struct link *link);
/* Ask for the node's list: open the session, or compare once more. */
void link_open(struct link *link);
/* Give the session up; it is opened again after a while. */
void link_fail(struct link *link, const struct error *why);
/* Time passes: retries, and a comparison from time to time. */
void link_tick(struct link *link, uint64_t now_ms);
/* There is something to send at the end of this turn. */
void link_touch(struct link *link);

/* ---- link_reports.c; proposals go one at a time ---- */

/* A status came from the node. */
void link_report(struct link *link, const Kontor__V1__PodStatus *status);
/* We know it ourselves: a pod has ended on the node, or was refused, or is not
 * there yet. */
void link_report_own(struct link *link, const struct pod *pod,
                     Kontor__V1__PodPhase phase, const char *reason);
/* Nothing is there of what was to leave. */
void link_report_departed(struct link *link, const struct departure *departure);
void link_propose_reports(struct link *link);
void link_forget_reports(struct link *link);

/* ---- link_liveness.c ---- */

/* Nothing was heard for so long that the node is suspect. */
bool link_is_silent(const struct link *link, uint64_t now_ms);
/* Propose the state that the node's silence calls for. */
void link_judge(struct link *link, uint64_t now_ms);
