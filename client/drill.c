/* drill.c - `kctl drill leader|pause|partition|disk|transfer`: a master is
 * harmed while clients go on, and what they saw of it is told. */
#include "client/drill.h"

#include "base/fd.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/verbs.h"

#include <signal.h>

enum { COUNT = 5, BUDGET_MS = 1000 };

/* To be ended is as good a reason to leave things in order as Ctrl-C is. */
static void on_end(int number)
{
    (void)number;
    raise(SIGINT);
}

static int save_history(const struct drill *drill, const char *path, int code,
                        struct error *why)
{
    struct error saving;

    if (!path || drill_history_save(&drill->history, path, &saving) == 0)
        return code;
    if (code == 0)
        *why = saving;
    return (int)why->code;
}

static int find_and_run(struct drill *drill, const struct contact_options *to,
                        const char *record, struct error *why)
{
    CLEANUP(fd_close) int lock = -1;
    struct contact *contact;
    int code;

    if (contact_open(&contact, to, why) != 0)
        return (int)why->code;
    code = drill_find(drill, contact, &lock, why);
    contact_close(contact);
    if (code != 0)
        return code;
    signal(SIGTERM, on_end);
    signal(SIGHUP, on_end);
    code = drill_run(drill, to, why);
    return save_history(drill, record, code, why);
}

static int run(struct words *words, const struct drill_fault *fault)
{
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    struct drill drill = {
        .fault = fault, .count = COUNT, .budget_ms = BUDGET_MS};
    const char *record = NULL;
    const char *format = NULL;
    const struct option options[] = {
        {"count", OPTION_NUMBER, &drill.count, "N", "how many times (5)"},
        {"budget", OPTION_DURATION, &drill.budget_ms, "TIME",
         "that writes may fail for, each time (1s)"},
        {"record", OPTION_STRING, &record, "FILE",
         "write down each call, as lines of JSON"},
        OUTPUT_OPTION(&format),
        CONTACT_OPTIONS(&to),
        {0}};
    struct error why;
    bool json;
    int code;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (drill.count < 1 || drill.count > DRILL_COUNT_MAX) {
        error_set(&why, ERROR_INVALID_ARGUMENT, "--count: 1 to %d",
                  DRILL_COUNT_MAX);
        return exit_report(&why);
    }
    code = find_and_run(&drill, &to, record, &why);
    if (code == 0 && json)
        drill_print_json(&drill);
    else if (code == 0)
        drill_print(&drill);
    if (code == 0)
        code = drill_passed(&drill) ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
    else
        code = exit_report(&why);
    drill_fini(&drill);
    return code;
}

#define DRILL_VERB(fault, does, more)                                          \
    static int run_##fault(struct words *words)                                \
    {                                                                          \
        return run(words, &drill_##fault);                                     \
    }                                                                          \
    const struct verb verb_drill_##fault = {                                   \
        .name = "drill " #fault,                                               \
        .summary = does,                                                       \
        .example = "kctl drill " #fault " --count 5 --budget 1s",              \
        .synopsis = "kctl drill " #fault                                       \
                    " [--count N] [--budget TIME] [--record FILE] [-o json]",  \
        .details = more                                                        \
        "\n\nClients write and read meanwhile. The gap is the time from "      \
        "the fault to the first\nacknowledgement of a write that began after " \
        "it. No write may be lost or done twice, no\npod restart, no node be " \
        "missing, no gap exceed the budget; else the exit code is 1.\nOnly "   \
        "for a cluster that kctl dev up made, which is as before "             \
        "afterwards.",                                                         \
        .run = run_##fault,                                                    \
    }

DRILL_VERB(leader, "Kill the leader of a dev cluster, again and again",
           "The leading kmaster is killed (SIGKILL) and started again.");
DRILL_VERB(pause, "Stop the leader of a dev cluster, again and again",
           "The leading kmaster is stopped (SIGSTOP) and goes on later.");
DRILL_VERB(partition, "Cut the leader of a dev cluster off, again and again",
           "All packets from and to the leading kmaster are dropped.");
DRILL_VERB(disk, "Fill the disk of a dev cluster's leader, again and again",
           "Needs kctl dev up --master-disk. A leader that has no room refuses "
           "new work; it has some\nagain after 0.4 s, or starts again when it "
           "has ended meanwhile.");
DRILL_VERB(transfer,
           "Hand the leadership of a dev cluster over, again and again",
           "The leader makes room for the next master, which is no failure: "
           "how long nothing is\nacknowledged meanwhile is told as silence.");
