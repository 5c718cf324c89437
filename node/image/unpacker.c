#include "node/image/unpacker.h"

#include "base/fd.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PIPE_BYTES = 1 << 20, /* fs.pipe-max-size; less slows, no more */
    /* Above all descriptors that filters are started with. */
    FD_MIN = 16,
};

void unpacker_init(struct unpacker *unpacker)
{
    memset(unpacker, 0, sizeof *unpacker);
    unpacker->input = -1;
    unpacker->inflate.report_fd = -1;
    unpacker->untar.report_fd = -1;
}

static void process_kill(struct unpacker_process *process)
{
    if (process->pid > 0) {
        kill(process->pid, SIGKILL);
        while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    process->pid = 0;
    fd_reset(&process->report_fd);
}

void unpacker_fini(struct unpacker *unpacker)
{
    fd_reset(&unpacker->input);
    process_kill(&unpacker->inflate);
    process_kill(&unpacker->untar);
}

/* ---- start --------------------------------------------------------------- */

/* Move a descriptor out of the way of FILTER_FD_*. */
static int lift(int *fd, struct error *why)
{
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, FD_MIN);

    if (high < 0)
        return error_errno(why, "duplicate a descriptor");
    close(*fd);
    *fd = high;
    return 0;
}

static int make_pipe(int ends[2], struct error *why)
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        ends[0] = -1;
        ends[1] = -1;
        return error_errno(why, "make a pipe");
    }
    fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
    if (lift(&ends[0], why) != 0 || lift(&ends[1], why) != 0)
        return (int)why->code;
    return 0;
}

/* This program anew, with fds[i][0] as its descriptor fds[i][1]. */
static int spawn(const char *filter, const int (*fds)[2], size_t count,
                 pid_t *pid, struct error *why)
{
    /* posix_spawn(3) does not write to them, whatever their type says. */
    char *const argv[] = {without_const("kpull"), without_const("image-pull"),
                          without_const(filter), NULL};
    char *const no_environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);

    for (size_t i = 0; i < count && failed == 0; i++)
        failed =
            posix_spawn_file_actions_adddup2(&actions, fds[i][0], fds[i][1]);
    if (failed == 0)
        failed = posix_spawn(pid, "/proc/self/exe", &actions, NULL, argv,
                             no_environment);
    posix_spawn_file_actions_destroy(&actions);
    if (failed == 0)
        return 0;
    errno = failed;
    return error_errno(why, "start the process to unpack with");
}

struct plumbing {
    int blob[2];
    int tar[2];
    int report[UNPACKER_REPORTS][2];
    int root;
    int implied;
};

static void plumbing_fini(struct plumbing *pipes)
{
    for (int end = 0; end < 2; end++) {
        fd_reset(&pipes->blob[end]);
        fd_reset(&pipes->tar[end]);
        for (int i = 0; i < UNPACKER_REPORTS; i++)
            fd_reset(&pipes->report[i][end]);
    }
    fd_reset(&pipes->root);
    fd_reset(&pipes->implied);
}

static int make_folder(struct plumbing *pipes, int work, const char *name,
                       struct error *why)
{
    CLEANUP(free_pointer) char *list = memory_format("%s.implied", name);

