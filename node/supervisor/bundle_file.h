/* bundle_file.h - bundle.pb, read and checked. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"

/* The bundle in the current folder, such that everything kpod does with it
 * is within its limits. INVALID_ARGUMENT names what is not. Freed with
 * kontor__v1__bundle__free_unpacked(). */
int bundle_file_read(Kontor__V1__Bundle **out, struct error *why);
