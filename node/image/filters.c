#include "node/image/filters.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/image/layer.h"
#include "node/image/sandbox.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(struct filter_report) <= PIPE_BUF,
               "a report is written in one piece");

static int send_report(const struct filter_report *report)
{
    struct error unheard;

    fd_write_all(FILTER_FD_REPORT, report, sizeof *report, &unheard);
    return report->why.code == 0 ? 0 : 1;
}

static struct ring_end ring_end_from(int first)
{
    return (struct ring_end){first, first + 1, first + 2};
}

/* ---- inflate ------------------------------------------------------------- */

struct inflate_run {
    struct filter_report report;
    struct digest_stream digest;
    struct ring_reader in;
    struct ring_writer out;
};

static size_t inflate_on_room(void *data, uint8_t **at)
{
    struct inflate_run *run = data;

    return ring_room(&run->out, at);
}

static int inflate_on_bytes(void *data, const uint8_t *bytes, size_t length,
                            struct error *why)
{
    struct inflate_run *run = data;

    digest_stream_add(&run->digest, bytes, length);
    run->report.tar_bytes += length;
    ring_fill(&run->out, length);
    if (!run->out.broken)
        return 0;
    run->report.broken_pipe = true;
    return error_set(why, ERROR_UNAVAILABLE, "what reads the archive ended");
}

static int open_rings(struct inflate_run *run, struct error *why)
{
    struct ring_end in = ring_end_from(FILTER_FD_IN);
    struct ring_end out = ring_end_from(FILTER_FD_OUT);

    if (ring_reader_open(&run->in, &in, why) != 0)
        return (int)why->code;
    return ring_writer_open(&run->out, &out, why);
}

static int inflate_all(struct inflate_run *run, struct error *why)
{
    const struct inflate_out out = {inflate_on_room, inflate_on_bytes, run};
    struct inflate *inflate = inflate_new(&out);
    int failed = open_rings(run, why);

    if (!failed)
        failed = sandbox_enter_filter(why);
    while (!failed) {
        const uint8_t *bytes;
        ssize_t got = ring_read(&run->in, &bytes);

        if (got < 0)
            failed = error_errno(why, "read");
        else if (got == 0)
            break;
        else
            failed = inflate_add(inflate, bytes, (size_t)got, why);
        ring_hurry(&run->out);
    }
    if (!failed)
        failed = inflate_end(inflate, why);
    run->report.format = inflate_found(inflate);
    ring_flush(&run->out);
    inflate_free(inflate);
    return failed;
}

static int inflate_main(void)
{
    struct inflate_run run;

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
    const uint8_t *at = NULL;
    ssize_t got = ring_read(data, &at);

    *bytes = at;
    return got;
}

static int untar_all(struct error *why)
{
    CLEANUP(buffer_fini)
    struct buffer implied = {.limit = LAYER_IMPLIED_MAX_BYTES};
    struct ring_end in = ring_end_from(FILTER_FD_IN);
    struct ring_reader reader;

    if (fchmod(FILTER_FD_ROOT, 0755) != 0)
        return error_errno(why, "set the mode of the layer's folder");
    if (ring_reader_open(&reader, &in, why) != 0 ||
        sandbox_enter_folder(FILTER_FD_ROOT, why) != 0 ||
        layer_unpack(FILTER_FD_ROOT, untar_on_read, &reader, &implied, why) !=
            0)
        return (int)why->code;
    return fd_write_all(FILTER_FD_IMPLIED, buffer_data(&implied),
                        buffer_length(&implied), why);
}

static int untar_main(void)
{
    struct filter_report report;

    memset(&report, 0, sizeof report);
    untar_all(&report.why);
    return send_report(&report);
}

/* ---- either -------------------------------------------------------------- */

int filters_prepare(struct error *why)
{
    struct digest unused;

    digest_of("", 0, &unused); /* OpenSSL reads its configuration */
    return sandbox_leave_network(why);
}

int filter_main(enum filter filter)
{
    /* What goes with the puller does not go on without it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME,
          filter == FILTER_INFLATE ? "kpull-inflate" : "kpull-untar");
    return filter == FILTER_INFLATE ? inflate_main() : untar_main();
}
