/* container_child.c - the steps of a container's process, in their order:
 *
 *   streams -> cgroup -> the pod's namespaces -> own mounts -> root
 *     -> user -> user namespace -> working folder -> limits, keys
 *     -> privileges -> system call filter -> pid 1 is ready -> exec
 *
 * Everything before "privileges" runs with all of root's power (from "user
 * namespace" on of that one's root) in a process that the container cannot
 * touch yet; from "root" on nothing of the host can be reached by a path. */
#include "node/supervisor/container_child.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/cgroup/cgroup.h"
#include "node/supervisor/pod_init.h"
#include "node/supervisor/privileges.h"
#include "node/supervisor/process.h"
#include "node/supervisor/procfs.h"
#include "node/supervisor/root_path.h"
#include "node/supervisor/start_report.h" /* EXIT_... */
#include "node/supervisor/supervisor.h"
#include "node/supervisor/syscall_filter.h"
#include "node/supervisor/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_PATH \
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { OPEN_FILES = 1024, OPEN_FILES_MAX = 524288 };

static int take_streams(const struct container_child *child, struct error *why)
{
    setsid();
    if (child->terminal)
        return 0; /* there is none yet */
    if ((child->input >= 0 && dup2(child->input, STDIN_FILENO) < 0) ||
        dup2(child->output, STDOUT_FILENO) < 0 ||
        dup2(child->errors, STDERR_FILENO) < 0)
        return error_errno(why, "connect the standard streams");
    return 0;
}

static int reset_signals(struct error *why)
{
    const struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        sigaction(i, &standard, NULL); /* fails for those that cannot be */
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) != 0)
        return error_errno(why, "unblock signals");
    return 0;
}

/* The /dev/shm that the pod's containers share is mounted where pid 1 is. A
 * copy of the mount can only be made from there; it goes where it is put. */
static int take_shm(const struct container_child *child, int *shm,
                    struct error *why)
{
    CLEANUP(fd_close) int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

    if (own < 0 || setns(child->init, CLONE_NEWNS) != 0)
        return error_errno(why, "look for the pod's /dev/shm");
    *shm =
        open_tree(AT_FDCWD, POD_INIT_SHM, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (*shm < 0 || setns(own, CLONE_NEWNS) != 0)
        return error_errno(why, "take the pod's /dev/shm");
    return 0;
}

/* Its root becomes ours, too. */
static int join(int joined, struct error *why)
{
    if (setns(joined, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                          CLONE_NEWCGROUP) != 0)
        return error_errno(why, "enter the container");
    return 0;
}

static int enter_namespaces(const struct container_child *child, int *shm,
                            struct error *why)
{
    /* kpod protects itself from the OOM killer, and this is its child. */
    if (procfs_write("self/oom_score_adj", "0", why) != 0 ||
        cgroup_enter(child->cgroup, 0, why) != 0)
        return (int)why->code;
    if (child->joined >= 0)
        return join(child->joined, why);
    if (!child->alone && take_shm(child, shm, why) != 0)
        return (int)why->code;
    /* Pid 1 need not have entered the network yet. */
    if (setns(SUPERVISOR_NETNS_FD, CLONE_NEWNET) != 0 ||
        setns(child->init, CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
        if (errno == ESRCH)
            return error_set(why, ERROR_UNAVAILABLE, "the pod's pid 1 is gone");
        return error_errno(why, "enter the pod's namespaces");
    }
    if (unshare(CLONE_NEWNS) != 0)
        return error_errno(why, "make a mount namespace");
    return 0;
}

static int enter_working_dir(const struct container_child *child,
                             struct error *why)
{
    const char *path = child->container->working_dir;
    CLEANUP(fd_close)
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(fd_close) int folder = -1;

    if (root < 0)
        return error_errno(why, "open /");
    if (!path[0])
        path = "/";
    if (path[0] != '/')
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "working folder %s: not an absolute path", path);
    folder = root_path_folder(root, path, why);
    if (folder < 0)
        return error_wrap(why, "working folder %s", path);
    if (fchdir(folder) != 0)
        return error_errno(why, "enter working folder %s", path);
    return 0;
}

/* Never above what kpod itself may have: the machine says how much that is. */
static int limit(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit own;

    if (getrlimit((__rlimit_resource_t)resource, &own) != 0)
        return -1;
    if (hard < own.rlim_max)
        own.rlim_max = hard;
    own.rlim_cur = soft < own.rlim_max ? soft : own.rlim_max;
    return setrlimit((__rlimit_resource_t)resource, &own);
}

static int set_limits(const Kontor__V1__BundleContainer *container,
                      struct error *why)
{
    if (limit(RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES_MAX) != 0 ||
        limit(RLIMIT_CORE, 0, RLIM_INFINITY) != 0)
        return error_errno(why, "set the resource limits");
    for (size_t i = 0; i < container->n_rlimits; i++) {
        const Kontor__V1__BundleRlimit *asked = container->rlimits[i];
        const struct rlimit exactly = {asked->soft, asked->hard};

        if (setrlimit((__rlimit_resource_t)asked->resource, &exactly) != 0)
            return error_errno(why, "set resource limit %u", asked->resource);
    }
    /* A keyring of its own; a kernel without keys has none to hide. */
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 &&
        errno != ENOSYS)
        return error_errno(why, "make a session keyring");
    return 0;
}

