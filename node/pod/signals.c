#include "node/pod/signals.h"

#include <ctype.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { DIGITS_MAX = 2 };

/* One or two digits; -1 for anything else. */
static int parse_digits(const char *text)
{
    int value = 0;

    if (*text == '\0' || strlen(text) > DIGITS_MAX)
        return -1;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return -1;
        value = value * 10 + (*text - '0');
    }
    return value;
}

/* "RTMIN", "RTMIN+3", "RTMAX-2"; -1 for anything else. glibc keeps the first
 * real-time signals for itself, so SIGRTMIN is no constant. */
static int parse_realtime(const char *name)
{
    bool from_min = strncasecmp(name, "RTMIN", 5) == 0;
    int base = from_min ? SIGRTMIN : SIGRTMAX;
    int offset;
    int number;

    if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
        return -1;
    if (name[5] == '\0')
        return base;
    offset = parse_digits(name + 6);
    if (offset < 0 || name[5] != (from_min ? '+' : '-'))
        return -1;
    number = from_min ? base + offset : base - offset;
    return number >= SIGRTMIN && number <= SIGRTMAX ? number : -1;
}

static int parse_name(const char *name)
{
    for (int number = 1; number < SIGRTMIN; number++) {
        const char *known = sigabbrev_np(number);

        if (known && strcasecmp(known, name) == 0)
            return number;
    }
    return parse_realtime(name);
}

int signal_parse(const char *text, uint32_t *number, struct error *why)
{
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    int found = parse_digits(text);

    if (*text == '\0')
        found = SIGTERM;
    if (found < 0)
        found = parse_name(name);
    if (found < 1 || found > SIGRTMAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%.32s\" is no signal's name or number", text);
    *number = (uint32_t)found;
    return 0;
}
