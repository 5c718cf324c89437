/* show.h - the words in which pods and nodes are shown to people. */
#pragma once

#include "base/quantity.h"
#include "client/table.h"
#include "kontor/v1/cluster.pb-c.h"

#include <stdbool.h>

enum { SHOW_TEXT_MAX = 96, SHOW_REASON_MAX = 512 };

/* "Running", "Pending" ... ; static storage. */
const char *show_phase(Kontor__V1__PodPhase phase);
enum colour show_phase_colour(Kontor__V1__PodPhase phase);

/* The pod's phase; PENDING for a pod without a status. */
Kontor__V1__PodPhase show_pod_phase(const Kontor__V1__Pod *pod);

/* A pod in this phase will not run again. */
bool show_phase_is_final(Kontor__V1__PodPhase phase);

/* Why the pod is in its phase, or how its last run ended ("exit code 3",
 * "killed by signal 9", "out of memory"); empty when there is nothing to
 * say. */
char *show_pod_reason(char text[SHOW_REASON_MAX], const Kontor__V1__Pod *pod);

/* "Ready", "Ready,cordoned" ...; static storage. */
const char *show_node_status(const Kontor__V1__NodeInfo *node);
enum colour show_node_colour(const Kontor__V1__NodeInfo *node);

/* "disk=ssd,zone=b", "gpu" where the value is empty; "-" for none. What a knode
 * knows (base/feature.h) is left out. */
char *show_labels(char text[SHOW_REASON_MAX], Kontor__V1__Label *const *labels,
                  size_t count);

/* "zone=a", "zone!=a", "zone in (a,b)", "zone not in (a,b)". */
char *show_constraint(char text[SHOW_REASON_MAX],
                      const Kontor__V1__Constraint *constraint);

/* Time since `then`, both wall clock in ms: "4m"; "-" for 0. Clocks that
 * differ by a little never make it negative. */
char *show_age(char text[QUANTITY_TEXT_MAX], uint64_t now_ms, uint64_t then_ms);

/* "2026-01-31 12:00:00" in local time; "-" for 0. */
char *show_time(char text[SHOW_TEXT_MAX], uint64_t wall_ms);

/* "18.4/41.2 MiB  44%": one unit for both, the total's. */
char *show_progress(char text[SHOW_TEXT_MAX], uint64_t done, uint64_t total);

/* "cpu 2, memory 1.0Gi, disk 10Gi, net 100M"; what is 0 is left out, and
 * "nothing" when all is. */
char *show_resources(char text[SHOW_REASON_MAX],
                     const Kontor__V1__Resources *resources);
