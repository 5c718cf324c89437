#include "node/term.h"

#include "base/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TERM_FILE "term"

enum { TERM_TEXT_MAX = 32 };

int term_open(struct term *term, int folder, struct error *why)
{
    char text[TERM_TEXT_MAX + 1];
    char *end = text;
    struct buffer content;
    uint64_t seen = 0;

    buffer_init(&content, TERM_TEXT_MAX);
    error_clear(why);
    if (file_read(folder, TERM_FILE, &content, why) == 0) {
        memcpy(text, buffer_data(&content), buffer_length(&content));
        text[buffer_length(&content)] = '\0';
        errno = 0;
        seen = strtoull(text, &end, 10);
        if (end == text || *end != '\n' || errno != 0)
            error_set(why, ERROR_DATA_LOSS, "%s: not a term", TERM_FILE);
    } else if (why->code == ERROR_NOT_FOUND) {
        error_clear(why);
    }
    buffer_fini(&content);
    if (why->code != ERROR_OK)
        return (int)why->code;
    *term = (struct term){.folder = folder, .seen = seen};
    return 0;
}

int term_check(struct term *term, uint64_t order, struct error *why)
{
    char text[TERM_TEXT_MAX];
    int length;

    if (order < term->seen)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "term %" PRIu64 " is over, this node has seen "
                         "term %" PRIu64,
                         order, term->seen);
    if (order == term->seen)
        return 0;
    length = snprintf(text, sizeof text, "%" PRIu64 "\n", order);
    /* The loop waits for the disk here, once an election: after a power cut
     * an old leader must not find a node that has forgotten the new one. */
    if (file_replace(term->folder, TERM_FILE, text, (size_t)length, 0600,
                     why) != 0)
        return error_wrap(why, "remember term %" PRIu64, order);
    term->seen = order;
    term->session = 0;
    return 0;
}

void term_begin_session(struct term *term, uint64_t session)
{
    if (session > term->session)
        term->session = session;
}

int term_check_session(const struct term *term, uint64_t session,
                       struct error *why)
{
    if (session == 0 || session >= term->session)
        return 0;
    return error_set(why, ERROR_FAILED_PRECONDITION,
                     "session %" PRIu64 " is over, session %" PRIu64
                     " has begun",
                     session, term->session);
}
