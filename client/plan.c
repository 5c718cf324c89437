/* plan schedule, drain, lose, add: what would happen, without doing it. */
#include "client/plan.h"

#include "base/label.h"
#include "base/quantity.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/plan_show.h"
#include "client/schedule_request.h"
#include "client/verbs.h"

#include <inttypes.h>
#include <string.h>

/* What of the request the answer is not about; NULL: nothing. */
static const char *passed_over(const Kontor__V1__PlanRequest *request,
                               const Kontor__V1__PlanResponse *plan)
{
    const Kontor__V1__ScheduleRequest *schedule = request->schedule;

    if (schedule && plan->placed + plan->pending < schedule->replicas)
        return "--replicas";
    if ((request->add_count > 1 || request->n_add_labels > 0) &&
        plan->nodes_added == 0)
        return "--count and --label";
    if (request->rebalance && request->rebalance->even && !plan->even_before)
        return "--even";
    return NULL;
}

int plan_ask(struct contact *contact, const Kontor__V1__PlanRequest *request,
             ProtobufCMessage **response, struct error *why)
{
    ProtobufCMessage *plan;
    const char *what;
    int code = contact_call(contact, "Plan", &request->base, &plan, why);

    if (code != 0)
        return code;
    what = passed_over(request, (const Kontor__V1__PlanResponse *)plan);
    if (!what) {
        *response = plan;
        return 0;
    }
    message_free(plan);
    error_set(why, ERROR_UNIMPLEMENTED,
              "the leader runs an older program: it does not know %s", what);
    return ERROR_UNIMPLEMENTED;
}

int plan_run(struct plan_verb *verb)
{
    const Kontor__V1__PlanResponse *plan;
    ProtobufCMessage *response;
    struct contact *contact;
    struct error why;
    bool fits;

    if (contact_open(&contact, &verb->to, &why) != 0)
        return exit_report(&why);
    if (plan_ask(contact, &verb->request, &response, &why) != 0) {
        contact_close(contact);
        return exit_report(&why);
    }
    plan = (const Kontor__V1__PlanResponse *)response;
    fits = plan->pending == 0 || verb->request.add;
    if (verb->json)
        output_message(response);
    else
        plan_show(plan);
    message_free(response);
    contact_close(contact);
    return fits ? EXIT_CODE_DONE : EXIT_CODE_UNSCHEDULABLE;
}

static int run_schedule(struct words *words)
{
    struct plan_verb verb = PLAN_VERB_INIT;
    struct schedule_options asked;
    struct schedule_request request;
    struct schedule_count count = {.replicas = 1};
    const struct option options[] = {SCHEDULE_OPTIONS(&asked),
                                     COUNT_OPTIONS(&count),
                                     PLAN_OPTIONS(&verb),
                                     {0}};
    struct error why;
    int code;

    schedule_options_init(&asked);
    if (!plan_parse(words, options, &verb))
        return words->exit_code;
    if (schedule_count_check(&count, &why) != 0 ||
        schedule_request_make(&request, &asked, &words->operands, &why) != 0)
        return exit_report(&why);
    request.request.replicas = (uint32_t)count.replicas;
    request.request.gang = count.gang;
    verb.request.schedule = &request.request;
    code = plan_run(&verb);
    schedule_request_fini(&request);
    return code;
}

static int run_drain(struct words *words)
{
    struct plan_verb verb = PLAN_VERB_INIT;
    Kontor__V1__DrainRequest drain = KONTOR__V1__DRAIN_REQUEST__INIT;
    bool force = false;
    const struct option options[] = {
        {"force", OPTION_FLAG, &force, NULL,
         "pods that may run only once fail instead of staying"},
        PLAN_OPTIONS(&verb),
        {0}};

    if (!plan_parse(words, options, &verb))
        return words->exit_code;
    drain.node = words->operands.values[0];
    drain.force = force;
    verb.request.drain = &drain;
    return plan_run(&verb);
}

static int run_lose(struct words *words)
{
    struct plan_verb verb = PLAN_VERB_INIT;
    const struct option options[] = {PLAN_OPTIONS(&verb), {0}};

    if (!plan_parse(words, options, &verb))
        return words->exit_code;
    verb.request.lose = words->operands.values[0];
    return plan_run(&verb);
}

/* ---- add ---- */

/* One of "cpu=8" and so on; `part` is cut in two. */
static int parse_part(char *part, Kontor__V1__Resources *out, struct error *why)
{
    char *value = strchr(part, '=');
    int code;

    if (!value)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is not like cpu=8", part);
    *value++ = '\0';
    if (strcmp(part, "cpu") == 0)
        code = quantity_parse_cpu(value, &out->cpu_milli, why);
    else if (strcmp(part, "mem") == 0)
        code = quantity_parse_bytes(value, &out->memory_bytes, why);
    else if (strcmp(part, "disk") == 0)
        code = quantity_parse_bytes(value, &out->disk_bytes, why);
    else if (strcmp(part, "net") == 0)
        code = quantity_parse_net(value, &out->net_bits, why);
    else
        code = error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is none of cpu, mem, disk and net", part);
    return code;
}

