/* verb.h - a table of verbs, one verb a file.
 *
 * A verb's file exports one `const struct verb`; its run() reads its words
 * with verb_parse(), does its work reading downward, and returns kctl's exit
 * code. `--help` is printed from the same table. */
#pragma once

#include "base/options.h"

#include <stdbool.h>

struct words;

struct verb {
    const char *name;     /* "get pods" */
    const char *summary;  /* one line, for the list of verbs */
    const char *example;  /* the first lines of --help */
    const char *synopsis; /* "kctl get pods [-a]" */
    const char *details;  /* more for --help; may be NULL */
    int operands_min;
    int operands_max;
    bool takes_rest; /* words after `--` */
    bool hidden;     /* not in the list: called by kctl itself */
    int (*run)(struct words *words);
};

/* A command line on its way through a verb. */
struct words {
    const struct verb *verb;
    int argc; /* argv[0] is the verb's last word */
    char **argv;
    struct operands operands; /* after verb_parse() */
    int exit_code;            /* what to return when verb_parse() says so */
};

/* Parse the options and count the operands. False: `words->exit_code` is
 * the verb's result already (help was printed, or what is wrong). */
bool verb_parse(struct words *words, const struct option *options);

/* Find the verb that argv[1..] names, run it, return the exit code. */
int verb_dispatch(int argc, char **argv);

/* Every verb, in the order of the list; ends with NULL. */
extern const struct verb *const verbs[];
