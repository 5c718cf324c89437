#include "node/supervisor/syscall_filter.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW };

int syscall_filter_enter(int fd, struct error *why)
{
    struct sock_fprog program = {0};
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & SEALS) != SEALS)
        return error_set(why, ERROR_INTERNAL,
                         "the system call filter is not sealed");
    if (fstat(fd, &info) != 0)
        return error_errno(why, "look at the system call filter");
    if (info.st_size <= 0 || info.st_size % (off_t)sizeof *program.filter ||
        info.st_size / (off_t)sizeof *program.filter > BPF_MAXINSNS)
        return error_set(why, ERROR_INTERNAL,
                         "the system call filter has %lld bytes",
                         (long long)info.st_size);
    program.len =
        (unsigned short)(info.st_size / (off_t)sizeof *program.filter);
    program.filter =
        mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (program.filter == MAP_FAILED)
        return error_errno(why, "map the system call filter");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
        return error_errno(why, "enter the system call filter");
    return 0;
}
