/* table.h - columns of text for people.
 *
 * A column is as wide as its widest cell; two spaces stand between columns
 * and none at a line's end. Control characters in a cell are shown as '?',
 * so nothing that a server said moves the cursor. */
#pragma once

#include "base/lang.h"

#include <stdbool.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 16 };

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_FAINT };

struct table;

/* `headings` (borrowed, static) ends with NULL; at most TABLE_COLUMNS_MAX. */
struct table *table_new(const char *const *headings);
void table_free(struct table *table);

/* The next cell, row by row. */
void table_cell(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);
void table_cell_coloured(struct table *table, enum colour colour,
                         const char *text);

/* Whole rows only. Without rows only the headings are printed. */
void table_print(const struct table *table, FILE *out, bool colours);

/* The escape sequences, for text outside of tables. */
const char *colour_start(enum colour colour, bool colours);
const char *colour_end(enum colour colour, bool colours);

/* Shown width of UTF-8 text, counting one column a code point. */
size_t terminal_width(const char *text);

/* Replace control characters, C0 and C1 (ECMA-48), each of their bytes with a
 * '?'; returns `text`. */
char *terminal_clean(char *text);
