/* label.h - labels of a node: key=value. Pure. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { LABELS_MAX = 64, LABEL_PART_MAX = 63 };

struct label {
    char key[LABEL_PART_MAX + 1];
    char value[LABEL_PART_MAX + 1];
};

/* A key is 1 to 63 letters, digits and - _ . / and begins and ends with a
 * letter or digit; a value is the same without /, or empty. INVALID_ARGUMENT
 * says of which it is not true. */
int label_check_key(const char *text, size_t length, struct error *why);
int label_check_value(const char *text, size_t length, struct error *why);

/* "key=value". INVALID_ARGUMENT names what is wrong with which label. */
int label_parse(const char *text, struct label *out, struct error *why);

/* All of them into `out` (room for LABELS_MAX); no key twice. */
int labels_parse(const char *const *texts, size_t count, struct label *out,
                 struct error *why);
