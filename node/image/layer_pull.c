#include "node/image/layer_pull.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILE_READS_PER_STEP = RING_BLOCKS };

void layer_pull_init(struct layer_pull *pull, size_t number)
{
    memset(pull, 0, sizeof *pull);
    unpacker_init(&pull->unpacker);
    digest_stream_init(&pull->digest);
    snprintf(pull->name, sizeof pull->name, "%zu", number);
    pull->file = -1;
}

void layer_pull_fini(struct layer_pull *pull)
{
    http_request_fini(&pull->request);
    unpacker_fini(&pull->unpacker);
    digest_stream_fini(&pull->digest);
    fd_reset(&pull->file);
    free(pull->url);
    pull->url = NULL;
}

static void end(struct layer_pull *pull)
{
    http_request_fini(&pull->request);
    unpacker_fini(&pull->unpacker);
    fd_reset(&pull->file);
}

/* Fail with what `pull->why` says. */
static void fail(struct layer_pull *pull)
{
    error_wrap(&pull->why, "layer %s", pull->blob->digest.text);
    end(pull);
    pull->state = LAYER_PULL_FAILED;
}

/* ---- bytes --------------------------------------------------------------- */

/* Take bytes of the blob that were put where the ring has room. They are
 * hashed there: nobody else can write to it. */
static void take(struct layer_pull *pull, const uint8_t *at, size_t length)
{
    digest_stream_add(&pull->digest, at, length);
    pull->received_bytes += length;
    ring_fill(&pull->unpacker.input, length);
}

/* All bytes are here: the digest tells whether they are the right ones. */
static void finish_input(struct layer_pull *pull)
{
    struct digest actual;

    digest_stream_end(&pull->digest, &actual);
    if (!digest_equal(&actual, &pull->blob->digest)) {
        error_set(&pull->why, ERROR_DATA_LOSS,
                  "what was fetched for it has the digest %s", actual.text);
        fail(pull);
        return;
    }
    unpacker_finish_input(&pull->unpacker);
    http_request_fini(&pull->request);
    fd_reset(&pull->file);
    pull->state = LAYER_PULL_UNPACKING;
}

/* ---- from a registry ----------------------------------------------------- */

/* What comes after a break has to go on where it broke off; a server that
 * knows no ranges sends everything again. */
static bool begin_body(struct layer_pull *pull)
{
    uint64_t start = http_request_body_start(&pull->request);

    pull->begun = true;
    if (start == 0 || start == pull->request.offset) {
        pull->skip_bytes = pull->request.offset - start;
        return true;
    }
    error_set(&pull->why, ERROR_UNAVAILABLE,
              "the registry sent another range than was asked for");
    return false;
}

static bool layer_pull_on_data(struct http_request *request,
                               const uint8_t *bytes, size_t length)
{
    struct layer_pull *pull = container_of(request, struct layer_pull, request);
    uint64_t skip;

    if (pull->why.code != ERROR_OK || (!pull->begun && !begin_body(pull)))
        return true;              /* the next step ends it */
    assert(length <= RING_BYTES); /* libcurl's CURL_MAX_WRITE_SIZE is less */
    if (!ring_fits(&pull->unpacker.input, length)) {
        pull->paused_bytes = length;
        return false;
    }
    skip = pull->skip_bytes < length ? pull->skip_bytes : length;
    pull->skip_bytes -= skip;
    bytes += skip;
    length -= (size_t)skip;
    if (length > pull->blob->size_bytes - pull->received_bytes) {
        error_set(&pull->why, ERROR_DATA_LOSS,
                  "more than its %llu bytes were sent",
                  (unsigned long long)pull->blob->size_bytes);
        return true;
    }
    if (length > 0) {
        pull->tries = 0;
        pull->authorized = false;
    }
    while (length > 0) {
        uint8_t *at;
        size_t room = ring_room(&pull->unpacker.input, &at);
        size_t part = length < room ? length : room;

        memcpy(at, bytes, part);
        take(pull, at, part);
        bytes += part;
        length -= part;
    }
    return true;
}

