/* dev_down.c - the end of a dev cluster: as much as there is of it.
 *
 * The files go last, so that a `dev down` that was interrupted or met trouble
 * can be repeated. */
#include "client/dev_down.h"

#include "base/fd.h"
#include "base/memory.h"
#include "client/dev_disk.h"
#include "client/dev_net.h"
#include "client/dev_process.h"
#include "client/dev_programs.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/verbs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A pod may be given up to an hour to stop; this is not the time for it. */
enum { GRACE_MS = 5000, CLEAN_MS = 60000 };

/* Keep the first error, tell of each. */
struct trouble {
    FILE *out;
    struct error first;
};

static void note(struct trouble *trouble, int code, const struct error *why)
{
    if (code == 0)
        return;
    fprintf(trouble->out, "  %s\n", why->message);
    if (trouble->first.code == 0)
        trouble->first = *why;
}

static void stop_processes(const struct dev *dev, struct trouble *trouble)
{
    const struct dev_process *all[DEV_MASTERS_MAX + DEV_NODES_MAX + 1];
    unsigned count = 0;
    struct error why;

    for (unsigned i = 0; i < dev->node_count; i++)
        all[count++] = &dev->nodes[i];
    for (unsigned i = 0; i < dev->master_count; i++)
        all[count++] = &dev->masters[i];
    all[count++] = &dev->relay;
    note(trouble, dev_stop(all, count, GRACE_MS, &why), &why);
}

/* The pods of all nodes at once: each may take its grace time to stop. */
static void clean_nodes(const struct dev *dev, struct trouble *trouble)
{
    pid_t pids[DEV_NODES_MAX] = {0};
    struct error why;

    for (unsigned i = 0; i < dev->node_count; i++)
        note(trouble, dev_start_clean(dev, i, &pids[i], &why), &why);
    for (unsigned i = 0; i < dev->node_count; i++) {
        if (pids[i] == 0 || dev_await(pids[i], CLEAN_MS, &why) == 0)
            continue;
        error_wrap(&why, "knode remove of %s; see %s/%s.log",
                   dev->nodes[i].name, dev->folder, dev->nodes[i].name);
        note(trouble, (int)why.code, &why);
    }
}

static void remove_network(const struct dev *dev, struct trouble *trouble)
{
    bool foreign = true;
    struct error why;

    note(trouble, dev_net_is_foreign(dev->folder, &foreign, &why), &why);
    if (foreign) /* `dev up` of ours never came further */
        return;
    for (unsigned i = 0; i < dev->node_count; i++) {
        char netns[DEV_ADDRESS_MAX];

        note(trouble, dev_net_remove_node(dev_node_netns(netns, i), &why),
             &why);
    }
    note(trouble, dev_net_remove(&why), &why);
    note(trouble, dev_net_set_forwarding(dev->forwarding, &why), &why);
}

/* The nodes' parent group, in one hierarchy. */
static void remove_group(const char *hierarchy, const char *group,
                         struct trouble *trouble)
{
    CLEANUP(free_pointer)
    char *path = memory_format("/sys/fs/cgroup/%s%s%s", hierarchy,
                               hierarchy[0] ? "/" : "", group);
    CLEANUP(free_pointer)
    char *parent =
        memory_format("%.*s", (int)(strrchr(path, '/') - path), path);
    struct error why;

    if (rmdir(path) != 0 && errno != ENOENT) {
        error_errno(&why, "remove cgroup %s", path);
        note(trouble, (int)why.code, &why);
    }
    rmdir(parent); /* kontor: unless others are in it */
}

