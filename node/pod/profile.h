/* profile.h - what a container may do and how much of it, as kpod takes it.
 * Pure. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"

/* Put user, groups, capabilities, limits, tmpfs and a read-only root of
 * `spec` into `out`. INVALID_ARGUMENT names what there is not. */
int profile_apply(const Kontor__V1__ContainerSpec *spec,
                  Kontor__V1__BundleContainer *out, struct error *why);
