/* cluster_view.h - the state's things as messages, borrowed from it.
 *
 * Pure. A view holds what the message points to beside the state itself; it
 * stays valid until the state changes or the view is moved. */
#pragma once

#include "kontor/v1/types.pb-c.h"
#include "master/cluster.h"

struct pod_view {
    Kontor__V1__Pod pod;
    Kontor__V1__PodStatus status;
};

struct node_view {
    Kontor__V1__NodeInfo node;
    Kontor__V1__Resources capacity;
    Kontor__V1__Resources allocated;
    char subnet[POD_NETWORK_TEXT_MAX];
};

struct event_view {
    Kontor__V1__Event event;
    struct pod_view pod;
};

void pod_view_fill(struct pod_view *view, const struct cluster *cluster,
                   const struct pod *pod);
void node_view_fill(struct node_view *view, const struct cluster *cluster,
                    const struct node *node);
void event_view_fill(struct event_view *view, const struct cluster *cluster,
                     const struct event *event);
