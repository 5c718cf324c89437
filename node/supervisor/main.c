/* main.c - kpod FOLDER: one pod's supervisor. See supervisor.h. */
#include "base/fd.h"
#include "node/supervisor/process.h"
#include "node/supervisor/procfs.h"
#include "node/supervisor/sealed.h"
#include "node/supervisor/supervise.h"
#include "node/supervisor/supervisor.h"

#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAP_STEP_BYTES = 16384 };

/* What knode gave is for this process alone; nothing else was given. */
static int take_descriptors(struct error *why)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return error_errno(why, "open /dev/null");
    if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return error_errno(why, "connect /dev/null");
    if (fcntl(STDERR_FILENO, F_GETFD) < 0)
        dup2(null, STDERR_FILENO);
    for (int fd = SUPERVISOR_NETNS_FD; fd <= SUPERVISOR_FILTER_FD; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            return error_errno(why, "descriptor %d, which knode gives", fd);
    close_range(SUPERVISOR_FILTER_FD,
                SUPERVISOR_FILTER_FD + SUPERVISOR_CONTAINERS_MAX - 1,
                CLOSE_RANGE_CLOEXEC);
    close_range(SUPERVISOR_FILTER_FD + SUPERVISOR_CONTAINERS_MAX, ~0u, 0);
    /* Whose the lock is: knode may have been killed since it began us. */
    if (dprintf(SUPERVISOR_LOCK_FD, "%d\n", (int)getpid()) < 0)
        return error_errno(why, "write to %s", SUPERVISOR_LOCK);
    return 0;
}

/* The last one to be killed when the machine runs out of memory: its end is
 * its pod's. In a container that may not say so, it goes without. */
static void protect_from_oom_killer(void)
{
    struct error ignored;

    procfs_write("self/oom_score_adj", "-999", &ignored);
}

static int run(char **argv, struct error *why)
{
    char folder[PATH_MAX];

    if (sealed_exec(argv, why) != 0 || take_descriptors(why) != 0)
        return (int)why->code;
    prctl(PR_SET_NAME, "kpod", 0, 0, 0); /* execveat() left a number */
    protect_from_oom_killer();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    mallopt(M_TOP_PAD, HEAP_STEP_BYTES);
    umask(022);
    if (!realpath(argv[1], folder) || chdir(folder) != 0)
        return error_errno(why, "enter folder %s", argv[1]);
    return supervise(folder, why);
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: kpod FOLDER (started by knode)\n";
    struct error why = {0};

    if (argc == 2 &&
        (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        dprintf(STDOUT_FILENO, "%s", usage);
        return 0;
    }
    if (argc != 2) {
        dprintf(STDERR_FILENO, "%s", usage);
        return 2;
    }
    process_arguments(argc, argv);
    if (run(argv, &why) != 0) {
        dprintf(STDERR_FILENO, "kpod: %s\n", why.message);
        return 1;
    }
    return 0;
}
