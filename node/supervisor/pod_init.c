/* pod_init.c - it holds the pod's namespaces open, adopts and reaps what the
 * containers leave behind, and is what everything in the pod dies with.
 *
 * It can do nothing and sees nothing: no capability, an empty read-only
 * root, no descriptors. A signal from within the pod does not reach it, as it
 * handles none: pid_namespaces(7). */
#include "node/supervisor/pod_init.h"

#include "base/fd.h"
#include "node/cgroup/cgroup.h"
#include "node/supervisor/footprint.h"
#include "node/supervisor/privileges.h"
#include "node/supervisor/process.h"
#include "node/supervisor/start_report.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OWN = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS };

static int enter_namespaces(const struct pod_init *init, struct error *why)
{
    if (setns(init->netns, CLONE_NEWNET) != 0)
        return error_errno(why, "enter the network namespace");
    if (sethostname(init->hostname, strlen(init->hostname)) != 0)
        return error_errno(why, "set the host name %s", init->hostname);
    return 0;
}

/* Below the root, which then becomes read-only. */
static int mount_shm(uint64_t size_bytes, struct error *why)
{
    char options[64];

    snprintf(options, sizeof options, "size=%llu,mode=1777",
             (unsigned long long)size_bytes);
    if (mkdir("." POD_INIT_SHM, 0755) != 0 ||
        mount("shm", "." POD_INIT_SHM, "tmpfs",
              MS_NOSUID | MS_NODEV | MS_NOEXEC, options) != 0 ||
        mount(NULL, ".", NULL,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV |
                  MS_NOEXEC,
              NULL) != 0)
        return error_errno(why, "mount the pod's /dev/shm");
    return 0;
}

/* The copy of the host's mounts goes: it would keep them busy. */
static int enter_empty_root(const struct pod_init *init, struct error *why)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return error_errno(why, "make the mounts private");
    if (mount("none", init->empty_folder, "tmpfs",
              (init->shm_bytes ? 0 : MS_RDONLY) | MS_NOSUID | MS_NODEV |
                  MS_NOEXEC,
              "size=4k,nr_inodes=2,mode=0555") != 0)
        return error_errno(why, "mount a tmpfs on %s", init->empty_folder);
    if (chdir(init->empty_folder) != 0)
        return error_errno(why, "enter %s", init->empty_folder);
    if (init->shm_bytes && mount_shm(init->shm_bytes, why) != 0)
        return (int)why->code;
    if (syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        return error_errno(why, "change to an empty root");
    return 0;
}

/* In a mount namespace of its own. */
static int leave_host(const struct pod_init *init, struct error *why)
{
    if (cgroup_enter(init->cgroup, 0, why) != 0 ||
        users_own(init->users, why) != 0)
        return (int)why->code;
    return enter_empty_root(init, why);
}

static int hide_process(struct error *why)
{
    process_rename("kpod-init");
    /* Not to be traced by a container of the same user. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return error_errno(why, "hide the process");
    return 0;
}

static int become_init(const struct pod_init *init, struct error *why)
{
    if (hide_process(why) != 0)
        return (int)why->code;
    setsid();
    if ((init->users->fd < 0 && leave_host(init, why) != 0) ||
        enter_namespaces(init, why) != 0)
        return (int)why->code;
    return privileges_drop_all(why);
}

static _Noreturn void reap_forever(void)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    footprint_shrink();
    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
        sigwaitinfo(&child, NULL); /* blocked since kpod's start */
    }
}

/* Does kpod, which holds the other end, still live? It may have died before
 * the death signal was asked for. */
static void check_parent(int report)
{
    struct start_report ready = {0};
    struct error ignored;

    if (fd_write_all(report, &ready, sizeof ready, &ignored) != 0)
        _exit(EXIT_SETUP);
}

static _Noreturn void run(const struct pod_init *init, int report)
{
    struct error why = {0};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
        error_errno(&why, "ask for a death signal");
        start_report_fail(report, EXIT_SETUP, &why);
    }
    if (become_init(init, &why) != 0)
        start_report_fail(report, EXIT_SETUP, &why);
    check_parent(report);
    close_range(0, ~0u, 0);
    reap_forever();
}

static pid_t fork_init(const struct pod_init *init, int pipe[2], int *pidfd,
                       struct error *why)
{
    pid_t pid = process_fork(OWN, pidfd);

    if (pid == 0) {
        fd_reset(&pipe[0]);
        run(init, pipe[1]);
    }
    if (pid < 0)
        error_errno(why, "make the pod's namespaces");
    return pid;
}

/* ---- in a user namespace --------------------------------------------------
 *
 * Who makes the pod's namespaces must stand in the user namespace, or they
 * would not belong to it, and has then no power over the host's any more. So
 * that is a process between kpod and pid 1: it leaves the host, enters, makes
 * pid 1 as a child of kpod's, tells its pid and ends. */

static int make_init(const struct pod_init *init, int report, pid_t *pid,
                     struct error *why)
{
    if (hide_process(why) != 0 || leave_host(init, why) != 0 ||
        users_enter(init->users, why) != 0)
        return (int)why->code;
    *pid = process_fork(CLONE_PARENT | OWN, NULL);
    if (*pid == 0)
        run(init, report);
    if (*pid < 0)
        return error_errno(why, "make the pod's namespaces");
    return 0;
}

static _Noreturn void run_maker(const struct pod_init *init, int report,
                                int born)
{
    struct error why;
    pid_t pid;

    if (make_init(init, report, &pid, &why) != 0)
        start_report_fail(report, EXIT_SETUP, &why);
    _exit(fd_write_all(born, &pid, sizeof pid, &why));
}

/* What the maker said when it made nothing. */
static void take_failure(int report, struct error *why)
{
    struct start_report failed;

    if (fd_read_exact(report, &failed, sizeof failed, why) == 0)
        *why = failed.why;
    else
        error_set(why, ERROR_UNAVAILABLE,
                  "the maker of the pod's namespaces died");
}

static pid_t fork_maker(const struct pod_init *init, int pipe[2], int *pidfd,
                        struct error *why)
{
    int born[2];
    pid_t maker;
    pid_t pid = -1;

    if (pipe2(born, O_CLOEXEC) != 0) {
        error_errno(why, "make a pipe");
        return -1;
    }
    maker = process_fork(CLONE_NEWNS, NULL);
    if (maker == 0) {
        fd_reset(&pipe[0]);
        run_maker(init, pipe[1], born[1]);
    }
    fd_reset(&born[1]);
    fd_reset(&pipe[1]);
    if (maker < 0) {
        error_errno(why, "fork");
    } else {
        if (fd_read_exact(born[0], &pid, sizeof pid, why) != 0)
            take_failure(pipe[0], why);
        waitpid(maker, NULL, 0);
    }
    fd_reset(&born[0]);
    if (pid > 0) /* not waited for yet, so it is its own */
        *pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return pid;
}

int pod_init_start(const struct pod_init *init, pid_t *pid, int *pidfd,
                   int *report, struct error *why)
{
    int pipe[2];
    pid_t started;

    if (pipe2(pipe, O_CLOEXEC) != 0)
        return error_errno(why, "make a pipe");
    started = init->users->fd < 0 ? fork_init(init, pipe, pidfd, why)
                                  : fork_maker(init, pipe, pidfd, why);
    fd_reset(&pipe[1]);
    if (started < 0) {
        fd_reset(&pipe[0]);
        return (int)why->code;
    }
    *pid = started;
    *report = pipe[0];
    return 0;
}
