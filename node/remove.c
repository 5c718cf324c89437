#include "node/remove.h"

#include "base/exit.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/options.h"
#include "node/cgroup/cgroup.h"
#include "node/home.h"
#include "node/network.h"
#include "node/pod/engine.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- pods ---------------------------------------------------------------- */

struct removal {
    struct pod_engine *engine;
    size_t left;
    uint64_t *ids; /* owned */
    size_t count;
};

static void removal_on_changed(void *data, const Kontor__V1__PodStatus *status)
{
    struct removal *op = data;

    if (status->phase == KONTOR__V1__POD_PHASE__POD_STOPPED && op->left > 0)
        op->left--;
}

static void collect(void *data, const Kontor__V1__PodStatus *status)
{
    struct removal *op = data;

    op->ids = memory_resize(op->ids, (op->count + 1) * sizeof *op->ids);
    op->ids[op->count++] = status->pod_id;
}

/* Stop and remove every pod, and wait until the last is gone. */
static int remove_pods(const struct home *home, const struct home_names *names,
                       struct error *why)
{
    struct removal op = {0};
    struct pod_engine_config config = {
        .folder = home->pods,
        .image_folder = home->images,
        .kpod = "",
        .cgroup = names->cgroup,
        .changed = removal_on_changed,
        .data = &op,
    };
    uv_loop_t loop;

    uv_loop_init(&loop);
    if (pod_engine_open(&op.engine, &loop, &config, why) != 0)
        return (int)why->code;
    pod_engine_each(op.engine, collect, &op);
    op.left = op.count;
    for (size_t i = 0; i < op.count; i++)
        if (pod_engine_delete(op.engine, op.ids[i], UINT32_MAX, why) != 0)
            return (int)why->code;
    while (op.left > 0)
        uv_run(&loop, UV_RUN_ONCE);
    pod_engine_close(op.engine, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    free(op.ids);
    printf("pods     %zu stopped and removed\n", op.count);
    return 0;
}

/* ---- the rest ------------------------------------------------------------ */

static void count_group(void *data, const char *group)
{
    size_t *count = data;

    (void)group;
    ++*count;
}

/* The node's group, and the one it stands in once that holds no other. */
static int remove_groups(const char *group, struct error *why)
{
    const char *slash = strrchr(group, '/');
    char parent[HOME_NAME_MAX + 1];
    size_t siblings = 0;

    if (cgroup_remove(group, why) != 0)
        return (int)why->code;
    if (!slash)
        return 0;
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - group), group);
    if (cgroup_children(parent, count_group, &siblings, why) != 0)
        return (int)why->code;
    return siblings == 0 ? cgroup_remove(parent, why) : 0;
}

static int remove_all(const char *data, struct error *why)
{
    struct home_names names;
    struct home home;

    assert(data);
    if (access(data, F_OK) != 0)
        return error_errno(why, "--data %s", data);
    if (home_open(&home, data, why) != 0)
        return (int)why->code;
    if (home_read_names(&home, &names, why) != 0)
        return error_wrap(why, "%s is not a node's folder", data);
    if (remove_pods(&home, &names, why) != 0 ||
        node_network_remove(&home, &names, why) != 0 ||
        remove_groups(names.cgroup, why) != 0)
        return (int)why->code;
    printf("network  bridge %s, table %s removed\n", names.bridge, names.table);
    if (home_remove(&home, why) != 0)
        return (int)why->code;
    printf("folder   %s removed\n", home.path);
    home_close(&home);
    return 0;
}

static void print_help(const struct option *table)
{
    printf("knode remove --data /var/lib/kontor\n\n"
           "Stop all pods of a node that is not running and remove them, its "
           "images, its\nbridge, its nftables table and its control "
           "groups.\n\n"
           "usage: knode remove --data DIR\n\noptions:\n");
    options_print(table, stdout);
}

int remove_main(int argc, char **argv)
{
    const char *data = NULL;
    const struct option table[] = {
        {"data", OPTION_STRING, &data, "DIR", "the node's folder"},
        {0},
    };
    struct operands operands;
    struct error why;
    bool help = false;

    error_clear(&why);
    if (options_parse(table, argc - 1, argv + 1, &operands, &help, &why) == 0 &&
        !help && (!data || operands.count > 0))
        error_set(&why, ERROR_INVALID_ARGUMENT, "exactly --data DIR is needed");
    if (why.code != ERROR_OK) {
        fprintf(stderr,
                "knode remove: %s\nfor example: knode remove --data "
                "/var/lib/kontor\n",
                why.message);
        return EXIT_CODE_USAGE;
    }
    if (help) {
        print_help(table);
        return EXIT_CODE_DONE;
    }
    if (remove_all(data, &why) != 0) {
        fprintf(stderr, "knode remove: %s\n", why.message);
        return exit_code_of((int)why.code);
    }
    return EXIT_CODE_DONE;
}
