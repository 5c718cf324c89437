/* image pull: have an image before a pod needs it. */
#include "base/clock.h"
#include "client/image.h"
#include "client/progress.h"
#include "client/stream.h"
#include "client/verbs.h"

enum { QUIET_MAX_MS = 120000 }; /* retries of a registry take their time */

static void show_bytes(struct progress *progress, const char *node,
                       const Kontor__V1__PullImageProgress *at)
{
    char line[PROGRESS_LINE_MAX];
    char bytes[SHOW_TEXT_MAX];

    snprintf(line, sizeof line, "%s  pulling %s", node,
             show_progress(bytes, at->done_bytes, at->total_bytes));
    progress_update(progress, line, clock_monotonic_ms());
}

/* To the stream's end, whose last message names the image. */
static int follow(struct image_verb *verb, const char *node,
                  struct stream *stream, struct error *why)
{
    uint64_t began_ms = clock_monotonic_ms();
    char line[PROGRESS_LINE_MAX];
    char text[SHOW_REASON_MAX];
    struct progress progress;
    ProtobufCMessage *message;

    progress_init(&progress, stderr);
    for (;;) {
        const Kontor__V1__PullImageProgress *at;

        if (stream_next(stream, clock_monotonic_ms() + QUIET_MAX_MS, &message,
                        why) != 0) {
            progress_clear(&progress);
            return (int)why->code;
        }
        if (!message)
            return 0;
        at = (const Kontor__V1__PullImageProgress *)message;
        if (!at->digest[0]) {
            show_bytes(&progress, node, at);
        } else {
            progress_clear(&progress);
            verb->found++;
            image_answer(verb, node, message);
            snprintf(text, sizeof text, "%s  %s", node, at->digest);
            if (!verb->json)
                output_line(stdout, "%s",
                            progress_timed(line, text,
                                           clock_monotonic_ms() - began_ms));
        }
        message_free(message);
    }
}

static int ask_pull(struct image_verb *verb, const char *node,
                    struct error *why)
{
    Kontor__V1__PullImageRequest request = KONTOR__V1__PULL_IMAGE_REQUEST__INIT;
    struct stream *stream;
    int code;

    request.node = without_const(node);
    request.reference = without_const(verb->reference);
    if (stream_open(&stream, verb->contact, "PullImage", &request.base,
                    contact_deadline(verb->contact), why) != 0)
        return (int)why->code;
    code = follow(verb, node, stream, why);
    stream_close(stream);
    return code;
}

static int run(struct words *words)
{
    struct image_verb verb = {0};
    const struct option options[] = {IMAGE_OPTIONS(&verb), {0}};

    return image_run(words, &verb, options, ask_pull);
}

const struct verb verb_image_pull = {
    .name = "image pull",
    .summary = "Fetch an image to nodes before a pod needs it",
    .example = "kctl image pull registry.local:5000/web:1",
    .synopsis = "kctl image pull IMAGE [--node NODE]... [-o json]",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
