#include "test/sim/story.h"

#include "base/map.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void story_mix(struct story *story, uint64_t a, uint64_t b, uint64_t c,
               uint64_t d)
{
    story->hash = map_hash_id(story->hash ^ a) + map_hash_id(b ^ (c << 20));
    story->hash = map_hash_id(story->hash ^ d);
}

void story_line(struct story *story, uint64_t now_us, unsigned who,
                const char *format, ...)
{
    char line[STORY_LINE_MAX];
    size_t length;
    va_list args;

    if (story->telling == STORY_SILENT)
        return;
    snprintf(line, sizeof line, "[%" PRIu64 "] ", now_us / 1000);
    if (who)
        snprintf(line + strlen(line), sizeof line - strlen(line), "m%u > ",
                 who);
    length = strlen(line);
    va_start(args, format);
    vsnprintf(line + length, sizeof line - length, format, args);
    va_end(args);

    if (story->telling == STORY_ALL) {
        puts(line);
        return;
    }
    if (!story->tail)
        story->tail = memory_array(STORY_TAIL_LINES, STORY_LINE_MAX);
    memcpy(story->tail[story->line_count++ % STORY_TAIL_LINES], line,
           sizeof line);
}

void story_print_tail(const struct story *story)
{
    uint64_t first = 0;

    if (story->line_count > STORY_TAIL_LINES)
        first = story->line_count - STORY_TAIL_LINES;
    for (uint64_t i = first; i < story->line_count; i++)
        puts(story->tail[i % STORY_TAIL_LINES]);
}

void story_fini(struct story *story)
{
    free(story->tail);
    story->tail = NULL;
}

void story_fail(struct story *story, const char *format, ...)
{
    va_list args;

    if (story_failed(story))
        return;
    va_start(args, format);
    vsnprintf(story->failure, sizeof story->failure, format, args);
    va_end(args);
}
