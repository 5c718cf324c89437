#include "node/image/filters.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/image/inflate.h"
#include "node/image/layer.h"
#include "node/image/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(struct filter_report) <= PIPE_BUF,
               "a report is written in one piece");

enum { READ_BYTES = 256 << 10 };

static int send_report(const struct filter_report *report)
{
    struct error unheard;

    fd_write_all(FILTER_FD_REPORT, report, sizeof *report, &unheard);
    return report->why.code == 0 ? 0 : 1;
}

/* What goes with the puller does not go on without it. Descriptors above
 * `last` are not ours: libcurl does not mark its sockets close-on-exec. */
static void prepare(unsigned last)
{
    close_range(last + 1, ~0u, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
}

static ssize_t read_some(void *bytes)
{
    ssize_t got;

    do {
        got = read(FILTER_FD_IN, bytes, READ_BYTES);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* ---- inflate ------------------------------------------------------------- */

struct inflate_run {
    struct filter_report report;
    struct digest_stream digest;
};

static int inflate_on_bytes(void *data, const uint8_t *bytes, size_t length,
                            struct error *why)
{
    struct inflate_run *run = data;

    digest_stream_add(&run->digest, bytes, length);
    run->report.tar_bytes += length;
    if (fd_write_all(FILTER_FD_OUT, bytes, length, why) == 0)
        return 0;
    run->report.broken_pipe = true;
    return (int)why->code;
}

static int inflate_all(struct inflate_run *run, struct error *why)
{
    struct inflate *inflate = inflate_new(inflate_on_bytes, run);
    uint8_t *bytes = memory_new(READ_BYTES);
    int failed = sandbox_enter_filter(why);

    while (!failed) {
        ssize_t got = read_some(bytes);

        if (got < 0)
            failed = error_errno(why, "read");
        else if (got == 0)
            break;
        else
            failed = inflate_add(inflate, bytes, (size_t)got, why);
    }
    if (!failed)
        failed = inflate_end(inflate, why);
    free(bytes);
    inflate_free(inflate);
    return failed;
}

int filter_inflate_main(void)
{
    struct inflate_run run;

    prepare(FILTER_FD_REPORT);
    memset(&run, 0, sizeof run);
    digest_stream_init(&run.digest);
    if (inflate_all(&run, &run.report.why) == 0)
        digest_stream_end(&run.digest, &run.report.digest);
    digest_stream_fini(&run.digest);
    return send_report(&run.report);
}

/* ---- untar --------------------------------------------------------------- */

static ssize_t untar_on_read(void *data, const void **bytes)
{
    *bytes = data;
    return read_some(data);
}

static int untar_all(struct error *why)
{
    CLEANUP(buffer_fini)
    struct buffer implied = {.limit = LAYER_IMPLIED_MAX_BYTES};
    CLEANUP(free_pointer) uint8_t *bytes = memory_new(READ_BYTES);

    if (fchmod(FILTER_FD_ROOT, 0755) != 0)
        return error_errno(why, "set the mode of the layer's folder");
    if (sandbox_enter_folder(FILTER_FD_ROOT, why) != 0 ||
        layer_unpack(FILTER_FD_ROOT, untar_on_read, bytes, &implied, why) != 0)
        return (int)why->code;
    return fd_write_all(FILTER_FD_IMPLIED, buffer_data(&implied),
                        buffer_length(&implied), why);
}

int filter_untar_main(void)
{
    struct filter_report report;

    prepare(FILTER_FD_IMPLIED);
    memset(&report, 0, sizeof report);
    untar_all(&report.why);
    return send_report(&report);
}
