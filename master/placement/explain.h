/* explain.h - what each node says to a request, and in one line why it fits
 * nowhere. */
#pragma once

#include "master/placement/placement.h"

enum { PLACEMENT_SUMMARY_MAX = 320, PLACEMENT_RULE_MAX = 96 };

/* Which rule of the pod a node breaks. */
enum placement_breach {
    PLACEMENT_KEEPS_RULES,
    PLACEMENT_ELSEWHERE,  /* another node is asked for */
    PLACEMENT_UNABLE,     /* its knode or kernel cannot do what is asked */
    PLACEMENT_CONSTRAINT, /* its labels */
    PLACEMENT_TAINT,      /* that the pod does not tolerate */
    PLACEMENT_NO_LABEL,   /* to spread over */
    PLACEMENT_ANTI,       /* a pod of an app is there */
    PLACEMENT_AVERSE,     /* a pod there does not want this one's app */
    PLACEMENT_WITHOUT,    /* no pod of an app is there */
};

/* What one node says to a request. Nothing lacking, not closed and no rule
 * broken: it fits. */
struct placement_verdict {
    const struct placement_node *node; /* borrowed until the next change */
    struct resources free;             /* less what is held, too */
    struct resources lacking;          /* by how much each is short */
    enum resource_kind worst;          /* short by the greatest share */
    uint32_t distance;            /* that share of what is wanted, in 1/65536 */
    enum placement_breach breach; /* the first, */
    const void *which;            /* and what of the pod or the node it is */
    uint32_t obstacles; /* rules broken, being short, being closed: each one */
};

bool placement_fits(const struct placement_verdict *verdict);

/* Every node's verdict, the closest first: where the fewest things are in the
 * way, and the ones not asked for last; of those the ones that are short, by
 * their distance, before those that break a rule, and the closed ones; by id
 * within. An array of *count, free()d by the caller. O(nodes log nodes). */
struct placement_verdict *
placement_explain(const struct placement *placement,
                  const struct placement_request *request, size_t *count);

/* What keeps a pod off for another reason than room: "pod asks for node n3",
 * "cordoned", "its knode has no kontor.io/userns", "does not meet zone in
 * (a,b)", "taint gpu=yes is not tolerated", "runs a pod of web"; "" for
 * nothing. Returns `text`. */
char *placement_rule_text(const struct placement_request *request,
                          const struct placement_verdict *verdict,
                          char text[PLACEMENT_RULE_MAX]);

/* What would make it fit where that is one thing: "if it tolerated gpu=yes",
 * "if 2 pods of lower priority went", "if the node were uncordoned"; or "".
 * Whose going would help is only found as long as there are looks left for it,
 * as of placement_yielding(). Returns `text`. */
char *placement_remedy_text(const struct placement *placement,
                            const struct placement_request *request,
                            const struct placement_verdict *verdict,
                            uint64_t *looks_left,
                            char text[PLACEMENT_RULE_MAX]);

/* One line: "memory short on 4 nodes (best n4, 412Mi), 1 cordoned", where
 * 412Mi is what n4 has left; or that no node could ever hold it; or where it
 * fits. Returns `text`. O(nodes). */
char *placement_summarise(const struct placement *placement,
                          const struct placement_request *request,
                          char text[PLACEMENT_SUMMARY_MAX]);
