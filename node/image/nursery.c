#include "node/image/nursery.h"

#include "base/fd.h"
#include "node/image/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    /* Above all descriptors that filters are started with. */
    FD_MIN = 16,
};

_Static_assert(FILTER_FD_FIRST + FILTER_FDS_MAX <= FD_MIN,
               "descriptors are moved down one by one");

struct answer {
    pid_t pid;
    struct error why;
};

/* Room for the descriptors that go with a message. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * FILTER_FDS_MAX)];
};

/* ---- the nursery --------------------------------------------------------- */

/* A fork whose child is our parent's. It keeps what the C library remembers
 * of the thread: filters have one and ask for no id. */
static pid_t fork_sibling(void)
{
    struct clone_args arguments = {.flags = CLONE_PARENT};

    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

static _Noreturn void become(enum filter filter, int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_MIN);
    for (size_t i = 0; i < count; i++)
        if (dup2(fds[i], FILTER_FD_FIRST + (int)i) < 0)
            _exit(1);
    close_range(FILTER_FD_FIRST + (unsigned)count, ~0u, 0);
    /* In its sandbox no library could clean up after itself. */
    _exit(filter_main(filter));
}

/* Wait for an order; false at the end of them. */
static bool take_order(int orders, enum filter *filter, int fds[FILTER_FDS_MAX],
                       size_t *count)
{
    struct iovec part = {filter, sizeof *filter};
    union control control = {{0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got;
    const struct cmsghdr *header;

    do {
        got = recvmsg(orders, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    header = CMSG_FIRSTHDR(&message);
    if (got != sizeof *filter || !header)
        return false;
    *count = (header->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
    memcpy(fds, CMSG_DATA(header), *count * sizeof *fds);
    return true;
}

static _Noreturn void serve(int orders)
{
    struct answer answer = {0};
    int fds[FILTER_FDS_MAX];
    int failed = filters_prepare(&answer.why);
    enum filter filter;
    size_t count;

    while (take_order(orders, &filter, fds, &count)) {
        if (!failed) {
            answer.pid = fork_sibling();
            if (answer.pid == 0)
                become(filter, fds, count);
            if (answer.pid < 0)
                error_errno(&answer.why, "fork");
        }
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        if (write(orders, &answer, sizeof answer) != sizeof answer)
            break;
    }
    _exit(0);
}

/* Nothing of what the puller was started with: its standard output is heard
 * by knode. Errors of the sanitizers, which do not know that, may be seen. */
static _Noreturn void begin(int orders)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0 || dup2(orders, FILTER_FD_FIRST) < 0)
        _exit(1);
    close_range(FILTER_FD_FIRST + 1, ~0u, 0);
    serve(FILTER_FD_FIRST);
}

/* ---- the puller ---------------------------------------------------------- */

int nursery_open(struct nursery *nursery, struct error *why)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return error_errno(why, "make a pair of sockets");
    nursery->pid = fork();
    if (nursery->pid == 0)
        begin(ends[1]);
    close(ends[1]);
    nursery->orders = ends[0];
    if (nursery->pid < 0)
        return error_errno(why, "fork");
    return 0;
}

void nursery_close(struct nursery *nursery)
{
    fd_reset(&nursery->orders);
    if (nursery->pid > 0)
        while (waitpid(nursery->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    nursery->pid = 0;
}

static int send_order(int orders, const struct filter_order *order,
                      struct error *why)
{
    enum filter filter = order->filter;
    struct iovec part = {&filter, sizeof filter};
    union control control = {{0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen =
                                 CMSG_SPACE(sizeof(int) * order->fd_count)};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int) * order->fd_count);
    memcpy(CMSG_DATA(&control.header), order->fds,
           sizeof(int) * order->fd_count);
    if (sendmsg(orders, &message, MSG_NOSIGNAL) < 0)
        return error_errno(why, "ask for a process to unpack with");
    return 0;
}

int nursery_fork(const struct nursery *nursery,
                 const struct filter_order *order, pid_t *pid,
                 struct error *why)
{
    struct answer answer;
    ssize_t got;

    if (send_order(nursery->orders, order, why) != 0)
        return (int)why->code;
    do {
        got = read(nursery->orders, &answer, sizeof answer);
    } while (got < 0 && errno == EINTR);
    if (got != sizeof answer)
        return error_set(why, ERROR_INTERNAL,
                         "start the process to unpack with: what would has "
                         "ended");
    if (answer.why.code != ERROR_OK) {
        *why = answer.why;
        return error_wrap(why, "start the process to unpack with");
    }
    *pid = answer.pid;
    return 0;
}
