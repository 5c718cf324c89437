#include "base/clock.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/stream.h"
#include "client/verbs.h"

/* The pod's stdout goes to stdout, its stderr to stderr, byte by byte. False:
 * nothing can be written any more. */
static bool put(const Kontor__V1__LogsChunk *chunk, bool json)
{
    if (json)
        output_message_line(&chunk->base);
    else
        fwrite(chunk->data.data, 1, chunk->data.len,
               chunk->is_stderr ? stderr : stdout);
    return output_flush();
}

/* The next chunk. A log that is followed may be quiet for long; *message is
 * NULL at its end and when nobody reads what is printed. */
static int next(struct contact *contact, struct stream *stream, bool follow,
                ProtobufCMessage **message, struct error *why)
{
    uint64_t deadline_ms;
    int code;

    if (!follow)
        return stream_next(stream, contact_deadline(contact), message, why);
    do {
        *message = NULL;
        if (!output_has_reader())
            return 0;
        deadline_ms = clock_monotonic_ms() + OUTPUT_LOOK_MS;
        code = stream_next(stream, deadline_ms, message, why);
    } while (code == ERROR_DEADLINE_EXCEEDED && contact_expired(deadline_ms));
    return code;
}

/* One stream until it ends, or until nobody reads what is printed. The request
 * goes on behind what was printed. */
static int copy(struct contact *contact, Kontor__V1__LogsRequest *request,
                bool json, struct error *why)
{
    struct stream *stream;
    ProtobufCMessage *message;
    bool more = true;
    int code = 0;

    if (stream_open(&stream, contact, "Logs", &request->base,
                    contact_deadline(contact), why) != 0)
        return (int)why->code;
    while (more &&
           (code = next(contact, stream, request->follow, &message, why)) ==
               0 &&
           message) {
        const Kontor__V1__LogsChunk *chunk = (Kontor__V1__LogsChunk *)message;

        more = put(chunk, json);
        if (chunk->end)
            *request->after = *chunk->end; /* has only numbers */
        message_free(message);
    }
    stream_close(stream);
    return code;
}

/* When the master, the leader or the node goes away, the log is asked for
 * again from where it was broken off. */
static int logs(struct contact *contact, Kontor__V1__LogsRequest *request,
                bool json, struct error *why)
{
    uint64_t deadline_ms = contact_deadline(contact);
    uint64_t since_ms = request->since_ms;
    uint64_t began_ms = clock_monotonic_ms();

    for (;;) {
        Kontor__V1__LogPosition before = *request->after;
        int code = copy(contact, request, json, why);

        if (since_ms) /* what is written meanwhile counts, too */
            request->since_ms = since_ms + clock_monotonic_ms() - began_ms;
        if (!contact_may_retry(code))
            return code;
        if (request->after->file != before.file ||
            request->after->offset != before.offset)
            deadline_ms = contact_deadline(contact);
        if (contact_expired(deadline_ms))
            return code;
    }
}

static int run(struct words *words)
{
    Kontor__V1__LogsRequest request = KONTOR__V1__LOGS_REQUEST__INIT;
    Kontor__V1__LogPosition after = KONTOR__V1__LOG_POSITION__INIT;
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    const char *format = NULL;
    const char *container = "";
    bool follow = false, previous = false;
    const struct option options[] = {
        {"f|follow", OPTION_FLAG, &follow, NULL, "go on as more is written"},
        {"c|container", OPTION_STRING, &container, "NAME",
         "only of this one of the pod's"},
        {"since", OPTION_DURATION, &request.since_ms, "TIME",
         "only what was written within the last 5m, say"},
        {"p|previous", OPTION_FLAG, &previous, NULL,
         "of the run before the present one"},
        {"tail", OPTION_NUMBER, &request.tail_lines, "LINES",
         "only the last lines"},
        OUTPUT_OPTION(&format),
        CONTACT_OPTIONS(&to),
        {0}};
    struct contact *contact;
    struct error why;
    bool json;
    int code;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    request.pod = words->operands.values[0];
    request.after = &after;
    request.follow = follow;
    request.container = message_text(container);
    request.previous = previous;
    if (request.since_ms > 0)
        request.since_wall_ms = clock_wall_ms() - request.since_ms;
    if (follow && previous) {
        output_line(stderr, "kctl: logs: a run that is over is not followed");
        return EXIT_CODE_USAGE;
    }
    if (contact_open(&contact, &to, &why) != 0)
        return exit_report(&why);
    code = logs(contact, &request, json, &why);
    contact_close(contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_logs = {
    .name = "logs",
    .summary = "Print what a pod wrote",
    .example = "kctl logs -f web-1",
    .synopsis = "kctl logs [-f] [-c CONTAINER] [--since TIME] [--previous] "
                "[--tail LINES] POD [-o json]",
    .details = "What the pod wrote to stdout goes to stdout, what it wrote "
               "to stderr to stderr. -o json prints one object a chunk, its "
               "data in base64.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
