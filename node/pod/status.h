/* status.h - a PodStatus whose strings are its own. */
#pragma once

#include "base/lang.h"
#include "kontor/v1/types.pb-c.h"

#include <stdbool.h>

void status_init(Kontor__V1__PodStatus *status, uint64_t pod_id,
                 uint32_t generation);
void status_fini(Kontor__V1__PodStatus *status);

/* `to` becomes a copy. */
void status_copy(Kontor__V1__PodStatus *to, const Kontor__V1__PodStatus *from);

/* Enter a phase; "%s", "" for one that needs no reason. */
void status_enter(Kontor__V1__PodStatus *status, Kontor__V1__PodPhase phase,
                  const char *format, ...) PRINTF_LIKE(3, 4);

void status_set_address(Kontor__V1__PodStatus *status, const char *address);

/* SUCCEEDED or FAILED: it will not run again. */
bool status_ended(const Kontor__V1__PodStatus *status);