/* Programs open /dev/stdout and /dev/stderr, and these are pipes of root. */
static int give_streams(const struct container_child *child,
                        const struct identity *identity, struct error *why)
{
    uid_t owner = child->users->first_id + identity->uid;

    if (!child->terminal && (fchown(STDOUT_FILENO, owner, (gid_t)-1) != 0 ||
                             fchown(STDERR_FILENO, owner, (gid_t)-1) != 0))
        return error_errno(why, "give stdout and stderr to user %u", owner);
    return 0;
}

/* stdin is the container's own /dev/null: its root may change the mode and
 * owner of what it holds open, and kpod's is the host's. */
static int open_streams(const struct container_child *child,
                        const struct identity *identity, struct error *why)
{
    CLEANUP(fd_close) int null = -1;

    if (child->terminal)
        return terminal_take(&child->size, identity->uid, child->report, why);
    if (child->input >= 0)
        return 0;
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        return error_errno(why, "connect stdin to /dev/null");
    return 0;
}

/* ---- the user namespace ---------------------------------------------------
 */

static int check_ids(const struct identity *identity, struct error *why)
{
    uint32_t greatest =
        identity->uid > identity->gid ? identity->uid : identity->gid;

    for (size_t i = 0; i < identity->group_count; i++)
        if (identity->groups[i] > greatest)
            greatest = identity->groups[i];
    if (greatest >= SUPERVISOR_IDS)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "user or group %u: the pod's user namespace has %d",
                         greatest, SUPERVISOR_IDS);
    return 0;
}

/* Only the host's root may raise a limit; how far, set_limits() says. */
static int raise_limits(const Kontor__V1__BundleContainer *container,
                        struct error *why)
{
    for (size_t i = 0; i < container->n_rlimits; i++) {
        const Kontor__V1__BundleRlimit *asked = container->rlimits[i];
        struct rlimit own;

        if (getrlimit((__rlimit_resource_t)asked->resource, &own) != 0)
            return error_errno(why, "get resource limit %u", asked->resource);
        if (asked->hard > own.rlim_max)
            own.rlim_max = asked->hard;
        if (setrlimit((__rlimit_resource_t)asked->resource, &own) != 0)
            return error_errno(why, "raise resource limit %u", asked->resource);
    }
    return 0;
}

/* A container that is begun gets a copy of its mounts there, of which none
 * can be taken away or made writable again: mount_namespaces(7). */
static int enter_users(const struct container_child *child,
                       const struct identity *identity, struct error *why)
{
    bool own = child->users->fd >= 0;

    if (own && (check_ids(identity, why) != 0 ||
                raise_limits(child->container, why) != 0 ||
                users_enter(child->users, why) != 0))
        return (int)why->code;
    /* The root of the cgroup namespace is the group that it stands in. */
    if (child->joined < 0 &&
        unshare(CLONE_NEWCGROUP | (own ? CLONE_NEWNS : 0)) != 0)
        return error_errno(why, "make mount and cgroup namespaces");
    return 0;
}

/* The groups that were asked for, beside the user's own. */
static int add_groups(const Kontor__V1__BundleContainer *container,
                      struct identity *identity, struct error *why)
{
    if (container->n_groups > PRIVILEGES_GROUPS_MAX - identity->group_count)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%zu groups are added to %zu, at most %d are allowed",
                         container->n_groups, identity->group_count,
                         PRIVILEGES_GROUPS_MAX);
    for (size_t i = 0; i < container->n_groups; i++)
        identity->groups[identity->group_count++] = container->groups[i];
    return 0;
}

/* ---- the environment ------------------------------------------------------
 */

