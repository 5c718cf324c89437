#include "client/ask.h"
#include "client/verbs.h"

#include <inttypes.h>
#include <stdlib.h>

/* Of all apps together; the masters' PODS_LIVING_MAX. */
enum { SCALE_MAX = 1000000 };

static void show(const ProtobufCMessage *message,
                 const ProtobufCMessage *request)
{
    const Kontor__V1__ScaleResponse *response =
        (const Kontor__V1__ScaleResponse *)message;
    const Kontor__V1__ScaleRequest *asked =
        (const Kontor__V1__ScaleRequest *)request;

    output_line(stdout,
                "%s  %u pods: %u placed, %u pending (index %" PRIu64
                ", term %" PRIu64 ")",
                asked->app, response->placed + response->pending,
                response->placed, response->pending, response->index,
                response->term);
}

struct scale {
    Kontor__V1__ScaleRequest request;
    char *count; /* as it was typed */
};

static int read_count(struct contact *contact, ProtobufCMessage *request,
                      struct error *why)
{
    struct scale *scale = (struct scale *)request;
    char *end = scale->count;
    unsigned long count = SCALE_MAX + 1;

    (void)contact;
    if (*end >= '0' && *end <= '9')
        count = strtoul(scale->count, &end, 10);
    if (*end != '\0' || count > SCALE_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%.40s\" is not a number of pods from 0 to %d",
                         scale->count, SCALE_MAX);
    scale->request.replicas = (uint32_t)count;
    return 0;
}

static int run(struct words *words)
{
    Kontor__V1__RequestId id = contact_request_id();
    struct scale scale = {.request = KONTOR__V1__SCALE_REQUEST__INIT};
    const struct ask what = {"Scale",
                             &scale.request.base,
                             {&scale.request.app, &scale.count},
                             show,
                             read_count};

    scale.request.request_id = &id;
    return ask(words, &what);
}

const struct verb verb_scale = {
    .name = "scale",
    .summary = "Have so many pods of an app",
    .example = "kctl scale web 5",
    .synopsis = "kctl scale APP N [-o json]",
    .details =
        "More are made as the app's newest pod is, which may have ended; of "
        "too many those\nwith the greatest numbers are stopped. All by one "
        "commit; 10,000 pods at one time.",
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