static void remove_groups(const struct dev *dev, struct trouble *trouble)
{
    DIR *root = opendir("/sys/fs/cgroup");
    char group[DEV_ADDRESS_MAX];
    struct dirent *entry;

    dev_cgroup(group, dev);
    remove_group("", group, trouble);
    while (root && (entry = readdir(root)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            strcmp(entry->d_name, "kontor") != 0)
            remove_group(entry->d_name, group, trouble);
    if (root)
        closedir(root);
}

static void remove_file(int folder, const char *name, struct trouble *trouble)
{
    struct error why;

    note(trouble, folder_remove(folder, name, &why), &why);
}

/* Only what kctl and its programs put there. */
static void remove_files(const struct dev *dev, struct trouble *trouble)
{
    /* .new: when a kctl died while it wrote one. */
    static const char *const others[] = {"pki", "config.json.new",
                                         "config.json", "state.json.new",
                                         "state.json"};
    CLEANUP(fd_close)
    int folder = open(dev->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char log[DEV_NAME_MAX + sizeof ".log"];

    if (folder < 0)
        return;
    for (unsigned i = 0; i < dev->master_count + dev->node_count + 1; i++) {
        const struct dev_process *process =
            i < dev->master_count ? &dev->masters[i]
            : i < dev->master_count + dev->node_count
                ? &dev->nodes[i - dev->master_count]
                : &dev->relay;

        snprintf(log, sizeof log, "%s.log", process->name);
        remove_file(folder, process->name, trouble);
        remove_file(folder, log, trouble);
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        remove_file(folder, others[i], trouble);
    rmdir(dev->folder); /* unless something else is in it */
}

int dev_down(struct dev *dev, FILE *out, struct error *why)
{
    struct trouble trouble = {.out = out};

    stop_processes(dev, &trouble);
    clean_nodes(dev, &trouble);
    remove_network(dev, &trouble);
    remove_groups(dev, &trouble);
    note(&trouble, dev_disk_remove(dev, why), why);
    /* The next try needs what is in there. */
    if (trouble.first.code == 0)
        remove_files(dev, &trouble);
    *why = trouble.first;
    return (int)why->code;
}

/* "nothing is left" of them. */
static void print_json(const struct dev *dev)
{
    output_json(json_pack("{s:s,s:i,s:i}", "folder", dev->folder, "masters",
                          (int)dev->master_count, "nodes",
                          (int)dev->node_count));
}

static int run(struct words *words)
{
    CLEANUP(fd_close) int lock = -1;
    const char *folder = NULL;
    const char *format = NULL;
    const struct option options[] = {{"dir", OPTION_STRING, &folder, "DIR",
                                      "where the cluster is (~/.kontor/dev)"},
                                     OUTPUT_OPTION(&format),
                                     {0}};
    struct dev dev = {0};
    struct error why;
    bool json;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (dev_folder(&dev, folder, false, &why) != 0 ||
        dev_lock(&dev, &lock, &why) != 0 || dev_load(&dev, &why) != 0) {
        if (why.code != ERROR_NOT_FOUND)
            return exit_report(&why);
        if (json)
            print_json(&dev);
        else
            printf("no dev cluster is in %s\n", dev.folder[0] ? dev.folder
                                                : folder      ? folder
                                                         : "~/.kontor/dev");
        return EXIT_CODE_DONE;
    }
    if (dev_down(&dev, stderr, &why) != 0) {
        fprintf(stderr, "kctl: something is left; kctl dev down again, once "
                        "the cause is gone\n");
        return exit_code_of((int)why.code); /* each cause was told */
    }
    if (json) {
        print_json(&dev);
        return EXIT_CODE_DONE;
    }
    printf("stopped %u master%s and %u node%s of %s; nothing is left\n",
           dev.master_count, dev.master_count == 1 ? "" : "s", dev.node_count,
           dev.node_count == 1 ? "" : "s", dev.folder);
    return EXIT_CODE_DONE;
}

const struct verb verb_dev_down = {
    .name = "dev down",
    .summary = "Stop the cluster of `dev up` and remove all of it",
    .example = "kctl dev down",
    .synopsis = "kctl dev down [--dir DIR] [-o json]",
    .details = "Ends its processes and pods, removes its network namespaces, "
               "bridge, routes and\ncgroups, certificates, data and logs. May "
               "be repeated, also after a crash.",
    .run = run,
};
