/* log.h - one line an event, on stderr.
 *
 *   2026-01-31T12:00:00.123Z info  raft: became leader, term 7
 *
 * Only main and the top of a service log; libraries return errors. */
#pragma once

#include "base/lang.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR
};

/* Lines below `level` are dropped. The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* Control characters in what is printed become "?", so one event is one
 * line whatever a peer sent. Cut at 1 KiB. */
void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
