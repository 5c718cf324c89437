/* spec_check.h - what people ask for, checked word by word and completed.
 *
 * Pure. Errors name the field. Left out: cpu 100m, memory 128Mi, disk and net
 * nothing reserved and no limit; a container is called "main"; ten seconds
 * to stop; the app is called after the image. */
#pragma once

#include "base/error.h"
#include "kontor/v1/types.pb-c.h"
#include "master/cluster_names.h"

#include <stdbool.h>

enum {
    SPEC_CONTAINERS_MAX = 8, /* what nodes can run in one pod */
    SPEC_IMAGE_MAX = 512,
    SPEC_WORDS_MAX = 256,  /* of a command, or of an environment */
    SPEC_PATH_MAX = 256,   /* bytes of what a health check asks for */
    SPEC_TOKEN_MAX = 64,   /* bytes of a user's, capability's, limit's name */
    SPEC_PROFILE_MAX = 64, /* groups, capabilities ... of a container */
    SPEC_STOP_GRACE_MAX_MS = 3600 * 1000,
    SPEC_RULES_MAX = 32, /* constraints, values of one, tolerations */
    SPEC_LABEL_MAX = 253,
    SPEC_PRIORITY_MAX = 1000000,
};

/* The spec to use, borrowing from the one that was checked. Not to be moved:
 * it points into itself. */
struct checked_spec {
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
    Kontor__V1__ContainerSpec container[SPEC_CONTAINERS_MAX];
    Kontor__V1__ContainerSpec *containers[SPEC_CONTAINERS_MAX];
    char app[APP_NAME_MAX + 1];
    char container_name[APP_NAME_MAX + 1];
    bool named; /* the app's name was given */
};

/* INVALID_ARGUMENT. `spec` may be NULL. */
int spec_check(const Kontor__V1__PodSpec *spec, struct checked_spec *out,
               struct error *why);

/* Only what it says of where it may go (spec_rules.c). INVALID_ARGUMENT. */
int spec_check_rules(const Kontor__V1__PodSpec *spec, struct error *why);