    if (mkdirat(work, name, 0700) != 0)
        return error_errno(why, "make the layer's folder");
    pipes->root =
        openat(work, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    pipes->implied =
        openat(work, list, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (pipes->root < 0 || pipes->implied < 0)
        return error_errno(why, "open the layer's folder");
    if (lift(&pipes->root, why) != 0)
        return (int)why->code;
    return lift(&pipes->implied, why);
}

/* One end alone: the process at the other one waits. */
static int unblock(int end, struct error *why)
{
    if (fcntl(end, F_SETFL, O_NONBLOCK) != 0)
        return error_errno(why, "set a pipe non-blocking");
    return 0;
}

static int lay_pipes(struct plumbing *pipes, int work, const char *name,
                     struct error *why)
{
    if (make_folder(pipes, work, name, why) != 0 ||
        make_pipe(pipes->blob, why) != 0 || make_pipe(pipes->tar, why) != 0)
        return (int)why->code;
    for (int i = 0; i < UNPACKER_REPORTS; i++)
        if (make_pipe(pipes->report[i], why) != 0 ||
            unblock(pipes->report[i][0], why) != 0)
            return (int)why->code;
    return unblock(pipes->blob[1], why);
}

static int start(struct unpacker *unpacker, struct plumbing *pipes,
                 struct error *why)
{
    const int inflate[][2] = {{pipes->blob[0], FILTER_FD_IN},
                              {pipes->tar[1], FILTER_FD_OUT},
                              {pipes->report[0][1], FILTER_FD_REPORT}};
    const int untar[][2] = {{pipes->tar[0], FILTER_FD_IN},
                            {pipes->report[1][1], FILTER_FD_REPORT},
                            {pipes->root, FILTER_FD_ROOT},
                            {pipes->implied, FILTER_FD_IMPLIED}};

    if (spawn("--inflate", inflate, ARRAY_LEN(inflate), &unpacker->inflate.pid,
              why) != 0 ||
        spawn("--untar", untar, ARRAY_LEN(untar), &unpacker->untar.pid, why) !=
            0)
        return (int)why->code;
    unpacker->input = pipes->blob[1];
    unpacker->inflate.report_fd = pipes->report[0][0];
    unpacker->untar.report_fd = pipes->report[1][0];
    pipes->blob[1] = -1;
    pipes->report[0][0] = -1;
    pipes->report[1][0] = -1;
    return 0;
}

int unpacker_start(struct unpacker *unpacker, int work, const char *name,
                   struct error *why)
{
    CLEANUP(plumbing_fini)
    struct plumbing pipes = {{-1, -1}, {-1, -1}, {{-1, -1}, {-1, -1}}, -1, -1};

    if (lay_pipes(&pipes, work, name, why) != 0 ||
        start(unpacker, &pipes, why) != 0)
        return (int)why->code; /* unpacker_fini() ends what was started */
    return 0;
}

/* ---- feed ---------------------------------------------------------------- */

size_t unpacker_write(struct unpacker *unpacker, const uint8_t *bytes,
                      size_t length)
{
    size_t taken = 0;

    while (taken < length && unpacker->input >= 0) {
        ssize_t put = write(unpacker->input, bytes + taken, length - taken);

        if (put >= 0)
            taken += (size_t)put;
        else if (errno == EAGAIN)
            return taken;
        else if (errno != EINTR)
            fd_reset(&unpacker->input); /* EPIPE: it has ended */
    }
    return length;
}

void unpacker_finish_input(struct unpacker *unpacker)
{
    fd_reset(&unpacker->input);
}

/* ---- reports ------------------------------------------------------------- */

size_t unpacker_report_fds(const struct unpacker *unpacker,
                           int fds[UNPACKER_REPORTS])
{
    size_t count = 0;

    if (unpacker->inflate.report_fd >= 0)
        fds[count++] = unpacker->inflate.report_fd;
    if (unpacker->untar.report_fd >= 0)
        fds[count++] = unpacker->untar.report_fd;
    return count;
}

/* A report comes whole (PIPE_BUF) or, when its process was killed, never. It
 * comes from one that a hostile archive may have taken over. */
static void process_hear(struct unpacker_process *process)
{
    struct filter_report *report = &process->report;
    ssize_t got;

    do {
        got = read(process->report_fd, report, sizeof *report);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got != sizeof *report) {
        memset(report, 0, sizeof *report);
        error_set(&report->why, ERROR_INTERNAL,
                  "the process that unpacks it was killed");
    }
    if ((unsigned)report->why.code > ERROR_UNAUTHENTICATED)
        report->why.code = ERROR_UNKNOWN;
    report->why.message[ERROR_MESSAGE_MAX - 1] = '\0';
    report->digest.text[DIGEST_TEXT_MAX - 1] = '\0';
    fd_reset(&process->report_fd);
}

void unpacker_on_report(struct unpacker *unpacker)
{
    if (unpacker->inflate.report_fd >= 0)
        process_hear(&unpacker->inflate);
    if (unpacker->untar.report_fd >= 0)
        process_hear(&unpacker->untar);
}

bool unpacker_ended(const struct unpacker *unpacker)
{
    return unpacker->inflate.report_fd < 0 && unpacker->untar.report_fd < 0;
}

/* The first cause among the two. When the inflater failed, what came out of
 * it ended early, so it is the one to believe, unless it only lost its
 * reader. */
static const struct error *cause(const struct unpacker *unpacker)
{
    const struct filter_report *inflate = &unpacker->inflate.report;

    if (inflate->why.code != 0 && !inflate->broken_pipe)
        return &inflate->why;
    return &unpacker->untar.report.why;
}

bool unpacker_gave_up(const struct unpacker *unpacker)
{
    enum error_code code = cause(unpacker)->code;

    return code != ERROR_OK && code != ERROR_DATA_LOSS &&
           code != ERROR_INVALID_ARGUMENT;
}

int unpacker_result(struct unpacker *unpacker, struct digest *tar,
                    struct error *why)
{
    const struct error *first = cause(unpacker);

    process_kill(&unpacker->inflate);
    process_kill(&unpacker->untar);
    if (first->code != ERROR_OK) {
        *why = *first;
        return (int)why->code;
    }
    *tar = unpacker->inflate.report.digest;
    return 0;
}
