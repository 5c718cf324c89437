/* rules.h - what a pod asks for beside room, put against one node.
 *
 *   features     that knode and kernel there can do what the pod asks for
 *   constraints  the node's labels; taints must be tolerated
 *   anti         no pod of these apps is there; and a pod that is there may not
 *                want this one's app
 *   with         a pod of each of these apps is there; the first pod of an app
 *                that wants to be with its own may go anywhere
 *   spread       over the values of a label, or over nodes ("host"): of those
 *                where it fits, one with the fewest pods of its app
 *
 * Pure. Made for one request and valid until the next change. */
#pragma once

#include "master/placement/explain.h"
#include "master/placement/index.h"

struct rules {
    const struct kinds *all_kinds;
    const Kontor__V1__PodSpec *spec; /* NULL: only taints matter */
    const char *node;                /* "": any */
    uint32_t features;               /* that are asked for, as bits */
    const struct presence *anti[PLACEMENT_APPS_MAX];
    const struct presence *with[PLACEMENT_APPS_MAX];
    const struct presence *averse;
    const struct presence *own; /* the app's pods; NULL: none yet */
    uint64_t kinds;             /* the bits of those that may do */
    bool apps;                  /* the other pods on a node matter */
    bool spread_hosts;
    const struct kind_groups *groups; /* by the label that is spread over */
    uint32_t *around; /* pods of the app in each of them; owned; or NULL */
};

void rules_init(struct rules *rules, const struct placement *placement,
                const struct placement_request *request);
void rules_fini(struct rules *rules);

/* The first rule that a node breaks. *which says what broke it: a struct
 * kind_pair or Kontor__V1__Constraint, the name of a label or app, or NULL. */
enum placement_breach rules_breach(const struct rules *rules,
                                   const struct placement_entry *entry,
                                   const void **which);

/* How many rules a node breaks. */
uint32_t rules_obstacles(const struct rules *rules,
                         const struct placement_entry *entry);

/* No rule is broken: what rules_breach() says, sooner. */
bool rules_allow(const struct rules *rules,
                 const struct placement_entry *entry);

/* The same of a single node, without rules made before: its name, labels and
 * taints; and the other pods there. */
bool rules_allow_labels(const struct placement *placement,
                        const struct placement_entry *entry,
                        const Kontor__V1__PodSpec *spec);
bool rules_allow_apps(const struct placement *placement,
                      const struct placement_entry *entry,
                      const Kontor__V1__PodSpec *spec);

/* How many pods of the app are where this node is counted; 0 when the pod is
 * not to be spread. */
uint32_t rules_crowd(const struct rules *rules,
                     const struct placement_entry *entry);

/* The bits of the kinds whose nodes may do and may be in such a crowd. */
uint64_t rules_kinds(const struct rules *rules, uint32_t crowd);

/* They say all, but for the node's name: none is looked at by itself. */
bool rules_told_by_kinds(const struct rules *rules);

/* The next greater crowd that there is somewhere; false: none. */
bool rules_next_crowd(const struct rules *rules, uint32_t *crowd);
