/* feature.h - what a pod may ask for that not every knode can do: an older one
 * would pass over it, or its machine's kernel cannot. Pure.
 *
 * A knode tells what it can do by labels that it gives its node itself,
 * kontor.io/userns=yes; a pod that asks for it fits no node without. So a new
 * one needs no other message and no other format, only its row here. */
#pragma once

enum feature {
    FEATURE_USERNS,
    FEATURE_HEALTH, /* checks of health and readiness */
    FEATURE_IO,     /* a limit on io */
    FEATURE_COUNT,
};

/* Keys of labels that only knode itself gives. */
#define FEATURE_PREFIX "kontor.io/"
#define FEATURE_KNOWN "yes"

/* The label that stands for it. */
static inline const char *feature_label(enum feature feature)
{
    static const char *const labels[FEATURE_COUNT] = {
        [FEATURE_USERNS] = FEATURE_PREFIX "userns",
        [FEATURE_HEALTH] = FEATURE_PREFIX "health",
        [FEATURE_IO] = FEATURE_PREFIX "io",
    };

    return labels[feature];
}
