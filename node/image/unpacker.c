#include "node/image/unpacker.h"

#include "base/fd.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void unpacker_init(struct unpacker *unpacker)
{
    memset(unpacker, 0, sizeof *unpacker);
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
    ring_writer_close(&unpacker->input);
    process_kill(&unpacker->inflate);
    process_kill(&unpacker->untar);
}

/* ---- start --------------------------------------------------------------- */

static int make_pipe(int ends[2], struct error *why)
{
    if (pipe2(ends, O_CLOEXEC) == 0)
        return 0;
    ends[0] = -1;
    ends[1] = -1;
    return error_errno(why, "make a pipe");
}

struct plumbing {
    struct ring_end blob_writer;
    struct ring_end blob_reader;
    struct ring_end tar_writer;
    struct ring_end tar_reader;
    int report[UNPACKER_REPORTS][2];
    int root;
    int implied;
};

static void plumbing_fini(struct plumbing *pipes)
{
    ring_end_close(&pipes->blob_writer);
    ring_end_close(&pipes->blob_reader);
    ring_end_close(&pipes->tar_writer);
    ring_end_close(&pipes->tar_reader);
    for (int i = 0; i < UNPACKER_REPORTS; i++) {
        fd_reset(&pipes->report[i][0]);
        fd_reset(&pipes->report[i][1]);
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
    return 0;
}

/* One end alone: the process at the other one waits. */
static int unblock(int end, struct error *why)
{
    if (fcntl(end, F_SETFL, O_NONBLOCK) != 0)
        return error_errno(why, "set a pipe non-blocking");
    return 0;
}

static int lay_pipes(struct plumbing *pipes, const struct unpack_site *site,
                     const char *name, struct error *why)
{
    if (make_folder(pipes, site->work, name, why) != 0 ||
        ring_make(&pipes->blob_writer, &pipes->blob_reader, why) != 0 ||
        ring_make(&pipes->tar_writer, &pipes->tar_reader, why) != 0)
        return (int)why->code;
    for (int i = 0; i < UNPACKER_REPORTS; i++)
        if (make_pipe(pipes->report[i], why) != 0 ||
            unblock(pipes->report[i][0], why) != 0)
            return (int)why->code;
    return unblock(pipes->blob_writer.credits, why);
}

static int start(struct unpacker *unpacker, struct plumbing *pipes,
                 const struct nursery *nursery, struct error *why)
{
    const struct ring_end *blob = &pipes->blob_reader;
    const struct ring_end *in = &pipes->tar_writer;
    const struct ring_end *out = &pipes->tar_reader;
    const struct filter_order inflate = {FILTER_INFLATE,
                                         {pipes->report[0][1], blob->memory,
                                          blob->lengths, blob->credits,
                                          in->memory, in->lengths, in->credits},
                                         1 + 2 * RING_FDS};
    const struct filter_order untar = {FILTER_UNTAR,
                                       {pipes->report[1][1], out->memory,
                                        out->lengths, out->credits, pipes->root,
                                        pipes->implied},
                                       1 + RING_FDS + 2};

    if (ring_writer_open(&unpacker->input, &pipes->blob_writer, why) != 0 ||
        nursery_fork(nursery, &inflate, &unpacker->inflate.pid, why) != 0 ||
        nursery_fork(nursery, &untar, &unpacker->untar.pid, why) != 0)
        return (int)why->code;
    unpacker->inflate.report_fd = fd_take(&pipes->report[0][0]);
    unpacker->untar.report_fd = fd_take(&pipes->report[1][0]);
    return 0;
}

int unpacker_start(struct unpacker *unpacker, const struct unpack_site *site,
                   const char *name, struct error *why)
{
    CLEANUP(plumbing_fini)
    struct plumbing pipes = {RING_END_NONE,
                             RING_END_NONE,
                             RING_END_NONE,
                             RING_END_NONE,
                             {{-1, -1}, {-1, -1}},
                             -1,
                             -1};

    if (lay_pipes(&pipes, site, name, why) != 0 ||
        start(unpacker, &pipes, site->nursery, why) != 0)
        return (int)why->code; /* unpacker_fini() ends what was started */
    return 0;
}

void unpacker_finish_input(struct unpacker *unpacker)
{
    ring_flush(&unpacker->input);
    ring_writer_close(&unpacker->input);
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
    if ((unsigned)report->format > INFLATE_PLAIN)
        report->format = INFLATE_UNKNOWN;
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
