/* syscalls.c - Docker's default profile, and stricter:
 *
 *   - calls by another ABI (i386, x32) kill the process: one ABI is checked;
 *   - sockets of the usual families only: no AF_ALG (CVE-2026-31431), no
 *     AF_VSOCK, none that loads a module. They are allowed by name: the
 *     kernel looks at 32 bits of the family, a filter at 64, so a list of
 *     forbidden ones could be walked round with a high bit;
 *   - no io_uring, whose calls no filter sees;
 *   - no personality(2) but the plain ones; no namespaces by clone(2).
 *
 * What is refused ends with EPERM, and ENOSYS where programs then take
 * another way: clone3(2), whose flags cannot be looked at, and all that is
 * newer than libseccomp.
 *
 * https://github.com/moby/profiles/blob/main/seccomp/default.json */
#include "node/pod/syscalls.h"

#include "base/fd.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS_MAX = 1024 }; /* a number that no call reaches yet */

/* Names that this machine's ABI does not have are passed over. */
static const char allowed[] =
    "accept accept4 access adjtimex alarm arch_prctl bind brk capget capset "
    "chdir chmod chown clock_adjtime clock_getres clock_gettime "
    "clock_nanosleep close close_range connect copy_file_range creat dup dup2 "
    "dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 "
    "epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat "
    "faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat "
    "fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork "
    "fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_waitv "
    "futex_wake futex_wait futex_requeue futimesat get_robust_list "
    "get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid "
    "getgroups getitimer getpeername getpgid getpgrp getpid getppid "
    "getpriority getrandom getresgid getresuid getrlimit getrusage getsid "
    "getsockname getsockopt gettid gettimeofday getuid getxattr "
    "inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel "
    "io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get "
    "ioprio_set kill landlock_add_rule landlock_create_ruleset "
    "landlock_restrict_self lchown lgetxattr link linkat listen listxattr "
    "llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack "
    "membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat "
    "mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open "
    "mq_timedreceive mq_timedsend mq_unlink mremap msgctl msgget msgrcv msgsnd "
    "msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat "
    "open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 "
    "pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv "
    "preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev "
    "pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr "
    "rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction "
    "rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
    "sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp select semctl "
    "semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list "
    "set_thread_area set_tid_address setfsgid setfsuid setgid setgroups "
    "setitimer setpgid setpriority setregid setresgid setresuid setreuid "
    "setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt shmget "
    "shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink "
    "symlinkat sync sync_file_range syncfs sysinfo tee tgkill time "
    "timer_create timer_delete timer_getoverrun timer_gettime timer_settime "
    "timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask "
    "uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid "
    "write writev modify_ldt chroot riscv_flush_icache ";

/* What a capability that was added opens. */
static const struct {
    int capability;
    const char *calls;
} opened[] = {
    {CAP_DAC_READ_SEARCH, "open_by_handle_at "},
    {CAP_SYS_ADMIN,
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick "
     "lookup_dcookie mount mount_setattr move_mount open_tree "
     "perf_event_open quotactl quotactl_fd setdomainname sethostname setns "
     "syslog umount2 unshare "},
    {CAP_SYS_BOOT, "reboot "},
    {CAP_SYS_MODULE, "delete_module init_module finit_module "},
    {CAP_SYS_PACCT, "acct "},
    {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise "},
    {CAP_SYS_RAWIO, "iopl ioperm "},
    {CAP_SYS_TIME, "settimeofday clock_settime "},
    {CAP_SYS_TTY_CONFIG, "vhangup "},
    {CAP_SYS_NICE,
     "get_mempolicy mbind set_mempolicy set_mempolicy_home_node "},
    {CAP_SYSLOG, "syslog "},
    {CAP_BPF, "bpf "},
    {CAP_PERFMON, "perf_event_open "},
};

static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK,
                               AF_PACKET};

static const unsigned personalities[] = {0, 0x0008, 0x20000, 0x20008,
                                         0xffffffff};

static const uint64_t namespaces[] = {
    CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
    CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};

struct filter {
    scmp_filter_ctx context;
    bool ruled[CALLS_MAX]; /* something is said of it already */
    int failed;            /* as libseccomp returns it */
};

/* Of the first failure nothing that follows changes anything. */
static void rule(struct filter *filter, uint32_t action, int call,
                 unsigned count, struct scmp_arg_cmp compare)
{
    if (filter->failed || call < 0 || call >= CALLS_MAX)
        return;
    filter->ruled[call] = true;
    filter->failed =
        seccomp_rule_add_array(filter->context, action, call, count, &compare);
}

static void rule_always(struct filter *filter, uint32_t action, int call)
{
    rule(filter, action, call, 0, SCMP_A0_64(SCMP_CMP_EQ, 0));
}

static void allow(struct filter *filter, const char *names)
{
    char name[64];

    for (size_t length; *names; names += length + 1) {
        length = strcspn(names, " ");
        memcpy(name, names, length);
        name[length] = '\0';
        rule_always(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name));
    }
}

static void restrict_families(struct filter *filter, int call)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EAFNOSUPPORT);
    int next = 0;

    for (size_t i = 0; i < ARRAY_LEN(families); i++, next++) {
        for (; next < families[i]; next++)
            rule(filter, refuse, call, 1,
                 SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)next));
        rule(filter, SCMP_ACT_ALLOW, call, 1,
             SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)next));
    }
    rule(filter, refuse, call, 1, SCMP_A0_64(SCMP_CMP_GE, (scmp_datum_t)next));
}

