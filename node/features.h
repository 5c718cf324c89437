/* features.h - what this knode on this kernel can do (base/feature.h). */
#pragma once

#include "base/feature.h"
#include "kontor/v1/types.pb-c.h"

#include <stddef.h>

/* Its labels into `out`, which borrow constants; how many. `data` is the folder
 * where pods are. */
size_t features_found(const char *data, Kontor__V1__Label out[FEATURE_COUNT]);
