#include "client/output.h"

#include "client/exit.h"
#include "client/json.h"

#include <errno.h>
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
    fflush(stdout);
    json_decref(json);
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

int output_finish(int exit_code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno == EPIPE)
            return exit_code;
        fprintf(stderr, "kctl: write output: %s\n", strerror(errno));
        return EXIT_CODE_FAILED;
    }
    return exit_code;
}
