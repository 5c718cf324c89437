/* v1.c - each controller in a hierarchy of its own. */
#include "node/cgroup/backend.h"

#include "base/lang.h"
#include "node/cgroup/devices.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum {
    PERIOD_US = 100000,
    QUOTA_MIN_US = 1000, /* the kernel's own minimum */
    SHARES_MIN = 2,
    SHARES_MAX = 262144,
    FREEZE_TRIES = 20, /* of 100 us: a frozen group cannot fork */
};

static int set(const struct cgroup_mounts *mounts,
               enum cgroup_controller controller, const char *path,
               const char *file, uint64_t value, struct error *why)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return cgroup_file_write(mounts->roots[controller], path, file, text, why);
}

static int limit_cpu(const struct cgroup_mounts *mounts, const char *path,
                     uint32_t cpu_milli, struct error *why)
{
    uint64_t quota = (uint64_t)cpu_milli * (PERIOD_US / 1000);
    uint64_t shares = (uint64_t)cpu_milli * 1024 / 1000;
    const char *root = mounts->roots[CGROUP_CPU];

    if (cpu_milli == 0)
        return cgroup_file_write(root, path, "cpu.cfs_quota_us", "-1", why);
    quota = quota < QUOTA_MIN_US ? QUOTA_MIN_US : quota;
    shares = shares < SHARES_MIN   ? SHARES_MIN
             : shares > SHARES_MAX ? SHARES_MAX
                                   : shares;
    if (set(mounts, CGROUP_CPU, path, "cpu.cfs_period_us", PERIOD_US, why) !=
            0 ||
        set(mounts, CGROUP_CPU, path, "cpu.cfs_quota_us", quota, why) != 0)
        return (int)why->code;
    return set(mounts, CGROUP_CPU, path, "cpu.shares", shares, why);
}

/* The limit with swap may never be below the one without, so which goes
 * first depends on where both stood: raise the outer one out of the way. */
static int limit_memory(const struct cgroup_mounts *mounts, const char *path,
                        uint64_t bytes, struct error *why)
{
    const char *root = mounts->roots[CGROUP_MEMORY];
    const char *outer = "memory.memsw.limit_in_bytes";
    bool swap = cgroup_file_exists(root, path, outer);
    char text[24] = "-1";

    if (bytes)
        snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    if (swap && cgroup_file_write(root, path, outer, "-1", why) != 0)
        return (int)why->code;
    if (cgroup_file_write(root, path, "memory.limit_in_bytes", text, why) != 0)
        return (int)why->code;
    return swap ? cgroup_file_write(root, path, outer, text, why) : 0;
}

static const char *const io_files[] = {"blkio.throttle.read_bps_device",
                                       "blkio.throttle.write_bps_device"};

static int limit_io(const struct cgroup_mounts *mounts, const char *path,
                    const struct cgroup_limits *limits, struct error *why)
{
    char text[64];

    if (limits->io_bytes == 0)
        return 0;
    snprintf(text, sizeof text, "%u:%u %llu", major(limits->io_device),
             minor(limits->io_device), (unsigned long long)limits->io_bytes);
    for (size_t i = 0; i < ARRAY_LEN(io_files); i++)
        if (cgroup_file_write(mounts->roots[CGROUP_IO], path, io_files[i], text,
                              why) != 0)
            return (int)why->code;
    return 0;
}

/* A group beneath this one is never allowed more, whoever writes to its files,
 * and has what this one has when it is made. */
