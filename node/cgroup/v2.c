/* v2.c - all controllers in one hierarchy, handed down level by level. */
#include "node/cgroup/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
    PERIOD_US = 100000,
    QUOTA_MIN_US = 1000, /* the kernel's own minimum */
    WEIGHT_MAX = 10000,
};

/* A group has a controller's files when its parent lists the controller in
 * cgroup.subtree_control, and the parent may when its own parent does. */
static int v2_hand_down(const struct cgroup_mounts *mounts, const char *path,
                        struct error *why)
{
    const char *all = mounts->roots[CGROUP_IO][0] ? "+cpu +memory +pids +io"
                                                  : "+cpu +memory +pids";
    const char *root = mounts->roots[CGROUP_MEMORY];
    char group[CGROUP_PATH_MAX];
    const char *end = path;

    if (cgroup_file_write(root, ".", "cgroup.subtree_control", all, why) != 0)
        return (int)why->code;
    do {
        end = strchrnul(end + 1, '/');
        snprintf(group, sizeof group, "%.*s", (int)(end - path), path);
        if (cgroup_file_write(root, group, "cgroup.subtree_control", all,
                              why) != 0)
            return (int)why->code;
    } while (*end);
    return 0;
}

static int limit_cpu(const char *root, const char *path, uint32_t cpu_milli,
                     struct error *why)
{
    uint64_t quota = (uint64_t)cpu_milli * (PERIOD_US / 1000);
    unsigned weight = cpu_milli / 10; /* a core is 100, the default */
    char text[48];

    if (cpu_milli == 0)
        return cgroup_file_write(root, path, "cpu.max", "max", why);
    quota = quota < QUOTA_MIN_US ? QUOTA_MIN_US : quota;
    snprintf(text, sizeof text, "%llu %d", (unsigned long long)quota,
             PERIOD_US);
    if (cgroup_file_write(root, path, "cpu.max", text, why) != 0)
        return (int)why->code;
    weight = weight < 1 ? 1 : weight > WEIGHT_MAX ? WEIGHT_MAX : weight;
    snprintf(text, sizeof text, "%u", weight);
    return cgroup_file_write(root, path, "cpu.weight", text, why);
}

static int set_or_max(const char *root, const char *path, const char *file,
                      uint64_t value, struct error *why)
{
    char text[24] = "max";

    if (value)
        snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return cgroup_file_write(root, path, file, text, why);
}

/* What the page cache writes later is the pod's, too: its memory is charged
 * for, and the file system says whose pages it writes. */
static int limit_io(const char *root, const char *path,
                    const struct cgroup_limits *limits, struct error *why)
{
    unsigned long long bytes = limits->io_bytes;
    char text[80];

    if (bytes == 0)
        return 0;
    snprintf(text, sizeof text, "%u:%u rbps=%llu wbps=%llu",
             major(limits->io_device), minor(limits->io_device), bytes, bytes);
    return cgroup_file_write(root, path, "io.max", text, why);
}

static int v2_limit(const struct cgroup_mounts *mounts, const char *path,
                    const struct cgroup_limits *limits, struct error *why)
{
    const char *root = mounts->roots[CGROUP_MEMORY];

    if (limit_cpu(root, path, limits->cpu_milli, why) != 0 ||
        set_or_max(root, path, "memory.max", limits->memory_bytes, why) != 0)
        return (int)why->code;
    /* There is no such file on a kernel that does not account swap. */
    if (cgroup_file_exists(root, path, "memory.swap.max") &&
        cgroup_file_write(root, path, "memory.swap.max",
                          limits->memory_bytes ? "0" : "max", why) != 0)
        return (int)why->code;
    if (limit_io(root, path, limits, why) != 0)
        return (int)why->code;
    if (limits->deny_devices && cgroup_device_program(root, path, why) != 0)
        return (int)why->code;
    return set_or_max(root, path, "pids.max", limits->pids, why);
}

static int v2_enter(const char *root, const char *path, pid_t pid,
                    struct error *why)
{
    char text[16];

    char self[CGROUP_FILE_PATH_MAX];

    snprintf(text, sizeof text, "%d", (int)pid);
    if (cgroup_file_write(root, path, "cgroup.procs", text, why) == 0)
        return 0;
    snprintf(self, sizeof self, "%s/%s/self", root, path);
    if (errno != EBUSY || (mkdir(self, 0755) != 0 && errno != EEXIST))
        return (int)why->code;
    return cgroup_file_write(root, self + strlen(root) + 1, "cgroup.procs",
                             text, why);
}

static void v2_usage(const struct cgroup_mounts *mounts, const char *path,
                     struct cgroup_usage *out)
{
    const char *root = mounts->roots[CGROUP_MEMORY];

    out->cpu_ns =
        cgroup_file_number(root, path, "cpu.stat", "usage_usec") * 1000;
    out->memory_bytes =
        cgroup_working_set(root, path, "memory.current", "inactive_file");
}

static uint64_t v2_oom_kills(const struct cgroup_mounts *mounts,
                             const char *path)
{
    return cgroup_file_number(mounts->roots[CGROUP_MEMORY], path,
                              "memory.events", "oom_kill");
}

static int v2_kill(const struct cgroup_mounts *mounts, const char *path,
                   struct error *why)
{
    const char *root = mounts->roots[CGROUP_MEMORY];
    int code;

    cgroup_file_lift(root, path, "io.max", "rbps=max wbps=max");
    code = cgroup_file_write(root, path, "cgroup.kill", "1", why);
    if (code != ERROR_NOT_FOUND)
        return code;
    error_clear(why);
    return 0;
}

const struct cgroup_backend cgroup_v2 = {
    .hand_down = v2_hand_down,
    .limit = v2_limit,
    .enter = v2_enter,
    .usage = v2_usage,
    .oom_kills = v2_oom_kills,
    .kill = v2_kill,
};