static void request_start(struct layer_pull *pull)
{
    http_request_fini(&pull->request);
    pull->paused_bytes = 0;
    pull->begun = false;
    pull->request = (struct http_request){
        .url = pull->url,
        .authorization = pull->registry->authorization,
        .offset = pull->received_bytes,
        .allow_http = pull->registry->allow_http,
        .body_max = HTTP_ERROR_BODY_MAX,
        .on_data = layer_pull_on_data,
    };
    pull->state = LAYER_PULL_FETCHING;
    http_request_start(pull->registry->http, &pull->request);
}

/* The answer ended before the blob did. */
static void request_ended(struct layer_pull *pull)
{
    const struct http_request *request = &pull->request;
    bool answered = request->why.code == ERROR_OK;
    bool short_body =
        answered && (request->status == 200 || request->status == 206);
    char what[DIGEST_TEXT_MAX + 8];

    if (answered && request->status == 401 && !pull->authorized) {
        pull->authorized = true;
        if (image_registry_authorize(pull->registry, request, &pull->why) == 0)
            request_start(pull);
        else
            fail(pull);
        return;
    }
    if ((short_body || http_request_transient(request)) &&
        ++pull->tries < IMAGE_REGISTRY_TRIES_MAX) {
        pull->resume_ms = clock_monotonic_ms() +
                          image_registry_pause_ms(request, pull->tries);
        pull->state = LAYER_PULL_PAUSING;
        return;
    }
    snprintf(what, sizeof what, "blob %s", pull->blob->digest.text);
    if (short_body)
        error_set(&pull->why, ERROR_UNAVAILABLE,
                  "registry %s sends no more than %llu of its %llu bytes",
                  pull->registry->reference->host,
                  (unsigned long long)pull->received_bytes,
                  (unsigned long long)pull->blob->size_bytes);
    else
        image_registry_explain(pull->registry, request, what, &pull->why);
    fail(pull);
}

static void fetch_step(struct layer_pull *pull)
{
    if (pull->paused_bytes > 0) {
        if (!ring_fits(&pull->unpacker.input, pull->paused_bytes))
            return;
        pull->paused_bytes = 0;
        http_request_resume(&pull->request); /* calls layer_pull_on_data() */
    }
    if (pull->why.code != ERROR_OK)
        fail(pull);
    else if (!pull->request.finished || pull->paused_bytes > 0)
        return;
    else if (pull->received_bytes == pull->blob->size_bytes)
        finish_input(pull);
    else
        request_ended(pull);
}

/* ---- from a layout ------------------------------------------------------- */

static void read_step(struct layer_pull *pull)
{
    for (int i = 0; i < FILE_READS_PER_STEP; i++) {
        uint64_t left = pull->blob->size_bytes - pull->received_bytes;
        uint8_t *at;
        size_t room = ring_room(&pull->unpacker.input, &at);
        ssize_t got;

        if (room == 0)
            return;
        if (left == 0) {
            finish_input(pull);
            return;
        }
        got = read(pull->file, at, left < room ? (size_t)left : room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got < 0)
                error_errno(&pull->why, "read");
            else
                error_set(&pull->why, ERROR_DATA_LOSS, "its file was cut");
            fail(pull);
            return;
        }
        take(pull, at, (size_t)got);
    }
}

/* ---- the whole ----------------------------------------------------------- */

void layer_pull_start(struct layer_pull *pull, const struct unpack_site *site)
{
    if (unpacker_start(&pull->unpacker, site, pull->name, &pull->why) != 0) {
        fail(pull);
        return;
    }
    pull->state = LAYER_PULL_FETCHING;
    if (pull->layout) {
        if (layout_blob_open(pull->layout, pull->blob, &pull->file,
                             &pull->why) != 0)
            fail(pull);
        return;
    }
    pull->url = image_registry_blob_url(pull->registry, &pull->blob->digest);
    request_start(pull);
}

/* The diffID is compared all the same. But another reader, who goes by the
 * type, would not see what we see. */
