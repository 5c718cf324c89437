/* bundle.h - an order and its images become what kpod runs. Pure.
 *
 * As with Docker: `command` replaces Entrypoint and Cmd both; the order's
 * environment goes over the image's. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"
#include "kontor/v1/node.pb-c.h"
#include "node/supervisor/supervisor.h"

#include <stdbool.h>

enum {
    BUNDLE_CONTAINERS_MAX = SUPERVISOR_CONTAINERS_MAX,
    BUNDLE_STRINGS_MAX = 4096, /* arguments or variables of a container */
    BUNDLE_NAME_MAX = 64,      /* bytes of a container's name */
    BUNDLE_GRACE_MS = 10000,   /* where the order says nothing */
};

/* Is this an order that can be carried out? INVALID_ARGUMENT names what is
 * wrong with it. */
int bundle_check_order(const Kontor__V1__PodOrder *order, struct error *why);

/* "main" for one without a name. Borrowed. */
const char *bundle_container_name(const Kontor__V1__ContainerSpec *spec);

/* A bundle without containers; freed with kontor__v1__bundle__free_unpacked.
 * Address, resolv_conf and cgroup are set by bundle_place(). */
Kontor__V1__Bundle *bundle_new(const Kontor__V1__PodOrder *order);

struct bundle_source {
    const Kontor__V1__ContainerSpec *spec;
    const Kontor__V1__Image *image;
    const char *image_folder; /* absolute; the store's */
    uint64_t log_limit_bytes;
};

/* Add the next container. INVALID_ARGUMENT when image and order name no
 * program, or the image is odd. `bundle` is unchanged when it fails. */
int bundle_add(Kontor__V1__Bundle *bundle, const struct bundle_source *source,
               struct error *why);

/* Where the pod lives; each replaces what was there. */
void bundle_place(Kontor__V1__Bundle *bundle, const char *cgroup,
                  const char *address, const char *resolv_conf);

/* The host's resolv.conf as a pod can use it: name servers on loopback,
 * which it could not reach, are left out. *usable: is one left? Freed with
 * free(). */
char *bundle_resolv_conf(const char *host, bool *usable);
