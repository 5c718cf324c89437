#include "client/ask.h"
#include "client/verbs.h"

#include <inttypes.h>

static void show(const ProtobufCMessage *message,
                 const ProtobufCMessage *request)
{
    const Kontor__V1__StopResponse *response =
        (const Kontor__V1__StopResponse *)message;
    const char *asked = ((const Kontor__V1__StopRequest *)request)->pod;

    output_line(stdout, "%s  stopping (index %" PRIu64 ")",
                response->pod ? response->pod->name : asked, response->index);
}

static int run(struct words *words)
{
    Kontor__V1__RequestId id = contact_request_id();
    Kontor__V1__StopRequest request = KONTOR__V1__STOP_REQUEST__INIT;
    const struct ask what = {"Stop", &request.base, {&request.pod}, show, NULL};

    request.request_id = &id;
    return ask(words, &what);
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
