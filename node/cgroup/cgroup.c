/* cgroup.c - what v1 and v2 have in common: a group is a folder in each
 * hierarchy, and its processes are listed in cgroup.procs. */
#include "node/cgroup/cgroup.h"

#include "base/fd.h"
#include "node/cgroup/backend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 8 }; /* of groups beneath a pod's */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct cgroup_mounts found;
static struct error find_error;

static void find(void)
{
    cgroup_mounts_find(&found, "/proc/self/mountinfo", &find_error);
}

/* A path that stays beneath the roots. */
static int check_path(const char *path, struct error *why)
{
    size_t length = strlen(path);

    if (length == 0 || length >= CGROUP_PATH_MAX || path[0] == '/' ||
        path[length - 1] == '/' || strstr(path, "//") || strstr(path, ".."))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "cgroup path \"%s\": not a relative path", path);
    return 0;
}

static int begin(const char *path, struct error *why)
{
    pthread_once(&once, find);
    if (find_error.code) {
        *why = find_error;
        return (int)why->code;
    }
    return check_path(path, why);
}

const char *cgroup_distinct_root(const struct cgroup_mounts *mounts,
                                 int controller)
{
    const char *root = mounts->roots[controller];

    for (int i = 0; i < controller; i++)
        if (strcmp(mounts->roots[i], root) == 0)
            return NULL;
    return root[0] ? root : NULL;
}

static int make_folders(const char *root, const char *path, struct error *why)
{
    char name[CGROUP_FILE_PATH_MAX];
    const char *end = path;

    do {
        end = strchrnul(end + 1, '/');
        snprintf(name, sizeof name, "%s/%.*s", root, (int)(end - path), path);
        if (mkdir(name, 0755) != 0 && errno != EEXIST)
            return error_errno(why, "create cgroup %s", name);
    } while (*end);
    return 0;
}

static int check_kept(const struct cgroup_mounts *mounts,
                      const struct cgroup_limits *limits, struct error *why)
{
    const char *missing = NULL;

    if (limits->cpu_milli && !mounts->roots[CGROUP_CPU][0])
        missing = "cpu";
    if (limits->memory_bytes && !mounts->roots[CGROUP_MEMORY][0])
        missing = "memory";
    if (limits->pids && !mounts->roots[CGROUP_PIDS][0])
        missing = "pids";
    if (limits->io_bytes && !mounts->roots[CGROUP_IO][0])
        missing = "io";
    if (limits->deny_devices && !mounts->roots[CGROUP_DEVICES][0])
        missing = "devices";
    if (missing)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "no cgroup hierarchy with the %s controller is "
                         "mounted",
                         missing);
    return 0;
}

static bool parent_exists(const char *root, const char *path)
{
    char parent[CGROUP_PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (!slash)
        return false;
    snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    return cgroup_file_exists(root, parent, "cgroup.procs");
}

/* On v1, of the hierarchies that are not for everybody. What is limited of io
 * holds for one group and not for those beneath it, so all of a pod stands in
 * the pod's own. What is denied of devices holds for those beneath it, who may
 * see theirs and write to it: so there are some. */
static bool has_group(const struct cgroup_mounts *mounts, int controller,
                      const char *path, const struct cgroup_limits *limits)
{
    switch (controller) {
    case CGROUP_IO:
        return limits && limits->io_bytes;
    case CGROUP_DEVICES:
        return limits ? limits->deny_devices
                      : parent_exists(mounts->roots[CGROUP_DEVICES], path);
    default:
        return true;
    }
}

int cgroup_create_on(const struct cgroup_mounts *mounts, const char *path,
                     const struct cgroup_limits *limits, struct error *why)
{
    if (check_path(path, why) != 0 ||
        (limits && check_kept(mounts, limits, why) != 0))
        return (int)why->code;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        const char *root = cgroup_distinct_root(mounts, i);

        if (root && has_group(mounts, i, path, limits) &&
            make_folders(root, path, why) != 0)
            return (int)why->code;
    }
    if (!limits)
        return 0;
    if (mounts->backend->hand_down &&
        mounts->backend->hand_down(mounts, path, why) != 0)
        return (int)why->code;
    return mounts->backend->limit(mounts, path, limits, why);
}

int cgroup_create(const char *path, const struct cgroup_limits *limits,
                  struct error *why)
{
    if (begin(path, why) != 0)
        return (int)why->code;
    return cgroup_create_on(&found, path, limits, why);
}

int cgroup_check(const struct cgroup_limits *limits, struct error *why)
{
    return begin("any", why) == 0 ? check_kept(&found, limits, why)
                                  : (int)why->code;
}

int cgroup_limit(const char *path, const struct cgroup_limits *limits,
                 struct error *why)
{
    if (begin(path, why) != 0 || check_kept(&found, limits, why) != 0)
        return (int)why->code;
    return found.backend->limit(&found, path, limits, why);
}

/* Of the hierarchies in which not everybody has a group. */
static int enter_nearest(const char *root, const char *path, pid_t pid,
                         struct error *why)
{
    char group[CGROUP_PATH_MAX];
    char *slash;

    snprintf(group, sizeof group, "%s", path);
    while (!cgroup_file_exists(root, group, "cgroup.procs")) {
        slash = strrchr(group, '/');
        if (!slash)
            return 0;
        *slash = '\0';
    }
    return found.backend->enter(root, group, pid, why);
}

int cgroup_enter(const char *path, pid_t pid, struct error *why)
{
    if (begin(path, why) != 0)
        return (int)why->code;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        const char *root = cgroup_distinct_root(&found, i);

        if (root && (i == CGROUP_IO || i == CGROUP_DEVICES
                         ? enter_nearest(root, path, pid, why)
                         : found.backend->enter(root, path, pid, why)) != 0)
            return (int)why->code;
    }
    return 0;
}

