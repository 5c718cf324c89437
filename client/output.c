#include "client/output.h"

#include "client/exit.h"
#include "client/json.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool output_is_json(struct words *words, const char *format, bool *json)
{
    struct error why;

    *json = format && strcmp(format, "json") == 0;
    if (!format || *json)
        return true;
    error_set(&why, ERROR_INVALID_ARGUMENT,
              "-o %s: there is only -o json, and tables without it", format);
    words->exit_code = exit_report(&why);
    return false;
}

void output_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
    json_decref(json);
}

void output_message(const ProtobufCMessage *message)
{
    output_json(json_of_message(message));
}

void output_message_line(const ProtobufCMessage *message)
{
    json_t *json = json_of_message(message);

    json_dumpf(json, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(json);
}

void output_line(FILE *out, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    fprintf(out, "%s\n", terminal_clean(text));
    free(text);
}

bool output_is_terminal(FILE *out)
{
    const char *term = getenv("TERM");

    return isatty(fileno(out)) && (!term || strcmp(term, "dumb") != 0);
}

bool output_colours(FILE *out)
{
    const char *off = getenv("NO_COLOR");

    return (!off || !*off) && output_is_terminal(out);
}

/* The errno of the first write to stdout that failed; 0: none did. */
static int trouble;

bool output_has_reader(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, 0) != 1 || !(out.revents & (POLLERR | POLLHUP));
}

bool output_flush(void)
{
    errno = EIO;
    if (trouble == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        trouble = output_has_reader() ? errno : EPIPE; /* stdio forgets why */
    return trouble == 0;
}

int output_finish(int exit_code)
{
    if (output_flush() || trouble == EPIPE)
        return exit_code;
    fprintf(stderr, "kctl: write output: %s\n", strerror(trouble));
    return EXIT_CODE_FAILED;
}
