/* fake_node.h - a node's service over real sockets, and no node behind it: for
 * tests of the masters.
 *
 * It remembers what it was ordered and reports what it is told to. */
#pragma once

#include "kontor/v1/node.pb-c.h"
#include "rpc/server.h"

enum { FAKE_PODS_MAX = 4096 };

struct fake_watch;

/* Zeroes are one that is down. The owner fills in what it wants and opens the
 * server: server_add(node->server, &fake_node_service, node). */
struct fake_node {
    uv_loop_t *loop;
    uint64_t heartbeat_ms;
    bool silent;        /* no heartbeats, no reports */
    const char *refuse; /* a pod called so; others of that order are taken */
    const char *broken; /* INTERNAL for CreatePods, for this reason */
    bool holds;         /* CreatePods is answered by fake_answer() */
    bool lingers;       /* deleted pods are STOPPING until fake_report() */
    struct server *server;

    struct fake_watch *watch;                  /* the newest, or NULL */
    struct call *held;                         /* CreatePods, or NULL */
    struct error verdict;                      /* what it will be told */
    Kontor__V1__PodStatus pods[FAKE_PODS_MAX]; /* what it has; no strings */
    size_t pod_count;
    unsigned create_calls;
    unsigned created;
    unsigned deleted;
    unsigned routes;         /* that it was told, each node's counted once */
    unsigned route_changes;  /* SetRoutes that told changes only */
    uint64_t routes_version; /* of the last SetRoutes */
    uint64_t term;           /* the greatest seen; an older one is refused */
};

/* Its data is the struct fake_node. */
extern const struct service fake_node_service;

/* What it has of a pod; NULL when it has none. Borrowed. */
Kontor__V1__PodStatus *fake_pod(struct fake_node *node, uint64_t pod_id);

/* Answer the CreatePods that is held. */
void fake_answer(struct fake_node *node);

/* Say that a pod it has is in a phase now; STOPPED is forgotten then. */
void fake_report(struct fake_node *node, uint64_t pod_id,
                 Kontor__V1__PodPhase phase);
