#include "client/progress.h"

#include "client/output.h"

#include <string.h>

enum { TIME_COLUMN = 59, REPEAT_MS = 1000 };

void progress_init(struct progress *progress, FILE *out)
{
    *progress =
        (struct progress){.out = out, .in_place = output_is_terminal(out)};
}

void progress_clear(struct progress *progress)
{
    if (progress->open)
        fputs("\r\033[K", progress->out);
    progress->open = false;
    fflush(progress->out);
}

void progress_line(struct progress *progress, const char *text)
{
    progress_clear(progress);
    output_line(progress->out, "%s", text);
    fflush(progress->out);
}

void progress_update(struct progress *progress, const char *text,
                     uint64_t now_ms)
{
    char line[PROGRESS_LINE_MAX];

    snprintf(line, sizeof line, "%s", text);
    terminal_clean(line);
    if (strcmp(progress->last, line) == 0)
        return;
    if (progress->in_place) {
        fprintf(progress->out, "\r%s\033[K", line);
        fflush(progress->out);
        progress->open = true;
    } else if (progress->printed_ms == 0 ||
               now_ms >= progress->printed_ms + REPEAT_MS) {
        progress_line(progress, line);
        progress->printed_ms = now_ms;
    } else {
        return;
    }
    memcpy(progress->last, line, sizeof line);
}

char *progress_timed(char line[PROGRESS_LINE_MAX], const char *text,
                     uint64_t took_ms)
{
    char took[QUANTITY_TEXT_MAX];
    size_t width = terminal_width(text);
    int padding = width + 2 > TIME_COLUMN ? 2 : (int)(TIME_COLUMN - width);

    snprintf(line, PROGRESS_LINE_MAX, "%s%*s%s", text, padding, "",
             quantity_format_duration(took, took_ms));
    return line;
}
