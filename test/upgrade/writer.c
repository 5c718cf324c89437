/* writer FILE - the clients of a drill, at work until SIGINT: they write pods
 * and read them. Says "writing" when the first write was acknowledged, and in
 * the end, in JSON, what they were told and what is there. FILE gets their
 * history (test/linear/history.h). The cluster is KONTOR_CONFIG's. */
#include "base/exit.h"
#include "base/lang.h"
#include "client/drill_pods.h"

#include <stdio.h>
#include <string.h>

static const struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};

/* CANCELLED: by SIGINT. */
static int work(struct contact *contact, struct drill_history *history,
                struct error *why)
{
    struct drill_clients *clients = drill_clients_open(contact, history);
    bool told = false;
    int code;

    while ((code = contact_wait(contact, UINT64_MAX, why)) == 0) {
        if (told || drill_history_recovered_ns(history, 0) == 0)
            continue;
        told = true;
        puts("writing");
        fflush(stdout);
    }
    drill_clients_finish(clients);
    drill_clients_close(clients);
    return code;
}

static int list(struct drill_pods *pods, struct drill_counts *counts,
                struct error *why)
{
    struct contact *contact;
    int code = contact_open(&contact, &to, why);

    if (code != 0)
        return code;
    code = drill_count_nodes(counts, contact, why);
    if (code == 0)
        code = drill_pods_list(pods, contact, why);
    contact_close(contact);
    return code;
}

static void print(const struct drill_counts *counts)
{
    printf("{\"acknowledged\": %u, \"unknown\": %u, \"refused\": %u, "
           "\"reads\": %u, \"lost\": %u, \"duplicated\": %u, \"pods\": %u, "
           "\"restarted\": %u, \"nodes\": %u, \"nodes_ready\": %u}\n",
           counts->acknowledged, counts->unknown, counts->refused,
           counts->reads, counts->lost, counts->duplicated, counts->pods,
           counts->restarted, counts->nodes, counts->nodes_ready);
}

static int run(const char *path, struct drill_history *history,
               struct error *why)
{
    struct drill_counts counts = {0};
    struct drill_pods before = {0};
    struct drill_pods after = {0};
    struct contact *contact;
    int code = list(&before, &counts, why);

    if (code == 0 && (code = contact_open(&contact, &to, why)) == 0) {
        code = work(contact, history, why);
        contact_close(contact);
    }
    if (code == ERROR_CANCELLED)
        code = list(&after, &counts, why);
    if (code == 0) {
        drill_count_writes(&counts, history, &after);
        drill_count_pods(&counts, &before, &after);
        print(&counts);
        code = drill_history_save(history, path, why);
    }
    drill_pods_fini(&before);
    drill_pods_fini(&after);
    return code;
}

int main(int argc, char **argv)
{
    struct drill_history history = {0};
    struct error why;
    int code;

    if (argc != 2) {
        fprintf(stderr, "usage: writer FILE\n");
        return EXIT_CODE_USAGE;
    }
    code = run(argv[1], &history, &why);
    if (code != 0)
        fprintf(stderr, "writer: %s\n", why.message);
    drill_history_fini(&history);
    return code == 0 ? EXIT_CODE_DONE : EXIT_CODE_FAILED;
}
