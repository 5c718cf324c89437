/* profile.h - what a container may do and how much of it, as kpod takes it.
 * Pure. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"

#include <stdbool.h>

/* Put user, groups, capabilities, limits, tmpfs and a read-only root of
 * `spec` into `out`. INVALID_ARGUMENT names what there is not. */
int profile_apply(const Kontor__V1__ContainerSpec *spec,
                  Kontor__V1__BundleContainer *out, struct error *why);

/* May a container make nodes of the machine's devices, or mount without nodev?
 * Within a user namespace, which first_id tells of, the kernel lets nobody. */
bool profile_reaches_devices(const Kontor__V1__Bundle *bundle);
