/* story.h - what happened in a run: a hash always, lines when asked.
 *
 * Two runs that did the same have the same hash; a line each is printed only
 * for a run that somebody will read. */
#pragma once

#include "base/lang.h"

#include <stdbool.h>
#include <stdint.h>

enum { STORY_TAIL_LINES = 60, STORY_LINE_MAX = 160 };

enum story_telling {
    STORY_SILENT,
    STORY_TAIL, /* keep the last lines */
    STORY_ALL,  /* print every line */
};

struct story {
    enum story_telling telling;
    char (*tail)[STORY_LINE_MAX]; /* owned; a ring, or NULL */
    uint64_t line_count;
    uint64_t hash;
    char failure[512]; /* empty: none */
};

/* Four numbers that say what happened. */
void story_mix(struct story *story, uint64_t a, uint64_t b, uint64_t c,
               uint64_t d);

/* "[120] m1 > became leader, term 3"; `who` 0: the world. */
void story_line(struct story *story, uint64_t now_us, unsigned who,
                const char *format, ...) PRINTF_LIKE(4, 5);

/* Print what was kept. */
void story_print_tail(const struct story *story);
void story_fini(struct story *story);

/* A check did not hold. The first one counts. */
void story_fail(struct story *story, const char *format, ...) PRINTF_LIKE(2, 3);

static inline bool story_failed(const struct story *story)
{
    return story->failure[0] != '\0';
}