static const char *variable(char *const *env, const char *name)
{
    size_t length = strlen(name);

    for (; *env; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            return *env + length + 1;
    return NULL;
}

/* The bundle's, and PATH and HOME where it has none. Never freed. */
static char **make_environment(const Kontor__V1__BundleContainer *container,
                               const char *home)
{
    char **env = memory_array(container->n_env + 3, sizeof *env);
    size_t count = container->n_env;

    if (count > 0)
        memcpy(env, container->env, count * sizeof *env);
    if (!variable(env, "PATH"))
        env[count++] = memory_string("PATH=" DEFAULT_PATH);
    if (!variable(env, "HOME"))
        env[count] = memory_format("HOME=%s", home);
    return env;
}

/* ---- the program ----------------------------------------------------------
 */

struct program {
    char **argv;
    char **env;
    int refused; /* errno of a file that is there but cannot be run, or 0 */
};

/* Returns only when that did not work; false: it is not there. */
static bool try_path(struct program *program, const char *path)
{
    execve(path, program->argv, program->env);
    if (errno == ENOENT && faccessat(AT_FDCWD, path, F_OK, 0) == 0)
        errno = ELIBBAD; /* there is one: its loader or shell is missing */
    else if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)
        return false;
    program->refused = errno;
    return true;
}

static void try_all(struct program *program)
{
    const char *name = program->argv[0];
    const char *at = variable(program->env, "PATH");
    char path[PATH_MAX];

    if (strchr(name, '/')) {
        try_path(program, name);
        return;
    }
    while (at && *name) {
        size_t length = strcspn(at, ":");
        int used = snprintf(path, sizeof path, "%.*s%s%s", (int)length, at,
                            length > 0 ? "/" : "./", name);

        /* As in execvp(3): what may not be run hides nothing further on. */
        if (used > 0 && (size_t)used < sizeof path && try_path(program, path) &&
            program->refused != EACCES)
            return;
        at = at[length] ? at + length + 1 : NULL;
    }
}

static int exec_program(const Kontor__V1__BundleContainer *container,
                        const char *home, int *exit_code, struct error *why)
{
    struct program program = {
        .argv = memory_array(container->n_argv + 1, sizeof(char *)),
        .env = make_environment(container, home),
    };

    memcpy(program.argv, container->argv, container->n_argv * sizeof(char *));
    try_all(&program);
    if (program.refused == 0) {
        *exit_code = EXIT_NOT_FOUND;
        return error_set(why, ERROR_NOT_FOUND,
                         "exec %s: no such file in the "
                         "image",
                         program.argv[0]);
    }
    *exit_code = EXIT_NOT_EXECUTABLE;
    if (program.refused == ELIBBAD)
        return error_set(why, ERROR_NOT_FOUND,
                         "exec %s: the interpreter it needs is not in the "
                         "image",
                         program.argv[0]);
    errno = program.refused;
    return error_errno(why, "exec %s", program.argv[0]);
}

static int set_up(const struct container_child *child,
                  struct identity *identity, struct error *why)
{
    struct container_root root = child->root;

    umask(0);
    process_rename("kpod-start");
    /* Until exec, nobody in the pod may look into this process. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return error_errno(why, "hide the process");
    if (take_streams(child, why) != 0 || reset_signals(why) != 0 ||
        enter_namespaces(child, &root.shm, why) != 0 ||
        (child->joined < 0 && container_root_enter(&root, why) != 0))
        return (int)why->code;
    umask(022);
    if (identity_resolve(child->container->user, identity, why) != 0 ||
        add_groups(child->container, identity, why) != 0 ||
        give_streams(child, identity, why) != 0 ||
        enter_users(child, identity, why) != 0 ||
        enter_working_dir(child, why) != 0 ||
        open_streams(child, identity, why) != 0 ||
        set_limits(child->container, why) != 0)
        return (int)why->code;
    return privileges_take(
        identity,
        privileges_of(child->container->cap_add, child->container->cap_drop),
        why);
}

/* That this one is ready, or failed, is of interest when pid 1 is ready. */
static int await_pod(const struct container_child *child, struct error *why)
{
    char byte;

    if (child->gate >= 0 && read(child->gate, &byte, 1) != 1)
        return error_set(why, ERROR_UNAVAILABLE, "the pod's pid 1 is gone");
    return 0;
}

/* The last but one: what the filter refuses may have been needed before. */
static int confine(const struct container_child *child, struct error *why)
{
    if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
        return error_errno(why, "close descriptors");
    return syscall_filter_enter(child->filter, why);
}

_Noreturn void container_child_run(const struct container_child *child)
{
    struct error why = {0};
    struct identity identity;
    int exit_code = EXIT_SETUP;

    if (set_up(child, &identity, &why) == 0)
        confine(child, &why);
    await_pod(child, &why);
    if (why.code == ERROR_OK)
        exec_program(child->container, identity.home, &exit_code, &why);
    child->fail(child->report, exit_code, &why);
    _exit(exit_code);
}
