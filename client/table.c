#include "client/table.h"

#include "base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

struct cell {
    char *text; /* owned */
    enum colour colour;
};

struct table {
    const char *const *headings; /* borrowed */
    size_t columns;
    struct cell *cells; /* owned; row by row */
    size_t count;
    size_t room;
};

struct table *table_new(const char *const *headings)
{
    struct table *table = memory_new(sizeof *table);

    table->headings = headings;
    while (headings[table->columns])
        table->columns++;
    assert(table->columns > 0 && table->columns <= TABLE_COLUMNS_MAX);
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

size_t terminal_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* U+0080 to U+009F: a terminal may take U+009B for "escape [". */
static bool is_c1(const char *at)
{
    return (unsigned char)at[0] == 0xc2 &&
           ((unsigned char)at[1] & 0xe0) == 0x80;
}

char *terminal_clean(char *text)
{
    for (char *at = text; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
        else if (is_c1(at))
            at[0] = at[1] = '?';
    }
    return text;
}

/* Takes `text`. */
static void add(struct table *table, enum colour colour, char *text)
{
    if (table->count == table->room) {
        table->room = table->room ? 2 * table->room : 64;
        table->cells =
            memory_resize(table->cells, table->room * sizeof *table->cells);
    }
    table->cells[table->count++] =
        (struct cell){.text = terminal_clean(text), .colour = colour};
}

void table_cell(struct table *table, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    add(table, COLOUR_NONE, text);
}

void table_cell_coloured(struct table *table, enum colour colour,
                         const char *text)
{
    add(table, colour, memory_string(text));
}

const char *colour_start(enum colour colour, bool colours)
{
    if (!colours)
        return "";
    switch (colour) {
    case COLOUR_NONE:
        return "";
    case COLOUR_GOOD:
        return "\033[32m";
    case COLOUR_WARN:
        return "\033[33m";
    case COLOUR_BAD:
        return "\033[31m";
    case COLOUR_FAINT:
        return "\033[2m";
    }
    return "";
}

const char *colour_end(enum colour colour, bool colours)
{
    return colours && colour != COLOUR_NONE ? "\033[0m" : "";
}

static void measure(const struct table *table, size_t *widths)
{
    for (size_t i = 0; i < table->columns; i++)
        widths[i] = terminal_width(table->headings[i]);
    for (size_t i = 0; i < table->count; i++) {
        size_t width = terminal_width(table->cells[i].text);

        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
}

/* The padding before a cell is printed with the cell, so that a line whose
 * last cells are empty has no spaces at its end. */
static void print_row(const struct table *table, const struct cell *cells,
                      const size_t *widths, FILE *out, bool colours)
{
    size_t due = 0;

    for (size_t i = 0; i < table->columns; i++) {
        if (cells[i].text[0]) {
            fprintf(out, "%*s%s%s%s", (int)due, "",
                    colour_start(cells[i].colour, colours), cells[i].text,
                    colour_end(cells[i].colour, colours));
            due = 0;
        }
        due += widths[i] - terminal_width(cells[i].text) + 2;
    }
    fputc('\n', out);
}

void table_print(const struct table *table, FILE *out, bool colours)
{
    size_t widths[TABLE_COLUMNS_MAX];
    struct cell headings[TABLE_COLUMNS_MAX];

    assert(table->count % table->columns == 0);
    measure(table, widths);
    for (size_t i = 0; i < table->columns; i++) {
        headings[i].text = memory_string(table->headings[i]);
        headings[i].colour = COLOUR_NONE;
    }
    print_row(table, headings, widths, out, colours);
    for (size_t i = 0; i < table->columns; i++)
        free(headings[i].text);
    for (size_t i = 0; i < table->count; i += table->columns)
        print_row(table, table->cells + i, widths, out, colours);
}