uint64_t cgroup_oom_kills(const char *path)
{
    struct error ignored;

    return begin(path, &ignored) == 0 ? found.backend->oom_kills(&found, path)
                                      : 0;
}

void cgroup_usage(const char *path, struct cgroup_usage *out)
{
    struct error ignored;

    *out = (struct cgroup_usage){0};
    if (begin(path, &ignored) == 0)
        found.backend->usage(&found, path, out);
}

int cgroup_kill(const char *path, struct error *why)
{
    if (begin(path, why) != 0)
        return (int)why->code;
    return found.backend->kill(&found, path, why);
}

/* ---- walking ------------------------------------------------------------- */

struct walk {
    int (*each)(void *data, const char *root, const char *path,
                struct error *why);
    void *data;
    const char *root;
};

typedef int child_cb(void *data, const char *child, struct error *why);

/* Call `each` with the path of every child. The folder is read by hand, as
 * readdir(3) allocates. */
static int each_child(const char *root, const char *path, child_cb *each,
                      void *data, struct error *why)
{
    _Alignas(struct dirent64) char bytes[2048];
    char name[CGROUP_FILE_PATH_MAX];
    char child[CGROUP_PATH_MAX];
    ssize_t got;

    snprintf(name, sizeof name, "%s/%s", root, path);
    CLEANUP(fd_close) int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(why, "open cgroup %s", name);
    while ((got = getdents64(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(bytes + at);
            int length =
                snprintf(child, sizeof child, "%s/%s", path, entry->d_name);

            at += entry->d_reclen;
            if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
                continue;
            if (length < 0 || (size_t)length >= sizeof child)
                return error_set(why, ERROR_OUT_OF_RANGE,
                                 "cgroup %s: a child's path is too long", name);
            if (each(data, child, why) != 0)
                return (int)why->code;
        }
    /* ENOENT: it was removed while it was read. */
    return got < 0 && errno != ENOENT ? error_errno(why, "list %s", name) : 0;
}

static int walk_child(void *data, const char *path, struct error *why)
{
    struct walk *walk = data;
    unsigned slashes = 0;

    for (const char *at = path; *at; at++)
        slashes += *at == '/';
    if (slashes > DEPTH_MAX)
        return error_set(why, ERROR_OUT_OF_RANGE, "cgroup %s: too deep", path);
    if (each_child(walk->root, path, walk_child, walk, why) != 0)
        return (int)why->code;
    return walk->each(walk->data, walk->root, path, why);
}

int cgroup_walk(const char *root, const char *path,
                int (*each)(void *data, const char *root, const char *path,
                            struct error *why),
                void *data, struct error *why)
{
    struct walk walk = {each, data, root};

    return walk_child(&walk, path, why);
}

static void count_process(void *data, pid_t pid)
{
    (void)pid;
    ++*(unsigned *)data;
}

static int count_group(void *data, const char *root, const char *path,
                       struct error *why)
{
    return cgroup_processes(root, path, count_process, data, why);
}

bool cgroup_empty(const char *path)
{
    struct error ignored;
    unsigned count = 0;

    if (begin(path, &ignored) != 0)
        return false;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        const char *root = cgroup_distinct_root(&found, i);

        if (root && cgroup_walk(root, path, count_group, &count, &ignored) != 0)
            return false;
    }
    return count == 0;
}

static int remove_group(void *data, const char *root, const char *path,
                        struct error *why)
{
    char name[CGROUP_FILE_PATH_MAX];

    (void)data;
    snprintf(name, sizeof name, "%s/%s", root, path);
    if (rmdir(name) == 0 || errno == ENOENT)
        return 0;
    if (errno == EBUSY)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "remove cgroup %s: processes are left in it", name);
    return error_errno(why, "remove cgroup %s", name);
}

int cgroup_remove_on(const struct cgroup_mounts *mounts, const char *path,
                     struct error *why)
{
    if (check_path(path, why) != 0)
        return (int)why->code;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        const char *root = cgroup_distinct_root(mounts, i);

        if (root && cgroup_walk(root, path, remove_group, NULL, why) != 0)
            return (int)why->code;
    }
    return 0;
}

int cgroup_remove(const char *path, struct error *why)
{
    if (begin(path, why) != 0)
        return (int)why->code;
    return cgroup_remove_on(&found, path, why);
}

struct children {
    void (*each)(void *data, const char *child);
    void *data;
};

static int take_child(void *data, const char *child, struct error *why)
{
    struct children *children = data;

    (void)why;
    children->each(children->data, child);
    return 0;
}

/* On v1 a crash may have left a group in some hierarchies only, so all are
 * looked through; a child is told of once. */
struct unseen {
    struct children *children;
    int hierarchy;
};

static int take_unseen(void *data, const char *child, struct error *why)
{
    struct unseen *unseen = data;

    for (int i = 0; i < unseen->hierarchy; i++)
        if (cgroup_file_exists(found.roots[i], child, "cgroup.procs"))
            return 0;
    return take_child(unseen->children, child, why);
}

int cgroup_children(const char *path,
                    void (*each)(void *data, const char *child), void *data,
                    struct error *why)
{
    struct children children = {each, data};
    struct unseen unseen = {.children = &children};

    if (begin(path, why) != 0)
        return (int)why->code;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        const char *root = cgroup_distinct_root(&found, i);

        unseen.hierarchy = i;
        if (root && each_child(root, path, take_unseen, &unseen, why) != 0)
            return (int)why->code;
    }
    return 0;
}
