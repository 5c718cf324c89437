/* kmaster recover: go on alone when the quorum is lost for good. */
#include "master/backup.h"

#include "base/options.h"

#include <inttypes.h>

struct line {
    const char *name;
    const char *data;
    bool others_lost;
};

static int look(const struct line *line, struct error *why)
{
    struct recover_log log;

    if (recover_look(line->data, line->name, &log, why) != 0)
        return (int)why->code;
    printf("%s holds the log up to index %" PRIu64 ", term %" PRIu64
           "; masters: ",
           line->name, log.last_index, log.last_term);
    backup_print_members(&log);
    printf("nothing was changed; of the masters that are left the one with "
           "the greatest term,\nthen index, is to go on: with "
           "--others-are-lost\n");
    recover_log_fini(&log);
    return 0;
}

static int go_on_alone(const struct line *line, struct error *why)
{
    struct recover_log log;

    if (recover_alone(line->data, line->name, &log, why) != 0)
        return (int)why->code;
    printf("%s is the only master from index %" PRIu64 " on, in term %" PRIu64
           "\n"
           "kept: all that it held, up to index %" PRIu64 ", term %" PRIu64 "\n"
           "lost: what the others acknowledged after that, if anything\n",
           line->name, log.last_index + 1, log.term + RECOVER_TERMS,
           log.last_index, log.last_term);
    recover_log_fini(&log);
    return 0;
}

static int recover(const struct line *line, struct error *why)
{
    if (backup_need(line->name, "name", why) != 0 ||
        backup_need(line->data, "data", why) != 0)
        return (int)why->code;
    return line->others_lost ? go_on_alone(line, why) : look(line, why);
}

static const char recover_usage[] =
    "kmaster recover --name m2 --data /var/lib/kontor/m2\n"
    "kmaster recover --name m2 --data /var/lib/kontor/m2 --others-are-lost\n"
    "\n"
    "For a cluster whose majority of masters is lost for good: says what this\n"
    "master's log holds or, when told that the others are lost, makes it the\n"
    "only master. It must not run. New ones are then added: kctl masters add.\n"
    "\n";

int backup_recover_main(int argc, char **argv)
{
    struct line line = {0};
    const struct option options[] = {
        {"name", OPTION_STRING, &line.name, "NAME", "this master's name"},
        {"data", OPTION_STRING, &line.data, "DIR", "its folder"},
        {"others-are-lost", OPTION_FLAG, &line.others_lost, NULL,
         "they will never be started again: go on without them"},
        {0},
    };
    struct operands operands;
    struct error why;
    int code;

    if (!backup_parse(options, recover_usage, argc, argv, &operands, &code))
        return code;
    if (operands.count > 0) {
        error_set(&why, ERROR_INVALID_ARGUMENT, "\"%s\" is not understood",
                  operands.values[0]);
        return backup_report(&why);
    }
    return recover(&line, &why) == 0 ? EXIT_CODE_DONE : backup_report(&why);
}
