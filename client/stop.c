#include "client/ask.h"
#include "client/verbs.h"

#include <inttypes.h>

static void show(const ProtobufCMessage *message, void *data)
{
    const Kontor__V1__StopResponse *response =
        (const Kontor__V1__StopResponse *)message;
    const char *given = data;

    printf("%s  stopping (index %" PRIu64 ")\n",
           response->pod ? response->pod->name : given, response->index);
}

static int run(struct words *words)
{
    Kontor__V1__RequestId id = contact_request_id();
    Kontor__V1__StopRequest request = KONTOR__V1__STOP_REQUEST__INIT;
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    struct ask what = {
        .method = "Stop", .request = &request.base, .show = show};
    const char *format = NULL;
    const struct option options[] = {
        OUTPUT_OPTION(&format), CONTACT_OPTIONS(&to), {0}};

    if (!verb_parse(words, options) ||
        !output_is_json(words, format, &what.json))
        return words->exit_code;
    request.request_id = &id;
    request.pod = words->operands.values[0];
    what.data = request.pod;
    return ask(&to, &what);
}

const struct verb verb_stop = {
    .name = "stop",
    .summary = "Stop a pod for good",
    .example = "kctl stop web-1",
    .synopsis = "kctl stop POD [-o json]",
    .details = "The pod gets its stop signal, then its grace time, then "
               "SIGKILL. An app's name will do while one pod of it lives.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
