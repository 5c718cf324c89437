/* pod_spec.h - for tests: a PodSpec as people write it. */
#pragma once

#include "kontor/v1/types.pb-c.h"

/* Fails the test when it cannot be read. */
Kontor__V1__PodSpec *pod_spec_of(const char *yaml);
