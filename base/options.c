#include "base/options.h"

#include "base/nearest.h"
#include "base/quantity.h"

#include <errno.h>
#include <string.h>

/* "f|follow": the letter before the bar, or 0; and the name after it. */
static char short_name(const struct option *option)
{
    return option->name[0] && option->name[1] == '|' ? option->name[0] : '\0';
}

static const char *long_name(const struct option *option)
{
    return option->name + (short_name(option) ? 2 : 0);
}

static const struct option *find_long(const struct option *table,
                                      const char *name, size_t length)
{
    for (; table->name; table++) {
        const char *known = long_name(table);

        if (strlen(known) == length && memcmp(known, name, length) == 0)
            return table;
    }
    return NULL;
}

static const struct option *find_short(const struct option *table, char letter)
{
    for (; table->name; table++)
        if (letter && short_name(table) == letter)
            return table;
    return NULL;
}

static int parse_number(const char *text, uint64_t *number, struct error *why)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is not a whole number", text);
    *number = value;
    return 0;
}

static int add_string(struct option_strings *strings, const char *value,
                      struct error *why)
{
    if (strings->count == OPTION_STRINGS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "given more than %d times", OPTION_STRINGS_MAX);
    strings->values[strings->count++] = value;
    return 0;
}

static int store(const struct option *option, const char *value,
                 struct error *why)
{
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)option->target = true;
        return 0;
    case OPTION_STRING:
        *(const char **)option->target = value;
        return 0;
    case OPTION_STRINGS:
        return add_string(option->target, value, why);
    case OPTION_NUMBER:
        return parse_number(value, option->target, why);
    case OPTION_CPU:
        return quantity_parse_cpu(value, option->target, why);
    case OPTION_BYTES:
        return quantity_parse_bytes(value, option->target, why);
    case OPTION_NET:
        return quantity_parse_net(value, option->target, why);
    case OPTION_DURATION:
        return quantity_parse_duration(value, option->target, why);
    }
    return error_set(why, ERROR_INTERNAL, "option of no kind");
}

static int unknown(const struct option *table, const char *word, size_t length,
                   struct error *why)
{
    char name[NEAREST_WORD_MAX + 1] = "";

    if (length > 2 && length - 2 <= NEAREST_WORD_MAX)
        memcpy(name, word + 2, length - 2);
    for (; table->name; table++)
        if (name[0] && nearest_likely(name, long_name(table)))
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "unknown option %.*s; did you mean --%s?",
                             (int)length, word, long_name(table));
    return error_set(why, ERROR_INVALID_ARGUMENT, "unknown option %.*s",
                     (int)length, word);
}

/* "-it": flags of one letter, all of them. */
static bool parse_flags(const struct option *table, const char *word)
{
    size_t count = strlen(word) - 1;
    const struct option *found[8];

    if (count > ARRAY_LEN(found))
        return false;
    for (size_t i = 0; i < count; i++) {
        found[i] = find_short(table, word[i + 1]);
        if (!found[i] || found[i]->kind != OPTION_FLAG)
            return false;
    }
    for (size_t i = 0; i < count; i++)
        *(bool *)found[i]->target = true;
    return true;
}

/* One option at argv[*at]; moves *at to its last word. */
static int parse_one(const struct option *table, int argc, char **argv, int *at,
                     struct error *why)
{
    const char *word = argv[*at];
    bool is_long = word[1] == '-';
    const char *equals = is_long ? strchr(word, '=') : NULL;
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const struct option *option = is_long
                                      ? find_long(table, word + 2, length - 2)
                                  : length == 2 ? find_short(table, word[1])
                                                : NULL;
    const char *value = equals ? equals + 1 : NULL;

    if (!option && !is_long && parse_flags(table, word))
        return 0;
    if (!option)
        return unknown(table, word, length, why);
    if (option->kind == OPTION_FLAG && value)
        return error_set(why, ERROR_INVALID_ARGUMENT, "%.*s takes no value",
                         (int)length, word);
    if (option->kind != OPTION_FLAG && !value) {
        if (*at + 1 >= argc)
            return error_set(why, ERROR_INVALID_ARGUMENT, "%s needs a value",
                             word);
        value = argv[++*at];
    }
    if (store(option, value, why) != 0)
        return error_wrap(why, "%.*s", (int)length, word);
    return 0;
}

int options_parse(const struct option *table, int argc, char **argv,
                  struct operands *operands, bool *help, struct error *why)
{
    struct operands found = {.values = argv + 1};

    *help = false;
    for (int at = 1; at < argc; at++) {
        char *word = argv[at];

        if (strcmp(word, "--") == 0) {
            found.rest = argv + at + 1;
            found.rest_count = argc - at - 1;
            break;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *help = true;
            *operands = (struct operands){.values = argv + 1};
            return 0;
        }
        if (word[0] != '-' || word[1] == '\0')
            found.values[found.count++] = word;
        else if (parse_one(table, argc, argv, &at, why) != 0)
            return (int)why->code;
    }
    *operands = found;
    return 0;
}

void options_print(const struct option *table, FILE *out)
{
    enum { HELP_COLUMN = 26 };

    for (; table->name; table++) {
        char letter = short_name(table);
        int width =
            letter ? fprintf(out, "  -%c, ", letter) : fprintf(out, "  ");

        width += fprintf(out, "--%s %s", long_name(table),
                         table->metavar ? table->metavar : "");
        fprintf(out, "%*s%s\n", width < HELP_COLUMN ? HELP_COLUMN - width : 1,
                "", table->help);
    }
}
