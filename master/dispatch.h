/* dispatch.h - the leader's orders to the nodes, and what comes back.
 *
 * Every master keeps a warm channel to every node; the leader holds a session
 * on each (link.h). Orders are never kept beyond a session: after each
 * (re)connect the node's list is compared with the state and the difference
 * ordered, both ways. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "master/cluster.h"
#include "master/routes.h"
#include "master/watchers.h"
#include "raft/replica.h"

struct dispatch_config {
    uv_loop_t *loop;
    struct tls_context *tls;
    struct watchers *watchers; /* told of pull progress */
    uint64_t suspect_after_ms;
    uint64_t lost_after_ms;
};

struct dispatch {
    struct dispatch_config config;
    struct cluster *cluster; /* borrowed */
    struct replica *replica; /* borrowed */
    struct map links;        /* struct link, by the node's id */
    struct list all;
    struct list busy;      /* links with something to send */
    struct list due;       /* links whose lists are to be asked for */
    size_t listing;        /* links whose lists were asked for */
    uint64_t opened_at_ms; /* the last of them */
    uint64_t cursor;       /* the next event to look at */
    struct routes routes;  /* to all nodes' pods */
    size_t routes_left;    /* that may be told until the next tick */
    size_t silent;         /* nodes, when the tick last looked */
    uint64_t term;         /* that we lead in; 0: we do not */
    uint64_t sessions;     /* begun so far, with all nodes */
    uint64_t ticked_at_ms;
    uv_timer_t tick;
    uv_timer_t opener; /* runs while some are due */
};

void dispatch_init(struct dispatch *dispatch,
                   const struct dispatch_config *config,
                   struct cluster *cluster);

/* From when on it may work. */
void dispatch_start(struct dispatch *dispatch, struct replica *replica);

/* A snapshot took the place of the state. */
void dispatch_reset(struct dispatch *dispatch, struct cluster *cluster);

/* We lead in `term`: open sessions; every node gets a fresh grace period. */
void dispatch_lead(struct dispatch *dispatch, uint64_t term);
/* We lead no more: give no more orders. */
void dispatch_follow(struct dispatch *dispatch);

/* Act on what was applied since; at the end of a loop turn. */
void dispatch_step(struct dispatch *dispatch);

/* For link.c: ask for the node's list in its turn. Thousands are due at once
 * when we begin to lead, and must neither keep us from heartbeats nor fill the
 * way before a node that is wanted now. */
struct link;
void dispatch_due(struct dispatch *dispatch, struct link *link);

/* The channel to a node; NULL when there is none. Borrowed. */
struct channel *dispatch_channel(const struct dispatch *dispatch,
                                 uint64_t node_id);

/* Close the channels and the timer (gone with the loop's next turns). */
void dispatch_close(struct dispatch *dispatch);
