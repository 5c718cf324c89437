/* schedule_rules.h - the options of `kctl schedule` that say where a pod may
 * go, as the part of a PodSpec that they are. */
#pragma once

#include "client/verb.h"
#include "kontor/v1/types.pb-c.h"

enum { RULES_MAX = 32, RULE_TEXT_MAX = 512 }; /* of each kind */

/* The options' targets; zeroed at first. */
struct rules_options {
    struct option_strings constraints;
    struct option_strings anti;
    struct option_strings with;
    struct option_strings tolerations;
    const char *spread;
    const char *priority;
};

#define RULES_OPTIONS(o)                                                 \
    {"constraint", OPTION_STRINGS, &(o)->constraints, "SELECTOR",        \
     "K=V, K!=V or 'K in (A,B)' of labels; repeatable"},                 \
        {"spread", OPTION_STRING, &(o)->spread, "KEY",                   \
         "evenly over a label's values, or \"host\""},                   \
        {"anti", OPTION_STRINGS, &(o)->anti, "APP",                      \
         "on no node with a pod of this; repeatable"},                   \
        {"with", OPTION_STRINGS, &(o)->with, "APP",                      \
         "on a node with a pod of this; repeatable"},                    \
        {"toleration", OPTION_STRINGS, &(o)->tolerations, "KEY[=VALUE]", \
         "placed in spite of this taint; repeatable"},                   \
    {                                                                    \
        "priority", OPTION_STRING, &(o)->priority, "N",                  \
            "of requests that come together higher go first (0)"         \
    }

/* What the options become; in the caller's storage, not to be moved. */
struct schedule_rules {
    Kontor__V1__Constraint constraints[RULES_MAX];
    Kontor__V1__Constraint *constraint_list[RULES_MAX];
    char *values[RULES_MAX][RULES_MAX];
    char selectors[RULES_MAX][RULE_TEXT_MAX];
    Kontor__V1__Label tolerations[RULES_MAX];
    Kontor__V1__Label *toleration_list[RULES_MAX];
    char tolerated[RULES_MAX][RULE_TEXT_MAX];
};

/* Set them in `spec`, which borrows from both. INVALID_ARGUMENT names the
 * option, what it was given and what is wrong with it. */
int schedule_rules_make(struct schedule_rules *rules,
                        const struct rules_options *options,
                        Kontor__V1__PodSpec *spec, struct error *why);