static void restrict_arguments(struct filter *filter)
{
    uint64_t mask = 0;

    restrict_families(filter, SCMP_SYS(socket));
    restrict_families(filter, SCMP_SYS(socketpair));
    for (size_t i = 0; i < ARRAY_LEN(personalities); i++)
        rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
             SCMP_A0_64(SCMP_CMP_EQ, personalities[i]));
    if (filter->ruled[SCMP_SYS(clone)]) /* CAP_SYS_ADMIN */
        return;
    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
        mask |= namespaces[i];
        rule(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
             SCMP_A0_64(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    }
    rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
         SCMP_A0_64(SCMP_CMP_MASKED_EQ, mask, 0));
    filter->ruled[SCMP_SYS(clone3)] = true; /* as what is not known */
}

/* All else that has a name. */
static void refuse_rest(struct filter *filter)
{
    for (int call = 0; call < CALLS_MAX; call++) {
        char *name;

        if (filter->ruled[call])
            continue;
        name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
        if (name)
            rule_always(filter, SCMP_ACT_ERRNO(EPERM), call);
        free(name);
    }
}

static void fill(struct filter *filter, uint64_t capabilities)
{
    /* A binary tree: an allow-list of 300 would be walked at every call. */
    filter->failed =
        seccomp_attr_set(filter->context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (filter->failed == 0)
        filter->failed = seccomp_attr_set(
            filter->context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    allow(filter, allowed);
    for (size_t i = 0; i < ARRAY_LEN(opened); i++)
        if (capabilities >> opened[i].capability & 1)
            allow(filter, opened[i].calls);
    restrict_arguments(filter);
    refuse_rest(filter);
}

/* Nobody, not even who holds it open, changes it from here on. */
static int export(const struct filter *filter, int *fd, struct error *why)
{
    CLEANUP(fd_close)
    int file = memfd_create("syscalls", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int failed;

    if (file < 0)
        return error_errno(why, "make a memory file");
    failed = seccomp_export_bpf(filter->context, file);
    if (failed) {
        errno = -failed;
        return error_errno(why, "compile the system call filter");
    }
    if (fcntl(file, F_ADD_SEALS,
              F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return error_errno(why, "seal the system call filter");
    *fd = fd_take(&file);
    return 0;
}

int syscalls_compile(uint64_t capabilities, int *fd, struct error *why)
{
    struct filter filter = {.context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS))};
    int code;

    if (!filter.context)
        return error_set(why, ERROR_INTERNAL, "no system call filter");
    fill(&filter, capabilities);
    if (filter.failed) {
        errno = -filter.failed;
        code = error_errno(why, "describe the system call filter");
    } else {
        code = export(&filter, fd, why);
    }
    seccomp_release(filter.context);
    return code;
}

/* ---- what was compiled before --------------------------------------------
 */

struct syscalls {
    pthread_mutex_t lock; /* of all below */
    struct {
        uint64_t capabilities; /* those that open calls */
        int fd;                /* owned */
    } kept[SYSCALLS_KEPT_MAX];
    size_t count;
    size_t oldest; /* of a full table: the next to go, beside the first */
};

struct syscalls *syscalls_new(void)
{
    struct syscalls *filters = memory_new(sizeof *filters);

    pthread_mutex_init(&filters->lock, NULL);
    return filters;
}

void syscalls_free(struct syscalls *filters)
{
    if (!filters)
        return;
    for (size_t i = 0; i < filters->count; i++)
        close(filters->kept[i].fd);
    pthread_mutex_destroy(&filters->lock);
    free(filters);
}

/* The place of what is kept for these; the count when nothing is. */
static size_t place_of(const struct syscalls *filters, uint64_t capabilities)
{
    size_t at = 0;

    while (at < filters->count &&
           filters->kept[at].capabilities != capabilities)
        at++;
    return at;
}

/* A copy of the descriptor of what is kept, or -1. */
static int find(struct syscalls *filters, uint64_t capabilities)
{
    int fd = -1;
    size_t at;

    pthread_mutex_lock(&filters->lock);
    at = place_of(filters, capabilities);
    if (at < filters->count)
        fd = fcntl(filters->kept[at].fd, F_DUPFD_CLOEXEC, 0);
    pthread_mutex_unlock(&filters->lock);
    return fd;
}

/* Where there is room for one more. The first stays: nearly all pods use it. */
static size_t make_room(struct syscalls *filters)
{
    size_t at;

    if (filters->count < SYSCALLS_KEPT_MAX)
        return filters->count++;
    at = 1 + filters->oldest++ % (SYSCALLS_KEPT_MAX - 1);
    close(filters->kept[at].fd);
    return at;
}

/* `fd` is kept, or closed where another thread has compiled the same. */
static void keep(struct syscalls *filters, uint64_t capabilities, int fd)
{
    size_t at;

    if (fd < 0)
        return; /* no descriptor is left: it goes without */
    pthread_mutex_lock(&filters->lock);
    if (place_of(filters, capabilities) < filters->count) {
        close(fd);
    } else {
        at = make_room(filters);
        filters->kept[at].capabilities = capabilities;
        filters->kept[at].fd = fd;
    }
    pthread_mutex_unlock(&filters->lock);
}

int syscalls_open(struct syscalls *filters, uint64_t capabilities, int *fd,
                  struct error *why)
{
    uint64_t opening = 0;
    int found;

    for (size_t i = 0; i < ARRAY_LEN(opened); i++)
        opening |= capabilities & UINT64_C(1) << opened[i].capability;
    found = find(filters, opening);
    if (found < 0) {
        if (syscalls_compile(opening, &found, why) != 0)
            return (int)why->code;
        keep(filters, opening, fcntl(found, F_DUPFD_CLOEXEC, 0));
    }
    *fd = found;
    return 0;
}
