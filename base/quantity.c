#include "base/quantity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

__extension__ typedef unsigned __int128 wide;

#define KI UINT64_C(1024)

static const struct unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"K", KI},
    {"Ki", KI},
    {"KB", 1000},
    {"kB", 1000},
    {"M", KI *KI},
    {"Mi", KI *KI},
    {"MB", 1000000},
    {"G", KI *KI *KI},
    {"Gi", KI *KI *KI},
    {"GB", 1000000000},
    {"T", KI *KI *KI *KI},
    {"Ti", KI *KI *KI *KI},
    {"TB", 1000000000000},
    {"P", KI *KI *KI *KI *KI},
    {"Pi", KI *KI *KI *KI *KI},
    {"PB", 1000000000000000},
};

static const struct unit net_units[] = {
    {"", 1},
    {"bit", 1},
    {"k", 1000},
    {"K", 1000},
    {"kbit", 1000},
    {"M", 1000000},
    {"Mbit", 1000000},
    {"G", 1000000000},
    {"Gbit", 1000000000},
    {"T", 1000000000000},
};

static const struct unit cpu_units[] = {{"", 1000}, {"m", 1}};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

enum { FRACTION_DIGITS_MAX = 9 };

/* A decimal number: digits / 10^scale. Advances `text` past it. */
static bool parse_decimal(const char **text, uint64_t *digits, unsigned *scale)
{
    const char *at = *text;
    bool fraction = false;

    *digits = 0;
    *scale = 0;
    if (*at < '0' || *at > '9')
        return false;
    for (;; at++) {
        if (*at == '.' && !fraction && at[1] >= '0' && at[1] <= '9') {
            fraction = true;
            continue;
        }
        if (*at < '0' || *at > '9')
            break;
        if (__builtin_mul_overflow(*digits, 10, digits) ||
            __builtin_add_overflow(*digits, (uint64_t)(*at - '0'), digits))
            return false;
        if (fraction && ++*scale > FRACTION_DIGITS_MAX)
            return false;
    }
    *text = at;
    return true;
}

/* What is measured; `what` and `example` word the error. */
struct amount {
    const struct unit *units;
    size_t count;
    const char *what;
    const char *example;
};

static const struct amount cpu_amount = {cpu_units, ARRAY_LEN(cpu_units), "cpu",
                                         "2, 0.5 or 500m"};
static const struct amount byte_amount = {byte_units, ARRAY_LEN(byte_units),
                                          "bytes", "512M, 1G or 1GB"};
static const struct amount net_amount = {net_units, ARRAY_LEN(net_units),
                                         "bits per second", "100M or 1G"};
static const struct amount duration_amount = {
    duration_units, ARRAY_LEN(duration_units), "time", "500ms, 10s, 5m or 2h"};

/* Values are cut to a whole unit. */
static int parse(const char *text, const struct amount *amount, uint64_t *value,
                 struct error *why)
{
    const char *rest = text;
    uint64_t digits;
    unsigned scale;

    if (!parse_decimal(&rest, &digits, &scale))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is no amount of %s; write it like %s", text,
                         amount->what, amount->example);
    for (size_t i = 0; i < amount->count; i++) {
        wide product;

        if (strcmp(rest, amount->units[i].suffix) != 0)
            continue;
        product = (wide)digits * amount->units[i].factor;
        for (; scale > 0; scale--)
            product /= 10;
        if (product > INT64_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "\"%s\" is too large an amount of %s", text,
                             amount->what);
        *value = (uint64_t)product;
        return 0;
    }
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "\"%s\": \"%s\" is no unit of %s; write it like %s", text,
                     rest, amount->what, amount->example);
}

int quantity_parse_cpu(const char *text, uint32_t *cpu_milli, struct error *why)
{
    uint64_t value;

    if (parse(text, &cpu_amount, &value, why) != 0)
        return (int)why->code;
    if (value > UINT32_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is too large an amount of cpu", text);
    *cpu_milli = (uint32_t)value;
    return 0;
}

int quantity_parse_bytes(const char *text, uint64_t *bytes, struct error *why)
{
    size_t length = strlen(text);

    if (length > 1 && text[length - 1] == 'm')
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" would be thousandths of a byte; did you "
                         "mean %.*sM?",
                         text, (int)(length - 1), text);
    return parse(text, &byte_amount, bytes, why);
}

int quantity_parse_net(const char *text, uint64_t *bits, struct error *why)
{
    size_t length = strlen(text);

    if (length > 1 && text[length - 1] == 'm')
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" would be thousandths of a bit; did you mean "
                         "%.*sM?",
                         text, (int)(length - 1), text);
    return parse(text, &net_amount, bits, why);
}

int quantity_parse_duration(const char *text, uint64_t *ms, struct error *why)
{
    return parse(text, &duration_amount, ms, why);
}

char *quantity_format_cpu(char text[QUANTITY_TEXT_MAX], uint64_t cpu_milli)
{
    uint64_t whole = cpu_milli / 1000;
    unsigned rest = (unsigned)(cpu_milli % 1000);
    size_t length;

    if (rest == 0) {
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64, whole);
        return text;
    }
    length = (size_t)snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 ".%03u",
                              whole, rest);
    while (text[length - 1] == '0')
        text[--length] = '\0';
    return text;
}

/* One decimal below ten, none above: "1.0Gi", "9.5Mi", "412Mi". */
static char *format_scaled(char *text, uint64_t value, uint64_t base,
                           const char *const *suffixes, size_t count)
{
    uint64_t factor = 1;
    size_t step = 0;
    uint64_t tenths;

    while (step + 1 < count && value / factor >= base) {
        factor *= base;
        step++;
    }
    tenths = value / factor * 10 + value % factor * 10 / factor;
    if (step > 0 && tenths < 100)
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 ".%" PRIu64 "%s",
                 tenths / 10, tenths % 10, suffixes[step]);
    else
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 "%s", tenths / 10,
                 suffixes[step]);
    return text;
}

char *quantity_format_bytes(char text[QUANTITY_TEXT_MAX], uint64_t bytes)
{
    static const char *const suffixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};

    return format_scaled(text, bytes, 1024, suffixes, ARRAY_LEN(suffixes));
}

char *quantity_format_net(char text[QUANTITY_TEXT_MAX], uint64_t bits)
{
    static const char *const suffixes[] = {"", "K", "M", "G", "T"};
    char *end;

    format_scaled(text, bits, 1000, suffixes, ARRAY_LEN(suffixes));
    end = strstr(text, ".0");
    if (end)
        memmove(end, end + 2, strlen(end + 2) + 1);
    return text;
}

char *quantity_format_duration(char text[QUANTITY_TEXT_MAX], uint64_t ms)
{
    if (ms < 1000)
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 " ms", ms);
    else if (ms < 60000)
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 ".%" PRIu64 " s",
                 ms / 1000, ms % 1000 / 100);
    else if (ms < 3600000)
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 "m", ms / 60000);
    else if (ms < 48u * 3600000)
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 "h", ms / 3600000);
    else
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 "d", ms / 86400000);
    return text;
}
