#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "client/config.h"
#include "client/dev_disk.h"
#include "client/dev_down.h"
#include "client/dev_net.h"
#include "client/dev_process.h"
#include "client/dev_programs.h"
#include "client/dev_ready.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/pki_cluster.h"
#include "client/verbs.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* Certificates in DIR/pki, and DIR/config.json that names it. */
static int make_pki(const struct dev *dev, struct error *why)
{
    CLEANUP(free_pointer) char *folder = memory_format("%s/pki", dev->folder);
    CLEANUP(free_pointer)
    char *path = memory_format("%s/config.json", dev->folder);
    char *texts[DEV_MASTERS_MAX + DEV_NODES_MAX];
    struct option_strings masters = {0};
    struct option_strings nodes = {0};
    struct pki_cluster cluster = {.folder = folder, .days = PKI_DAYS};
    struct config config = {.pki = memory_string("pki"),
                            .identity = memory_string("admin")};
    char address[DEV_ADDRESS_MAX];
    unsigned count = 0;
    int code;

    for (unsigned i = 0; i < dev->master_count; i++) {
        dev_master_address(address, i);
        texts[count] = memory_format("%s=%s", dev->masters[i].name, address);
        masters.values[masters.count++] = texts[count++];
        config.masters[i].name = memory_string(dev->masters[i].name);
        config.masters[i].address = memory_string(address);
        config.master_count++;
    }
    for (unsigned i = 0; i < dev->node_count; i++) {
        dev_node_address(address, i);
        texts[count] = memory_format("%s=%s", dev->nodes[i].name, address);
        nodes.values[nodes.count++] = texts[count++];
    }
    code = pki_cluster_read(&cluster, &masters, &nodes, why);
    if (code == 0)
        code = pki_cluster_make(&cluster, why);
    if (code == 0)
        code = config_save(&config, path, why);
    config_fini(&config);
    while (count > 0)
        free(texts[--count]);
    return code;
}

static int make_network(struct dev *dev, struct error *why)
{
    if (dev_net_set_forwarding(true, why) != 0 || dev_net_masquerade(why) != 0)
        return (int)why->code;
    for (unsigned i = 0; i < dev->node_count; i++) {
        char netns[DEV_ADDRESS_MAX];
        char host[DEV_ADDRESS_MAX];

        if (dev_net_add_node(dev_node_netns(netns, i), dev_node_host(host, i),
                             why) != 0)
            return (int)why->code;
    }
    return 0;
}

static int start_all(struct dev *dev, struct error *why)
{
    for (unsigned i = 0; i < dev->master_count; i++)
        if (dev_start_master(dev, i, why) != 0)
            return (int)why->code;
    for (unsigned i = 0; i < dev->node_count; i++)
        if (dev_start_node(dev, i, why) != 0)
            return (int)why->code;
    if (dev->registry_port > 0 && dev->node_count > 0)
        return dev_start_relay(dev, why);
    return 0;
}

/* The bridge is what claims the machine: when it is another cluster's, what
 * was written here is taken back. */
static int claim(const struct dev *dev, struct error *why)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/state.json", dev->folder);
    int code = dev_save(dev, why);

    if (code == 0)
        code = dev_net_make(dev->folder, why);
    if (code == ERROR_ALREADY_EXISTS) {
        unlink(path);
        rmdir(dev->folder); /* where it was made for nothing */
    }
    return code;
}

static int bring_up(struct dev *dev, struct error *why)
{
    if (make_pki(dev, why) != 0 || make_network(dev, why) != 0 ||
        dev_disk_make(dev, why) != 0 || start_all(dev, why) != 0)
        return (int)why->code;
    if (interrupted)
        return error_set(why, ERROR_CANCELLED, "interrupted");
    return dev_await_ready(dev, why);
}

/* What there is of it goes again; what it said last stays on the screen. */
static void take_back(struct dev *dev, const struct error *cause)
{
    struct error why;

    signal(SIGINT, SIG_IGN); /* half of this is no use to anybody */
    if (cause->code != ERROR_CANCELLED)
        dev_last_words(dev, stderr);
    if (dev_down(dev, stderr, &why) != 0)
        fprintf(stderr,
                "kctl: something of it is left; kctl dev down --dir %s "
                "removes it\n",
                dev->folder);
}

/* Up, or nothing is left. */
static int make(struct dev *dev, struct error *why)
{
    int code;

    signal(SIGINT, on_interrupt); /* until dev_await_ready() has its own */
    code = dev_net_forwarding(&dev->forwarding, why);
    if (code == 0)
        code = claim(dev, why);
    if (code == ERROR_ALREADY_EXISTS)
        return code;
    if (code == 0)
        code = bring_up(dev, why);
    if (code != 0)
        take_back(dev, why);
    return code;
}

static void print_json(const struct dev *dev)
{
    json_t *json = dev_json(dev);

    json_object_set_new(json, "folder", json_string(dev->folder));
    output_json(json);
}

/* `when`: "after 0.4 s" or "already". */
static void print_tour(const struct dev *dev, const char *when)
{
    const char *folder = dev->folder;

    printf("%u master%s and %u node%s are up %s, in %s\n\n", dev->master_count,
           dev->master_count == 1 ? "" : "s", dev->node_count,
           dev->node_count == 1 ? "" : "s", when, folder);
    printf("  export KONTOR_CONFIG=%s/config.json\n", folder);
    printf("  kctl get nodes\n"
           "  kctl masters\n");
    if (dev->registry_port > 0)
        printf("  kctl schedule 127.0.0.1:%u/IMAGE:TAG --cpu 0.5 --mem 64M\n",
               dev->registry_port);
    if (dev->node_count > 0)
        printf("  ip netns exec kdev-n1 ip addr  a look from the first node\n");
    printf("  kctl dev down --dir %s\n\n"
           "Logs: %s/*.log\n",
           folder, folder);
}

