/* utf8.h - is a text one that every client can read? A proto3 string that is
 * no UTF-8 makes strict clients refuse the whole message that holds it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character that `text` begins with: 1 to 4; 0 when it begins
 * with none, or has ended (RFC 3629, section 4). */
size_t utf8_length(const char *text);

bool utf8_valid(const char *text);

/* Copy the start of `text` that fits into `size` bytes (1 or more) with its
 * terminator and ends between characters; '?' stands for each byte that is
 * not of a character. Returns the length written. */
size_t utf8_clean(char *out, size_t size, const char *text);
