#include "node/image/sandbox.h"

#include <errno.h>
#include <iconv.h>
#include <langinfo.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 }; /* its run time needs calls and memory of its own */
#else
enum { SANITIZED = 0 };
#endif

enum { MEMORY_MAX_BYTES = 1 << 30 };

static const int filter_calls[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(close),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(tgkill),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(restart_syscall),
};

static const int folder_calls[] = {
    SCMP_SYS(openat),    SCMP_SYS(openat2),    SCMP_SYS(pwrite64),
    SCMP_SYS(ftruncate), SCMP_SYS(mkdirat),    SCMP_SYS(mknodat),
    SCMP_SYS(symlinkat), SCMP_SYS(linkat),     SCMP_SYS(unlinkat),
    SCMP_SYS(fchown),    SCMP_SYS(fchownat),   SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),  SCMP_SYS(utimensat),  SCMP_SYS(fsetxattr),
    SCMP_SYS(lseek),     SCMP_SYS(getdents64), SCMP_SYS(fcntl),
    SCMP_SYS(statx),     SCMP_SYS(renameat),   SCMP_SYS(renameat2),
    SCMP_SYS(sysinfo), /* qsort(3): how much memory? */
};

static const cap_value_t folder_capabilities[] = {
    CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,    CAP_FSETID,
    CAP_MKNOD, CAP_SETFCAP,      CAP_SYS_ADMIN, /* trusted.overlay.opaque */
};

static int allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count && failed == 0; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return failed;
}

/* Memory that can be run as code is not to be had: nothing is loaded. */
static int allow_memory(scmp_filter_ctx filter)
{
    int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return failed;
}

static int restrict_calls(const int *more, size_t count, struct error *why)
{
    scmp_filter_ctx filter;
    int failed;

    if (SANITIZED)
        return 0;
    filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return error_set(why, ERROR_INTERNAL, "sandbox: no seccomp filter");
    failed = allow_memory(filter);
    if (failed == 0)
        failed = allow(filter, filter_calls,
                       sizeof filter_calls / sizeof *filter_calls);
    if (failed == 0)
        failed = allow(filter, more, count);
    if (failed == 0)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    if (failed == 0)
        return 0;
    errno = -failed;
    return error_errno(why, "sandbox: seccomp filter");
}

static int keep_capabilities(const cap_value_t *values, int count,
                             struct error *why)
{
    cap_t set = cap_init();
    int failed = -1;

    if (set &&
        (count == 0 ||
         (cap_set_flag(set, CAP_PERMITTED, count, values, CAP_SET) == 0 &&
          cap_set_flag(set, CAP_EFFECTIVE, count, values, CAP_SET) == 0)))
        failed = cap_set_proc(set);
    if (set)
        cap_free(set);
    if (failed != 0)
        return error_errno(why, "sandbox: drop capabilities");
    return 0;
}

static int common(struct error *why)
{
    const struct rlimit memory = {MEMORY_MAX_BYTES, MEMORY_MAX_BYTES};
    const struct rlimit none = {0, 0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0 ||
        (!SANITIZED && setrlimit(RLIMIT_DATA, &memory) != 0))
        return error_errno(why, "sandbox: set limits");
    return 0;
}

int sandbox_leave_network(struct error *why)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC) != 0)
        return error_errno(why, "sandbox: leave the network");
    return 0;
}

int sandbox_enter_filter(struct error *why)
{
    if (common(why) != 0 || keep_capabilities(NULL, 0, why) != 0)
        return (int)why->code;
    return restrict_calls(NULL, 0, why);
}

int sandbox_enter_folder(int root, struct error *why)
{
    /* libarchive converts names with iconv. What iconv loads has to come
     * from this machine, not from the archive that becomes the root. */
    if (iconv_close(iconv_open(nl_langinfo(CODESET), "UTF-8")) != 0)
        return error_errno(why, "sandbox: iconv");
    umask(0);
    if (common(why) != 0)
        return (int)why->code;
    if (fchdir(root) != 0 || chroot(".") != 0)
        return error_errno(why, "sandbox: enter the layer's folder");
    if (keep_capabilities(
            folder_capabilities,
            sizeof folder_capabilities / sizeof *folder_capabilities, why) != 0)
        return (int)why->code;
    return restrict_calls(folder_calls,
                          sizeof folder_calls / sizeof *folder_calls, why);
}
