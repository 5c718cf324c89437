#include "client/dev_programs.h"

#include "base/memory.h"
#include "client/dev_net.h"
#include "client/dev_process.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { WORDS_MAX = 24 + DEV_NODES_MAX };

/* A command line in the making. */
struct command_line {
    char *words[WORDS_MAX + 1]; /* owned */
    size_t count;
};

static void PRINTF_LIKE(2, 3)
    add(struct command_line *line, const char *format, ...)
{
    va_list args;

    assert(line->count < WORDS_MAX);
    va_start(args, format);
    if (vasprintf(&line->words[line->count++], format, args) < 0)
        abort();
    va_end(args);
}

static void add_option(struct command_line *line, const char *name,
                       const char *value)
{
    add(line, "--%s", name);
    add(line, "%s", value);
}

static void drop(struct command_line *line)
{
    for (size_t i = 0; i < line->count; i++)
        free(line->words[i]);
}

char *dev_log(const struct dev *dev, const struct dev_process *process)
{
    return memory_format("%s/%s.log", dev->folder, process->name);
}

/* "m1=10.77.0.1:7400,m2=..." or, without names, only the addresses. */
static char *list_masters(const struct dev *dev, bool names)
{
    char *list = memory_string("");

    for (unsigned i = 0; i < dev->master_count; i++) {
        char address[DEV_ADDRESS_MAX];
        char *longer = memory_format(
            "%s%s%s%s%s", list, i ? "," : "", names ? dev->masters[i].name : "",
            names ? "=" : "", dev_master_address(address, i));

        free(list);
        list = longer;
    }
    return list;
}

static void add_folders(struct command_line *line, const struct dev *dev,
                        const char *name)
{
    add(line, "--data");
    add(line, "%s/%s", dev->folder, name);
    add(line, "--pki");
    add(line, "%s/pki", dev->folder);
}

static int start(struct dev *dev, struct dev_process *process,
                 struct command_line *line, const char *netns,
                 struct error *why)
{
    CLEANUP(free_pointer) char *log = dev_log(dev, process);
    struct dev_command command = {
        .argv = line->words, .log = log, .netns = netns};

    return dev_start(dev, process, &command, why);
}

int dev_start_master_with(struct dev *dev, unsigned i,
                          const struct dev_words *words, struct error *why)
{
    CLEANUP(free_pointer) char *log = dev_log(dev, &dev->masters[i]);
    struct dev_command command = {
        .argv = words->argv,
        .environment = words->environment,
        .log = log,
        .group = (gid_t)dev_master_port(i),
    };

    return dev_start(dev, &dev->masters[i], &command, why);
}

static void add_number(struct command_line *line, const char *name,
                       uint64_t value, const char *unit)
{
    if (value == 0)
        return;
    add(line, "--%s", name);
    add(line, "%" PRIu64 "%s", value, unit);
}

int dev_start_master(struct dev *dev, unsigned i, struct error *why)
{
    CLEANUP(free_pointer) char *members = list_masters(dev, true);
    CLEANUP(free_pointer) char *program = NULL;
    struct command_line line = {0};
    const struct dev_words words = {.argv = line.words};
    char address[DEV_ADDRESS_MAX];
    int code;

    if (dev_program(&program, "kmaster", why) != 0)
        return (int)why->code;
    add(&line, "%s", program);
    add_option(&line, "name", dev->masters[i].name);
    add_option(&line, "members", members);
    add_option(&line, "listen", dev_master_address(address, i));
    add_folders(&line, dev, dev->masters[i].name);
    add_number(&line, "suspect-after", dev->tuning.suspect_after_ms, "ms");
    add_number(&line, "lost-after", dev->tuning.lost_after_ms, "ms");
    add_number(&line, "snapshot-entries", dev->tuning.snapshot_entries, "");
    code = dev_start_master_with(dev, i, &words, why);
    drop(&line);
    return code;
}

int dev_start_node(struct dev *dev, unsigned i, struct error *why)
{
    CLEANUP(free_pointer) char *masters = list_masters(dev, false);
    CLEANUP(free_pointer) char *program = NULL;
    struct command_line line = {0};
    char address[DEV_ADDRESS_MAX];
    char cgroup[DEV_ADDRESS_MAX];
    char netns[DEV_ADDRESS_MAX];
    int code;

    if (dev_program(&program, "knode", why) != 0)
        return (int)why->code;
    add(&line, "%s", program);
    add_option(&line, "name", dev->nodes[i].name);
    add_option(&line, "listen", dev_node_address(address, i));
    add_option(&line, "masters", masters);
    add_folders(&line, dev, dev->nodes[i].name);
    add(&line, "--cgroup");
    add(&line, "%s/%s", dev_cgroup(cgroup, dev), dev->nodes[i].name);
    code = start(dev, &dev->nodes[i], &line, dev_node_netns(netns, i), why);
    drop(&line);
    return code;
}

int dev_start_relay(struct dev *dev, struct error *why)
{
    CLEANUP(free_pointer) char *program = NULL;
    struct command_line line = {0};
    char netns[DEV_ADDRESS_MAX];
    int code;

    if (dev_program(&program, "kctl", why) != 0)
        return (int)why->code;
    add(&line, "%s", program);
    add(&line, "dev");
    add(&line, "relay");
    add(&line, "--port");
    add(&line, "%u", dev->registry_port);
    for (unsigned i = 0; i < dev->node_count; i++)
        add(&line, "%s", dev_node_netns(netns, i));
    code = start(dev, &dev->relay, &line, NULL, why);
    drop(&line);
    return code;
}

int dev_start_clean(const struct dev *dev, unsigned i, pid_t *pid,
                    struct error *why)
{
    CLEANUP(free_pointer) char *program = NULL;
    CLEANUP(free_pointer) char *log = dev_log(dev, &dev->nodes[i]);
    CLEANUP(free_pointer)
    char *data = memory_format("%s/%s", dev->folder, dev->nodes[i].name);
    struct command_line line = {0};
    struct dev_command command = {.argv = line.words, .log = log};
    char netns[DEV_ADDRESS_MAX];
    CLEANUP(free_pointer)
    char *netns_file =
        memory_format("%s/%s", DEV_NETNS_FOLDER, dev_node_netns(netns, i));
    CLEANUP(free_pointer) char *names = memory_format("%s/names", data);
    int code;

    *pid = 0;
    /* knode writes down what it makes outside of its folder before it does;
     * without that file there is nothing. */
    if (access(names, F_OK) != 0)
        return 0;
    if (dev_program(&program, "knode", why) != 0)
        return (int)why->code;
    if (access(netns_file, F_OK) == 0)
        command.netns = netns;
    add(&line, "%s", program);
    add(&line, "remove");
    add_option(&line, "data", data);
    code = dev_spawn(&command, pid, why);
    drop(&line);
    return code;
}
