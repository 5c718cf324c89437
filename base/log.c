#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024, STAMP_MAX_BYTES = 40 };

static enum log_level threshold = LOG_LEVEL_INFO;

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info ",
    [LOG_LEVEL_WARN] = "warn ",
    [LOG_LEVEL_ERROR] = "error",
};

void log_set_level(enum log_level level)
{
    threshold = level;
}

static void format_stamp(char *stamp)
{
    struct timespec now;
    struct tm utc;
    size_t length;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    length = strftime(stamp, STAMP_MAX_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + length, STAMP_MAX_BYTES - length, ".%03ldZ",
             now.tv_nsec / 1000000);
}

static void escape_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    char line[LINE_MAX_BYTES + 2 * STAMP_MAX_BYTES];
    char stamp[STAMP_MAX_BYTES];
    va_list args;
    int length;

    if (level < threshold)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    escape_controls(text);
    format_stamp(stamp);
    length = snprintf(line, sizeof line, "%s %s %s\n", stamp,
                      level_names[level], text);
    /* One write a line: lines of several threads do not mix. A log that
     * cannot be written has nowhere to be reported. */
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return;
}
