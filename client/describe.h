/* describe.h - labels and values beneath one another. */
#pragma once

#include "base/lang.h"

/* "label        value"; control characters in the value are made visible. */
void describe_line(const char *label, const char *format, ...)
    PRINTF_LIKE(2, 3);
