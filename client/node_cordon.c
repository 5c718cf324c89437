#include "client/ask.h"
#include "client/verbs.h"

static void show(const ProtobufCMessage *response,
                 const ProtobufCMessage *request)
{
    const Kontor__V1__CordonRequest *asked =
        (const Kontor__V1__CordonRequest *)request;

    (void)response;
    printf("%s  %s\n", asked->node,
           asked->cordoned ? "cordoned: takes no new pods"
                           : "takes pods again");
}

static int set(struct words *words, bool cordoned)
{
    Kontor__V1__RequestId id = contact_request_id();
    Kontor__V1__CordonRequest request = KONTOR__V1__CORDON_REQUEST__INIT;
    const struct ask what = {
        "Cordon", &request.base, {&request.node}, show, NULL};

    request.request_id = &id;
    request.cordoned = cordoned;
    return ask(words, &what);
}

static int run_cordon(struct words *words)
{
    return set(words, true);
}

static int run_uncordon(struct words *words)
{
    return set(words, false);
}

const struct verb verb_node_cordon = {
    .name = "node cordon",
    .summary = "Place nothing new on a node; what runs there goes on",
    .example = "kctl node cordon n2",
    .synopsis = "kctl node cordon NODE [-o json]",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_cordon,
};

const struct verb verb_node_uncordon = {
    .name = "node uncordon",
    .summary = "Let a node take new pods again",
    .example = "kctl node uncordon n2",
    .synopsis = "kctl node uncordon NODE [-o json]",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_uncordon,
};
