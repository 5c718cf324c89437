/* taint.h - "key=value:NoSchedule", as kubectl has it, as a Label. */
#pragma once

#include "base/error.h"
#include "kontor/v1/types.pb-c.h"

/* The only thing that a taint does. */
#define TAINT_EFFECT "NoSchedule"

/* KEY[=VALUE][:NoSchedule], cut in place: `out` borrows from `text`.
 * INVALID_ARGUMENT says what is wrong. */
int taint_cut(char *text, Kontor__V1__Label *out, struct error *why);
