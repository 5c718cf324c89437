/* progress.h - what is going on, on stderr.
 *
 * On a terminal a line that changes is rewritten in place; elsewhere it is
 * printed again at most once a second, so a log stays readable. */
#pragma once

#include "client/show.h"

#include <stdio.h>

enum { PROGRESS_LINE_MAX = SHOW_REASON_MAX + SHOW_TEXT_MAX };

struct progress {
    FILE *out;     /* borrowed */
    bool in_place; /* a terminal */
    bool open;     /* the cursor stands behind a line that may change */
    uint64_t printed_ms;
    char last[PROGRESS_LINE_MAX];
};

void progress_init(struct progress *progress, FILE *out);

/* A line that stays. In all lines control characters are shown as '?'. */
void progress_line(struct progress *progress, const char *text);

/* A line that the next one replaces. `now_ms`: monotonic. */
void progress_update(struct progress *progress, const char *text,
                     uint64_t now_ms);

/* Before anything else is written: wipe a line that may change. */
void progress_clear(struct progress *progress);

/* "web-1  placed on n2 (index 48213, term 7)                  3 ms" */
char *progress_timed(char line[PROGRESS_LINE_MAX], const char *text,
                     uint64_t took_ms);
