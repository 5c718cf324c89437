/* cluster_text.h - short immutable strings, counted, shared by pods and the
 * events that tell of them.
 *
 * Pure. NULL is the empty text everywhere. */
#pragma once

#include "base/lang.h"

#include <stdbool.h>
#include <stdint.h>

enum { TEXT_MAX_BYTES = 512 };

struct text {
    uint32_t references;
    uint32_t length;
    char bytes[]; /* terminated */
};

/* Owned by the caller. Cut between characters to TEXT_MAX_BYTES, with '?' for
 * what is no UTF-8: every client can read what the state holds. */
struct text *text_new(const char *string);
struct text *text_format(const char *format, ...) PRINTF_LIKE(1, 2);

struct text *text_take(struct text *text);
void text_drop(struct text *text);

/* Is it the text that text_new() makes of `string`? */
bool text_is(const struct text *text, const char *string);

/* Put a text of `string` in place of *text, unless it is the same. True when
 * it changed. */
bool text_replace(struct text **text, const char *string);

/* Borrowed; never NULL. */
const char *text_string(const struct text *text);
