/* options.h - command lines from a table: parsing, checking and --help.
 *
 * Long options only, `--name VALUE` or `--name=VALUE`; operands may stand
 * between them; everything after `--` is left alone. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,     /* bool * */
    OPTION_STRING,   /* const char **, borrowed from argv */
    OPTION_STRINGS,  /* struct option_strings *, may be given repeatedly */
    OPTION_NUMBER,   /* uint64_t * */
    OPTION_CPU,      /* uint32_t *, thousandths of a core */
    OPTION_BYTES,    /* uint64_t * */
    OPTION_NET,      /* uint64_t *, bits per second */
    OPTION_DURATION, /* uint64_t *, ms */
};

enum { OPTION_STRINGS_MAX = 256 };

struct option_strings {
    const char *values[OPTION_STRINGS_MAX]; /* borrowed from argv */
    size_t count;
};

/* A table ends with an element whose name is NULL. */
struct option {
    /* Without the dashes; "f|follow" gives -f as well. Flags of one letter
     * can be written together: -it. */
    const char *name;
    enum option_kind kind;
    void *target;        /* its present value is the default */
    const char *metavar; /* "CPU"; NULL for flags */
    const char *help;    /* one line */
};

/* What is left of a command line when the options are taken out. */
struct operands {
    char **values; /* borrowed: a part of argv, reordered */
    int count;
    char **rest; /* after `--`; NULL when there was none */
    int rest_count;
};

/* Parse argv[1..]. INVALID_ARGUMENT names the option and what was wrong.
 * Sets *help and returns 0, without operands, when --help or -h was met. */
int options_parse(const struct option *table, int argc, char **argv,
                  struct operands *operands, bool *help, struct error *why);

/* The table as help text, one option a line. */
void options_print(const struct option *table, FILE *out);
