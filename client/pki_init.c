#include "client/exit.h"
#include "client/output.h"
#include "client/pki_cluster.h"
#include "client/verbs.h"

static void print(void *data, const char *name, const char *role, bool made)
{
    (void)data;
    printf("%-16s %-7s %s\n", name, role, made ? "made" : "was there, kept");
}

static void gather(void *data, const char *name, const char *role, bool made)
{
    json_array_append_new(data, json_pack("{s:s,s:s,s:b}", "name", name, "role",
                                          role, "made", (int)made));
}

static int run(struct words *words)
{
    const char *format = NULL;
    struct option_strings masters = {0};
    struct option_strings nodes = {0};
    uint64_t days = PKI_DAYS;
    const struct option options[] = {{"master", OPTION_STRINGS, &masters,
                                      "NAME=HOST:PORT", "a master; repeatable"},
                                     {"node", OPTION_STRINGS, &nodes,
                                      "NAME=HOST:PORT", "a node; repeatable"},
                                     {"days", OPTION_NUMBER, &days, "DAYS",
                                      "how long the certificates hold (365)"},
                                     OUTPUT_OPTION(&format),
                                     {0}};
    struct pki_cluster cluster = {0};
    struct error why;
    json_t *list;
    bool json;
    int code;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    cluster.folder = words->operands.values[0];
    cluster.days = days;
    if (pki_cluster_read(&cluster, &masters, &nodes, &why) != 0)
        return exit_report(&why);
    list = json_array();
    cluster.told = json ? gather : print;
    cluster.data = list;
    code = pki_cluster_make(&cluster, &why);
    if (code == 0 && json)
        output_json(json_pack("{s:O}", "certificates", list));
    json_decref(list);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_pki_init = {
    .name = "pki init",
    .summary = "Make the certificates of a cluster, or add to them",
    .example = "kctl pki init pki --master m1=10.0.0.1:7400 "
               "--master m2=10.0.0.2:7400 --master m3=10.0.0.3:7400 "
               "--node n1=10.0.0.11:7500",
    .synopsis = "kctl pki init DIR --master NAME=HOST:PORT... "
                "[--node NAME=HOST:PORT]... [--days DAYS]\n"
                "[-o json]",
    .details =
        "Makes an authority, one certificate for each master and node, and "
        "those of admin\nand viewer, and config.json for kctl. With an "
        "authority there already, adds what\nis new and replaces no "
        "certificate. "
        "Give each machine ca.crt and its own\n.crt and .key; keep ca.key "
        "away from all of them.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
