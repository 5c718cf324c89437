/* events.h - events as lines for people. */
#pragma once

#include "client/watch.h"

#include <stdio.h>

/* "48213  2026-01-31 12:00:00  pod_placed  web-1  placed on n2". */
void events_print(const Kontor__V1__Event *event, FILE *out);
