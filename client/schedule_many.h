/* schedule_many.h - the pods of one request, watched until all of them run. */
#pragma once

#include "client/contact.h"

#include <stdbool.h>

struct schedule_many {
    struct contact *contact;                      /* borrowed */
    const Kontor__V1__ScheduleResponse *response; /* borrowed; with its pod */
    uint32_t pods;
    bool json;
    bool detach;          /* say what was acknowledged, and no more */
    uint64_t started_ms;  /* monotonic */
    uint64_t deadline_ms; /* monotonic */
};

/* Returns kctl's exit code: the first pod that fails ends it. */
int schedule_many(const struct schedule_many *asked);