static int check_format(struct layer_pull *pull)
{
    static const char *const names[] = {
        [INFLATE_UNKNOWN] = "nothing",
        [INFLATE_GZIP] = "gzip",
        [INFLATE_ZSTD] = "zstd",
        [INFLATE_PLAIN] = "not compressed",
    };
    enum inflate_format listed = pull->blob->format;
    enum inflate_format found = pull->unpacker.inflate.report.format;

    if (listed == INFLATE_UNKNOWN || listed == found)
        return 0;
    return error_set(&pull->why, ERROR_INVALID_ARGUMENT,
                     "its type is \"%s\", and its bytes are %s",
                     pull->blob->media_type, names[found]);
}

static void unpack_step(struct layer_pull *pull)
{
    struct digest tar = {{0}};

    if (!unpacker_ended(&pull->unpacker))
        return;
    if (unpacker_result(&pull->unpacker, &tar, &pull->why) != 0 ||
        check_format(pull) != 0) {
        fail(pull);
    } else if (!digest_equal(&tar, pull->diff_id)) {
        error_set(&pull->why, ERROR_DATA_LOSS,
                  "unpacks to %s, the image's config says %s", tar.text,
                  pull->diff_id->text);
        fail(pull);
    } else {
        pull->tar_bytes = pull->unpacker.inflate.report.tar_bytes;
        end(pull);
        pull->state = LAYER_PULL_DONE;
    }
}

/* For room, or for the time to pass on a block that is not full. */
static bool waits_for_ring(const struct layer_pull *pull)
{
    return pull->paused_bytes > 0 || pull->file >= 0 ||
           pull->unpacker.input.filled > 0;
}

unsigned layer_pull_fds(const struct layer_pull *pull,
                        struct curl_waitfd fds[LAYER_PULL_FDS])
{
    int reports[UNPACKER_REPORTS];
    unsigned count = 0;
    size_t report_count;
    int wait;

    if (pull->state == LAYER_PULL_WAITING || pull->state >= LAYER_PULL_DONE)
        return 0;
    report_count = unpacker_report_fds(&pull->unpacker, reports);
    for (size_t i = 0; i < report_count; i++)
        fds[count++] = (struct curl_waitfd){reports[i], CURL_WAIT_POLLIN, 0};
    wait = waits_for_ring(pull) ? ring_wait_fd(&pull->unpacker.input) : -1;
    if (wait >= 0)
        fds[count++] = (struct curl_waitfd){wait, CURL_WAIT_POLLIN, 0};
    return count;
}

uint64_t layer_pull_wait_ms(const struct layer_pull *pull, uint64_t most_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t wait_ms = most_ms;

    if (pull->state == LAYER_PULL_PAUSING)
        wait_ms = pull->resume_ms > now_ms ? pull->resume_ms - now_ms : 0;
    /* Nobody reads, but the digest of a file is wanted all the same. */
    if (pull->file >= 0 && pull->unpacker.input.broken)
        wait_ms = 0;
    return wait_ms < most_ms ? wait_ms : most_ms;
}

void layer_pull_step(struct layer_pull *pull)
{
    if (pull->state == LAYER_PULL_WAITING || pull->state >= LAYER_PULL_DONE)
        return;
    unpacker_on_report(&pull->unpacker);
    if (unpacker_gave_up(&pull->unpacker)) {
        struct digest unused;

        unpacker_result(&pull->unpacker, &unused, &pull->why);
        fail(pull);
        return;
    }
    if (pull->state == LAYER_PULL_FETCHING && pull->layout)
        read_step(pull);
    else if (pull->state == LAYER_PULL_FETCHING)
        fetch_step(pull);
    else if (pull->state == LAYER_PULL_PAUSING &&
             clock_monotonic_ms() >= pull->resume_ms)
        request_start(pull);
    if (pull->state == LAYER_PULL_UNPACKING)
        unpack_step(pull);
    else
        ring_hurry(&pull->unpacker.input);
}
