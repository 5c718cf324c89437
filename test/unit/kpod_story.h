/* kpod_story.h - for tests: one pod a story, freed behind it. */
#pragma once

#include "test/unit/kpod_pod.h"

#define PHASE(name) KONTOR__V1__POD_PHASE__POD_##name

extern struct kpod_pod *pod; /* of the story that runs, or NULL */

/* kpod_pod_new(), with the program probe (test/unit/probe) in the image. */
void make_probed_pod(const char *script);

/* A teardown; also between the parts of a story. Never fails by itself. */
int clean_up(void **state);

/* The pod's output has `text`. */
void assert_says(const char *text);
