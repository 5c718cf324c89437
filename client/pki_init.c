#include "client/exit.h"
#include "client/pki_cluster.h"
#include "client/verbs.h"

static int run(struct words *words)
{
    struct option_strings masters = {0};
    struct option_strings nodes = {0};
    uint64_t days = PKI_DAYS;
    const struct option options[] = {{"master", OPTION_STRINGS, &masters,
                                      "NAME=HOST:PORT", "a master; repeatable"},
                                     {"node", OPTION_STRINGS, &nodes,
                                      "NAME=HOST:PORT", "a node; repeatable"},
                                     {"days", OPTION_NUMBER, &days, "DAYS",
                                      "how long the certificates hold (365)"},
                                     {0}};
    struct pki_cluster cluster = {0};
    struct error why;

    if (!verb_parse(words, options))
        return words->exit_code;
    cluster.folder = words->operands.values[0];
    cluster.days = days;
    cluster.out = stdout;
    if (pki_cluster_read(&cluster, &masters, &nodes, &why) != 0)
        return exit_report(&why);
    return pki_cluster_make(&cluster, &why) == 0 ? EXIT_CODE_DONE
                                                 : exit_report(&why);
}

const struct verb verb_pki_init = {
    .name = "pki init",
    .summary = "Make the certificates of a cluster, or add to them",
    .example = "kctl pki init pki --master m1=10.0.0.1:7400 "
               "--master m2=10.0.0.2:7400 --master m3=10.0.0.3:7400 "
               "--node n1=10.0.0.11:7500",
    .synopsis = "kctl pki init DIR --master NAME=HOST:PORT... "
                "[--node NAME=HOST:PORT]... [--days DAYS]",
    .details =
        "Makes an authority, one certificate for each master and node, and "
        "those of admin\nand viewer, and config.json for kctl. With an "
        "authority there already, adds what\nis new and replaces nothing. "
        "Give each machine ca.crt and its own .crt and .key;\nkeep ca.key "
        "away from all of them.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
