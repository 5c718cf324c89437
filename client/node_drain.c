/* node drain: one call decides, then the node is watched becoming empty. */
#include "base/clock.h"
#include "client/contact.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/plan_show.h"
#include "client/progress.h"
#include "client/verbs.h"

enum { DRAIN_TIMEOUT_MS = 300000, LOOK_EVERY_MS = 200 };

struct drain {
    struct contact *contact;
    const char *node;
    bool force;
    bool json;
    uint64_t started_ms;
    uint64_t deadline_ms;
    struct progress progress;
    Kontor__V1__GetNodeResponse *seen; /* owned; the newest, or NULL */
};

static void tell_moves(const Kontor__V1__DrainResponse *response)
{
    struct table *table = plan_table_new();

    for (size_t i = 0; i < response->n_moves; i++)
        plan_table_add(table, response->moves[i]);
    if (response->n_moves > 0)
        table_print(table, stdout, output_colours(stdout));
    table_free(table);
    output_flush();
}

/* Decide it all, in one step. */
static int decide(struct drain *drain, struct error *why)
{
    Kontor__V1__DrainRequest request = KONTOR__V1__DRAIN_REQUEST__INIT;
    Kontor__V1__RequestId id = contact_request_id();
    ProtobufCMessage *response;

    request.request_id = &id;
    request.node = message_text(drain->node);
    request.force = drain->force;
    if (contact_call(drain->contact, "Drain", &request.base, &response, why) !=
        0)
        return why->code;
    if (!drain->json)
        tell_moves((const Kontor__V1__DrainResponse *)response);
    message_free(response);
    return 0;
}

static int look(struct drain *drain, struct error *why)
{
    Kontor__V1__GetNodeRequest request = KONTOR__V1__GET_NODE_REQUEST__INIT;
    ProtobufCMessage *response;

    request.node = message_text(drain->node);
    if (contact_call(drain->contact, "GetNode", &request.base, &response,
                     why) != 0)
        return why->code;
    if (drain->seen)
        message_free(&drain->seen->base);
    drain->seen = (Kontor__V1__GetNodeResponse *)response;
    return 0;
}

static uint32_t count_left(const struct drain *drain)
{
    const Kontor__V1__NodeInfo *node = drain->seen->node;

    return node ? node->pods + node->leaving : 0;
}

/* Until nothing is left there. */
static int watch(struct drain *drain, struct error *why)
{
    char line[PROGRESS_LINE_MAX];
    uint64_t now_ms;

    while (look(drain, why) == 0) {
        uint32_t left = count_left(drain);

        if (left == 0)
            return 0;
        now_ms = clock_monotonic_ms();
        if (now_ms >= drain->deadline_ms)
            return error_set(why, ERROR_DEADLINE_EXCEEDED,
                             "%u pods are still on %s", left, drain->node);
        snprintf(line, sizeof line, "%s  %u pods have yet to end", drain->node,
                 left);
        progress_update(&drain->progress, line, now_ms);
        while (!contact_expired(now_ms + LOOK_EVERY_MS))
            if (contact_wait(drain->contact, now_ms + LOOK_EVERY_MS, why) ==
                ERROR_CANCELLED)
                return why->code;
    }
    return why->code;
}

static void tell_left(const struct drain *drain)
{
    for (size_t i = 0; drain->seen && i < drain->seen->n_pods; i++) {
        const Kontor__V1__Pod *pod = drain->seen->pods[i];
        bool once = pod->spec && pod->spec->restart ==
                                     KONTOR__V1__RESTART_POLICY__RESTART_NEVER;

        output_line(stderr, "%s  is still there%s", pod->name,
                    once ? ": it may run only once (--force ends it)" : "");
    }
}

static int finish(struct drain *drain, int code, const struct error *why)
{
    char line[PROGRESS_LINE_MAX], text[PROGRESS_LINE_MAX];

    progress_clear(&drain->progress);
    if (drain->json && drain->seen)
        output_message(&drain->seen->base);
    if (code != 0) {
        tell_left(drain);
        return exit_report(why);
    }
    snprintf(text, sizeof text, "%s  is drained", drain->node);
    progress_timed(line, text, clock_monotonic_ms() - drain->started_ms);
    progress_line(&drain->progress, line);
    return EXIT_CODE_DONE;
}

static int run(struct words *words)
{
    struct contact_options to = {.timeout_ms = DRAIN_TIMEOUT_MS};
    struct drain drain = {0};
    const char *format = NULL;
    const struct option options[] = {
        {"force", OPTION_FLAG, &drain.force, NULL,
         "pods that may run only once fail instead of staying"},
        OUTPUT_OPTION(&format),
        {"config", OPTION_STRING, &to.config, "FILE",
         "which cluster (KONTOR_CONFIG, ~/.kontor/config.json)"},
        {"timeout", OPTION_DURATION, &to.timeout_ms, "TIME",
         "how long to wait for the node to be empty (5m)"},
        {0}};
    struct error why;
    int code;

    if (!verb_parse(words, options) ||
        !output_is_json(words, format, &drain.json))
        return words->exit_code;
    if (contact_open(&drain.contact, &to, &why) != 0)
        return exit_report(&why);
    drain.node = words->operands.values[0];
    drain.started_ms = clock_monotonic_ms();
    drain.deadline_ms = contact_deadline(drain.contact);
    progress_init(&drain.progress, stderr);
    code = decide(&drain, &why);
    if (code == 0)
        code = watch(&drain, &why);
    code = finish(&drain, code, &why);
    if (drain.seen)
        message_free(&drain.seen->base);
    contact_close(drain.contact);
    return code;
}

const struct verb verb_node_drain = {
    .name = "node drain",
    .summary = "Close a node to new pods and move those there elsewhere",
    .example = "kctl node drain n2",
    .synopsis = "kctl node drain NODE [--force] [--timeout TIME] [-o json]",
    .details =
        "Each pod is stopped as by kctl stop and then started on its new node; "
        "one that\nfits nowhere else becomes pending. Pods with --restart "
        "never "
        "go on to their end,\nwhich is waited for, or fail with --force. kctl "
        "plan drain says it before; kctl\nuncordon opens the node again.\n\n"
        "Exit codes: 0 the node is empty, 124 not by the deadline (it goes "
        "on).",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
