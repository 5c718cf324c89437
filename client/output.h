/* output.h - data goes to stdout, progress and errors to stderr. */
#pragma once

#include "client/table.h"
#include "client/verb.h"

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

/* A row of a verb's option table; `format` is a const char *. */
#define OUTPUT_OPTION(format)                                     \
    {                                                             \
        "o|output", OPTION_STRING, (format), "json", "print JSON" \
    }

/* Look at what -o was given. False: it was neither missing nor "json"; that
 * has been said and `words->exit_code` is set. */
bool output_is_json(struct words *words, const char *format, bool *json);

/* Print `json` indented, and drop it. */
void output_json(json_t *json);

/* A message as JSON: indented, or as one line of a stream. The line is not
 * flushed: output_flush(). */
void output_message(const ProtobufCMessage *message);
void output_message_line(const ProtobufCMessage *message);

/* Colours are for a terminal, and not with NO_COLOR (no-color.org). */
bool output_colours(FILE *out);

/* May the present line be rewritten in place? */
bool output_is_terminal(FILE *out);

/* A line for people; control characters in it are shown as '?'. */
void output_line(FILE *out, const char *format, ...) PRINTF_LIKE(2, 3);

/* Write out what stdout holds. False once that failed: nobody reads on, or
 * the disk is full; what goes on for ever ends then. */
bool output_flush(void);

/* False: stdout is a pipe that nobody reads any more. What waits long looks
 * every OUTPUT_LOOK_MS. */
bool output_has_reader(void);
enum { OUTPUT_LOOK_MS = 1000 };

/* The end of every verb: an output that could not be written, to a full disk
 * say, is a failure. Returns `exit_code` or EXIT_CODE_FAILED. A reader that
 * has seen enough (`| head`) is none. */
int output_finish(int exit_code);