static int parse_node(char *text, Kontor__V1__Resources *out, struct error *why)
{
    char *rest = NULL;

    for (char *part = strtok_r(text, ",", &rest); part;
         part = strtok_r(NULL, ",", &rest))
        if (parse_part(part, out, why) != 0)
            return why->code;
    if (out->cpu_milli == 0 || out->memory_bytes == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a node has cpu and mem: cpu=8,mem=32G");
    return 0;
}

/* Labels as messages. */
struct new_labels {
    struct label parsed[LABELS_MAX];
    Kontor__V1__Label messages[LABELS_MAX];
    Kontor__V1__Label *pointers[LABELS_MAX];
};

static int read_labels(const struct option_strings *texts,
                       struct new_labels *labels,
                       Kontor__V1__PlanRequest *request, struct error *why)
{
    if (labels_parse(texts->values, texts->count, labels->parsed, why) != 0)
        return error_wrap(why, "--label");
    for (size_t i = 0; i < texts->count; i++) {
        kontor__v1__label__init(&labels->messages[i]);
        labels->messages[i].key = labels->parsed[i].key;
        labels->messages[i].value = labels->parsed[i].value;
        labels->pointers[i] = &labels->messages[i];
    }
    request->add_labels = labels->pointers;
    request->n_add_labels = texts->count;
    return 0;
}

static int run_add(struct words *words)
{
    struct plan_verb verb = PLAN_VERB_INIT;
    Kontor__V1__Resources node = KONTOR__V1__RESOURCES__INIT;
    struct option_strings texts = {0};
    struct new_labels labels;
    uint64_t count = 1;
    const struct option options[] = {
        {"label", OPTION_STRINGS, &texts, "K=V",
         "a label of the node; repeatable"},
        {"count", OPTION_NUMBER, &count, "N", "so many such nodes (1)"},
        PLAN_OPTIONS(&verb),
        {0}};
    struct error why;

    if (!plan_parse(words, options, &verb))
        return words->exit_code;
    if (parse_node(words->operands.values[0], &node, &why) != 0 ||
        read_labels(&texts, &labels, &verb.request, &why) != 0)
        return exit_report(&why);
    if (count == 0 || count > UINT32_MAX) {
        error_set(&why, ERROR_INVALID_ARGUMENT, "--count %" PRIu64 ": %s",
                  count, count ? "that is too many" : "1 or more");
        return exit_report(&why);
    }
    verb.request.add = &node;
    verb.request.add_count = (uint32_t)count;
    return plan_run(&verb);
}

bool plan_parse(struct words *words, const struct option *options,
                struct plan_verb *verb)
{
    struct error why;

    if (!verb_parse(words, options) ||
        !output_is_json(words, verb->format, &verb->json))
        return false;
    if (verb->page > UINT32_MAX) {
        error_set(&why, ERROR_INVALID_ARGUMENT, "--limit: that is too many");
        words->exit_code = exit_report(&why);
        return false;
    }
    verb->request.page_size = (uint32_t)verb->page;
    return true;
}

#define CHANGES_NOTHING                                                     \
    "Nothing is changed. The answer is of the leader's exact state at one " \
    "index.\n\nExit codes: 0 all would fit, 3 something would fit nowhere."

const struct verb verb_plan_schedule = {
    .name = "plan schedule",
    .summary = "Say where a pod would be placed, without doing it",
    .example = "kctl plan schedule registry.local:5000/web:1 --cpu 2 --mem "
               "1G\n"
               "kctl plan schedule web:1 --replicas 50 --gang --priority 10",
    .synopsis = "kctl plan schedule IMAGE [OPTIONS] [-- COMMAND...]\n"
                "       kctl plan schedule -f FILE [OPTIONS]",
    .details = "Told are each pod with its node, or why it would wait, and "
               "pods of lower\npriority that would make room, with what would "
               "become of them.\n\n" CHANGES_NOTHING,
    .operands_min = 0,
    .operands_max = 1,
    .takes_rest = true,
    .run = run_schedule,
};

const struct verb verb_plan_drain = {
    .name = "plan drain",
    .summary = "Say where a node's pods would go if it were drained",
    .example = "kctl plan drain n2",
    .synopsis = "kctl plan drain NODE [--force] [-o json]",
    .details = CHANGES_NOTHING,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_drain,
};

const struct verb verb_plan_lose = {
    .name = "plan lose",
    .summary = "Say what would happen if a node were lost",
    .example = "kctl plan lose n2",
    .synopsis = "kctl plan lose NODE [-o json]",
    .details = CHANGES_NOTHING,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_lose,
};

const struct verb verb_plan_add = {
    .name = "plan add",
    .summary = "Say which pending pods a node more would take",
    .example = "kctl plan add cpu=8,mem=32G\n"
               "kctl plan add cpu=8,mem=32G --count 3 --label zone=a",
    .synopsis = "kctl plan add cpu=N,mem=N[,disk=N,net=N] [--count N] "
                "[--label K=V]... [-o json]",
    .details = "Its knode would know all that there is (kontor.io labels). "
               "Nothing is changed.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_add,
};