static int check_numbers(uint64_t masters, uint64_t nodes, uint64_t port,
                         struct error *why)
{
    if (masters < 1 || masters > DEV_MASTERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT, "--masters: 1 to %d",
                         DEV_MASTERS_MAX);
    if (nodes > DEV_NODES_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT, "--nodes: 0 to %d",
                         DEV_NODES_MAX);
    if (port > UINT16_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--registry: a port, or 0 for none");
    if (geteuid() != 0)
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "kctl dev up makes network namespaces and pods: it "
                         "needs root");
    return 0;
}

/* Is the very cluster that is asked for there, and whole? Then `dev` is it.
 * ALREADY_EXISTS: there is another one in the folder, or what is left of one.
 */
static int find(struct dev *dev, bool *there, struct error *why)
{
    struct dev found = *dev;
    const struct dev_process *dead;
    int code = dev_load(&found, why);

    *there = false;
    if (code == ERROR_NOT_FOUND)
        return 0;
    if (code != 0)
        return code;
    dead = dev_find_dead(&found);
    if (dead || found.master_count != dev->master_count ||
        found.node_count != dev->node_count ||
        found.registry_port != dev->registry_port ||
        found.master_disk_bytes != dev->master_disk_bytes)
        return error_set(why, ERROR_ALREADY_EXISTS,
                         "a dev cluster of %u+%u is in %s already%s%s%s; kctl "
                         "dev down --dir %s ends it",
                         found.master_count, found.node_count, dev->folder,
                         dead ? ", but " : "", dead ? dead->name : "",
                         dead ? " does not run" : "", dev->folder);
    *dev = found;
    *there = true;
    return 0;
}

static int up(struct dev *dev, bool json, struct error *why)
{
    uint64_t started_ms = clock_monotonic_ms();
    CLEANUP(fd_close) int lock = -1;
    char took[QUANTITY_TEXT_MAX];
    char when[QUANTITY_TEXT_MAX + sizeof "after "] = "already";
    bool there;

    if (dev_lock(dev, &lock, why) != 0 || find(dev, &there, why) != 0)
        return (int)why->code;
    if (!there) {
        if (make(dev, why) != 0)
            return (int)why->code;
        quantity_format_duration(took, clock_monotonic_ms() - started_ms);
        snprintf(when, sizeof when, "after %s", took);
    }
    if (json)
        print_json(dev);
    else
        print_tour(dev, when);
    return 0;
}

static int run(struct words *words)
{
    uint64_t masters = 3;
    uint64_t nodes = 2;
    uint64_t port = 5000;
    const char *folder = NULL;
    const char *format = NULL;
    struct dev dev = {0};
    const struct option options[] = {
        {"masters", OPTION_NUMBER, &masters, "N", "how many (3)"},
        {"nodes", OPTION_NUMBER, &nodes, "N", "how many (2)"},
        {"dir", OPTION_STRING, &folder, "DIR",
         "for certificates, data and logs (~/.kontor/dev)"},
        {"registry", OPTION_NUMBER, &port, "PORT",
         "of 127.0.0.1, shown to the nodes, too; 0: none (5000)"},
        {"suspect-after", OPTION_DURATION, &dev.tuning.suspect_after_ms, "TIME",
         "a node silent for so long gets no more pods (2s)"},
        {"lost-after", OPTION_DURATION, &dev.tuning.lost_after_ms, "TIME",
         "its pods are placed anew (4s)"},
        {"snapshot-entries", OPTION_NUMBER, &dev.tuning.snapshot_entries, "N",
         "a master's commands between two snapshots (50000)"},
        {"master-disk", OPTION_BYTES, &dev.master_disk_bytes, "BYTES",
         "a disk of its own, in memory, for each master (none)"},
        OUTPUT_OPTION(&format),
        {0}};
    struct error why;
    bool json;
    int code;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (check_numbers(masters, nodes, port, &why) != 0 ||
        dev_disk_check(dev.master_disk_bytes, &why) != 0 ||
        dev_folder(&dev, folder, true, &why) != 0)
        return exit_report(&why);
    dev.master_count = (unsigned)masters;
    dev.node_count = (unsigned)nodes;
    dev.registry_port = (unsigned)port;
    dev_name_all(&dev);
    code = up(&dev, json, &why);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_dev_up = {
    .name = "dev up",
    .summary = "Start a whole cluster on this machine",
    .example = "kctl dev up --masters 3 --nodes 2",
    .synopsis = "kctl dev up [--masters N] [--nodes N] [--dir DIR] "
                "[--registry PORT]\n"
                "            [--suspect-after TIME] [--lost-after TIME] "
                "[--snapshot-entries N] [--master-disk BYTES]\n"
                "            [-o json]",
    .details =
        "Each node is a network namespace (kdev-n1 ...) on the bridge kdev0, "
        "as if it were a\nhost; the masters listen on the bridge. Nodes and "
        "pods are reached from here by\ntheir addresses. A registry on "
        "127.0.0.1:PORT is there for the nodes as well. When "
        "it does not come up, nothing of\nit is left. Where it is up already, "
        "that is said.",
    .run = run,
};