static int limit_devices(const char *root, const char *path, struct error *why)
{
    static const char *const allowed[] = {"c *:* m", "b *:* m", "c 5:2 rwm",
                                          "c 136:* rwm"};
    char text[CGROUP_VALUE_MAX];

    /* Where groups are beneath it this cannot be done, and was done before:
     * the list does not begin with "a" for all. */
    if ((!cgroup_file_read(root, path, "devices.list", text, sizeof text) ||
         text[0] == 'a') &&
        cgroup_file_write(root, path, "devices.deny", "a", why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        if (cgroup_file_write(root, path, "devices.allow", allowed[i], why) !=
            0)
            return (int)why->code;
    for (size_t i = 0; i < POD_DEVICES; i++) {
        snprintf(text, sizeof text, "c %u:%u rwm", pod_devices[i].major,
                 pod_devices[i].minor);
        if (cgroup_file_write(root, path, "devices.allow", text, why) != 0)
            return (int)why->code;
    }
    return 0;
}

static int v1_limit(const struct cgroup_mounts *mounts, const char *path,
                    const struct cgroup_limits *limits, struct error *why)
{
    char pids[24] = "max";

    if (mounts->roots[CGROUP_CPU][0] &&
        limit_cpu(mounts, path, limits->cpu_milli, why) != 0)
        return (int)why->code;
    if (mounts->roots[CGROUP_MEMORY][0] &&
        limit_memory(mounts, path, limits->memory_bytes, why) != 0)
        return (int)why->code;
    if (limit_io(mounts, path, limits, why) != 0)
        return (int)why->code;
    if (limits->deny_devices &&
        limit_devices(mounts->roots[CGROUP_DEVICES], path, why) != 0)
        return (int)why->code;
    if (!mounts->roots[CGROUP_PIDS][0])
        return 0;
    if (limits->pids)
        snprintf(pids, sizeof pids, "%llu", (unsigned long long)limits->pids);
    return cgroup_file_write(mounts->roots[CGROUP_PIDS], path, "pids.max", pids,
                             why);
}

/* Moving a thread by `tasks` spares the wait for all of the machine's forks
 * that moving a process by `cgroup.procs` costs: milliseconds a hierarchy. */
static int v1_enter(const char *root, const char *path, pid_t pid,
                    struct error *why)
{
    char text[16];

    if (pid == 0)
        return cgroup_file_write(root, path, "tasks", "0", why);
    snprintf(text, sizeof text, "%d", (int)pid);
    return cgroup_file_write(root, path, "cgroup.procs", text, why);
}

static void v1_usage(const struct cgroup_mounts *mounts, const char *path,
                     struct cgroup_usage *out)
{
    out->cpu_ns = cgroup_file_whole_number(mounts->roots[CGROUP_CPUACCT], path,
                                           "cpuacct.usage");
    out->memory_bytes =
        cgroup_working_set(mounts->roots[CGROUP_MEMORY], path,
                           "memory.usage_in_bytes", "total_inactive_file");
}

static uint64_t v1_oom_kills(const struct cgroup_mounts *mounts,
                             const char *path)
{
    return cgroup_file_number(mounts->roots[CGROUP_MEMORY], path,
                              "memory.oom_control", "oom_kill");
}

static void freeze(const char *root, const char *path)
{
    const struct timespec moment = {.tv_nsec = 100000};
    char state[16];
    struct error ignored;

    /* Not frozen in time is no failure: the caller kills once more. */
    if (cgroup_file_write(root, path, "freezer.state", "FROZEN", &ignored) != 0)
        return;
    for (int i = 0; i < FREEZE_TRIES; i++) {
        if (!cgroup_file_read(root, path, "freezer.state", state,
                              sizeof state) ||
            strcmp(state, "FROZEN\n") == 0)
            return;
        nanosleep(&moment, NULL);
    }
}

static void kill_process(void *data, pid_t pid)
{
    (void)data;
    if (pid != getpid())
        kill(pid, SIGKILL);
}

static int kill_group(void *data, const char *root, const char *path,
                      struct error *why)
{
    (void)data;
    return cgroup_processes(root, path, kill_process, NULL, why);
}

/* A child group, too: kpod, which freezes one container's, may have been
 * killed before it thawed it. */
static int thaw_group(void *data, const char *root, const char *path,
                      struct error *why)
{
    struct error ignored; /* it is gone */

    (void)data;
    (void)why;
    cgroup_file_write(root, path, "freezer.state", "THAWED", &ignored);
    return 0;
}

static int v1_kill(const struct cgroup_mounts *mounts, const char *path,
                   struct error *why)
{
    const char *freezer = mounts->roots[CGROUP_FREEZER];
    struct error ignored;
    int code = 0;

    for (size_t i = 0; i < ARRAY_LEN(io_files); i++)
        cgroup_file_lift(mounts->roots[CGROUP_IO], path, io_files[i], "0");
    if (freezer[0])
        freeze(freezer, path);
    for (int i = 0; i < CGROUP_CONTROLLERS && code == 0; i++) {
        const char *root = cgroup_distinct_root(mounts, i);

        if (root)
            code = cgroup_walk(root, path, kill_group, NULL, why);
    }
    /* Frozen processes die when they are thawed. */
    if (freezer[0])
        cgroup_walk(freezer, path, thaw_group, NULL, &ignored);
    return code;
}

const struct cgroup_backend cgroup_v1 = {
    .limit = v1_limit,
    .enter = v1_enter,
    .usage = v1_usage,
    .oom_kills = v1_oom_kills,
    .kill = v1_kill,
};
