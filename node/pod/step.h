/* step.h - what the two halves of a pod's operation, start.c and pod.c, need
 * of each other. Nobody else includes it. */
#pragma once

#include "node/pod/pod.h"

/* start.c: the states from NEW to LAUNCH. */
void pod_start_step(struct pod *pod);

/* Enter a state and step. */
void pod_go(struct pod *pod, enum pod_state state);

/* Report the status. */
void pod_tell(struct pod *pod);

/* Is it to go, or to make room for a newer generation? */
bool pod_leaving(const struct pod *pod);

/* It failed for good, before there was a kpod or after one died. */
void pod_fail(struct pod *pod, const char *reason);

/* Try again later, from `state`, in `phase`; or fail for good when trying
 * again would not help. */
void pod_retry(struct pod *pod, enum pod_state state,
               Kontor__V1__PodPhase phase, const struct error *why);
