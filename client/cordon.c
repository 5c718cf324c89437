#include "client/ask.h"
#include "client/verbs.h"

static void show(const ProtobufCMessage *message, void *data)
{
    const Kontor__V1__CordonRequest *request = data;

    (void)message;
    printf("%s  %s\n", request->node,
           request->cordoned ? "cordoned: takes no new pods"
                             : "takes pods again");
}

static int set(struct words *words, bool cordoned)
{
    Kontor__V1__RequestId id = contact_request_id();
    Kontor__V1__CordonRequest request = KONTOR__V1__CORDON_REQUEST__INIT;
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    struct ask what = {.method = "Cordon",
                       .request = &request.base,
                       .show = show,
                       .data = &request};
    const char *format = NULL;
    const struct option options[] = {
        OUTPUT_OPTION(&format), CONTACT_OPTIONS(&to), {0}};

    if (!verb_parse(words, options) ||
        !output_is_json(words, format, &what.json))
        return words->exit_code;
    request.request_id = &id;
    request.node = words->operands.values[0];
    request.cordoned = cordoned;
    return ask(&to, &what);
}

static int run_cordon(struct words *words)
{
    return set(words, true);
}

static int run_uncordon(struct words *words)
{
    return set(words, false);
}

const struct verb verb_cordon = {
    .name = "cordon",
    .summary = "Place nothing new on a node; what runs there goes on",
    .example = "kctl cordon n2",
    .synopsis = "kctl cordon NODE [-o json]",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_cordon,
};

const struct verb verb_uncordon = {
    .name = "uncordon",
    .summary = "Let a node take new pods again",
    .example = "kctl uncordon n2",
    .synopsis = "kctl uncordon NODE [-o json]",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_uncordon,
};
