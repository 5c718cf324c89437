#include "base/clock.h"
#include "client/describe.h"
#include "client/events.h"
#include "client/exit.h"
#include "client/json.h"
#include "client/output.h"
#include "client/show.h"
#include "client/verbs.h"

#include <inttypes.h>

void describe_line(const char *label, const char *format, ...)
{
    char *text;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    output_line(stdout, "%-12s %s", label, text);
    free(text);
}

static void print_words(const char *label, size_t count, char *const *words)
{
    printf("%-12s", label);
    for (size_t i = 0; i < count; i++)
        printf(" %s", terminal_clean(words[i]));
    putchar('\n');
}

/* Where it may go. */
static void print_rules(const Kontor__V1__PodSpec *spec)
{
    char text[SHOW_REASON_MAX];

    if (spec->node[0])
        describe_line("only on", "%s", spec->node);
    for (size_t i = 0; i < spec->n_constraints; i++)
        describe_line("constraint", "%s",
                      show_constraint(text, spec->constraints[i]));
    if (spec->spread[0])
        describe_line("spread over", "%s", spec->spread);
    if (spec->n_anti > 0)
        print_words("not beside", spec->n_anti, spec->anti);
    if (spec->n_with > 0)
        print_words("beside", spec->n_with, spec->with);
    if (spec->n_tolerations > 0)
        describe_line(
            "tolerates", "%s",
            show_labels(text, spec->tolerations, spec->n_tolerations));
    if (spec->priority != 0)
        describe_line("priority", "%d", (int)spec->priority);
}

static void print_spec(const Kontor__V1__PodSpec *spec)
{
    char text[SHOW_REASON_MAX];
    char policy[JSON_ENUM_MAX];

    describe_line("asks for", "%s", show_resources(text, spec->resources));
    if (spec->io_bytes)
        describe_line("io limit", "%s a second, each of read and written",
                      quantity_format_bytes(text, spec->io_bytes));
    print_rules(spec);
    for (size_t i = 0; i < spec->n_containers; i++) {
        const Kontor__V1__ContainerSpec *container = spec->containers[i];

        if (spec->n_containers > 1)
            describe_line(container->init ? "init" : "container", "%s",
                          container->name);
        describe_line("image", "%s", container->image);
        if (container->limits)
            describe_line("limits", "%s",
                          show_resources(text, container->limits));
        if (container->n_command > 0)
            print_words("command", container->n_command, container->command);
        if (container->n_env > 0)
            print_words("env", container->n_env, container->env);
    }
    describe_line("restart", "%s",
                  json_enum_name(policy,
                                 &kontor__v1__restart_policy__descriptor,
                                 (int)spec->restart));
    if (spec->stop_grace_ms > 0)
        describe_line("stop grace", "%s",
                      quantity_format_duration(text, spec->stop_grace_ms));
}

static void print_status(const Kontor__V1__PodStatus *status)
{
    char text[SHOW_TEXT_MAX];
    bool ran = status->started_at_ms > 0;
    bool runs = status->phase == KONTOR__V1__POD_PHASE__POD_RUNNING;

    if (status->address[0])
        describe_line("address", "%s", status->address);
    if (runs)
        describe_line("ready", "%s", status->ready ? "yes" : "no");
    if (runs && status->pid > 0)
        describe_line("pid", "%d", (int)status->pid);
    describe_line("restarts", "%u", status->restarts);
    if (ran)
        describe_line("started", "%s", show_time(text, status->started_at_ms));
    if (ran && status->finished_at_ms > 0)
        describe_line("finished", "%s",
                      show_time(text, status->finished_at_ms));
    if (ran && (status->finished_at_ms > 0 || status->restarts > 0))
        describe_line("last exit", "code %d%s%s", (int)status->exit_code,
                      status->signal ? ", by a signal" : "",
                      status->oom_killed ? ", out of memory" : "");
    if (status->pull_total_bytes > 0)
        describe_line("pulled", "%s",
                      show_progress(text, status->pulled_bytes,
                                    status->pull_total_bytes));
}

/* "web  running, ready, 2 restarts, since 10:02:17" and how it ended. */
static void print_container(const Kontor__V1__ContainerStatus *status)
{
    char state[JSON_ENUM_MAX];
    char when[SHOW_TEXT_MAX] = "";

    if (status->finished_at_ms || status->started_at_ms)
        show_time(when, status->finished_at_ms ? status->finished_at_ms
                                               : status->started_at_ms);
    describe_line(status->init ? "init" : "container",
                  "%s  %s%s, %u restarts%s%s%s%s", status->name,
                  json_enum_name(state,
                                 &kontor__v1__container_state__descriptor,
                                 (int)status->state),
                  status->ready ? ", ready" : "", status->restarts,
                  when[0] ? ", since " : "", when,
                  status->reason[0] ? ": " : "", status->reason);
}

static void print_pod(const Kontor__V1__Pod *pod)
{
    char reason[SHOW_REASON_MAX];
    char when[SHOW_TEXT_MAX];
    Kontor__V1__PodPhase phase = show_pod_phase(pod);
    bool colours = output_colours(stdout);

    describe_line("name", "%s", pod->name);
    printf("%-12s %s%s%s%s\n", "status",
           colour_start(show_phase_colour(phase), colours), show_phase(phase),
           colour_end(show_phase_colour(phase), colours),
           pod->stop_requested && !show_phase_is_final(phase)
               ? ", asked to stop"
               : "");
    if (show_pod_reason(reason, pod)[0])
        describe_line("reason", "%s", reason);
    describe_line("node", "%s", pod->node[0] ? pod->node : "-");
    describe_line("created", "%s", show_time(when, pod->created_at_ms));
    describe_line("changed at", "index %" PRIu64, pod->changed_index);
    if (pod->spec)
        print_spec(pod->spec);
    if (!pod->status)
        return;
    print_status(pod->status);
    for (size_t i = 0; i < pod->status->n_containers; i++)
        print_container(pod->status->containers[i]);
}

/* Bounded: a pod that restarts for days has many. */
enum { EVENTS_SHOWN = 20 };

/* The pod's last events as far as they are kept. */
static int print_events(struct contact *contact, const char *pod,
                        struct error *why)
{
    struct watch watch = {.contact = contact, .pod = pod, .until_now = true};
    Kontor__V1__Event *kept[EVENTS_SHOWN] = {0};
    Kontor__V1__Event *event = NULL;
    uint64_t deadline_ms = contact_deadline(contact);
    size_t count = 0;
    int code;

    while ((code = watch_next(&watch, deadline_ms, &event, why)) == 0 &&
           event) {
        if (kept[count % EVENTS_SHOWN])
            message_free(&kept[count % EVENTS_SHOWN]->base);
        kept[count++ % EVENTS_SHOWN] = event;
    }
    watch_fini(&watch);
    if (count > 0)
        printf("\nevents\n");
    for (size_t i = 0; i < EVENTS_SHOWN; i++) {
        event = kept[(count + i) % EVENTS_SHOWN];
        if (!event)
            continue;
        events_print(event, stdout);
        message_free(&event->base);
    }
    return code;
}

static int describe(struct contact *contact, const char *name, bool json,
                    struct error *why)
{
    Kontor__V1__GetPodRequest request = KONTOR__V1__GET_POD_REQUEST__INIT;
    const Kontor__V1__Pod *pod;
    ProtobufCMessage *response;
    int code = 0;

    request.pod = message_text(name);
    if (contact_call(contact, "GetPod", &request.base, &response, why) != 0)
        return (int)why->code;
    pod = ((const Kontor__V1__GetPodResponse *)response)->pod;
    if (!pod) {
        code = error_set(why, ERROR_INTERNAL, "the answer holds no pod");
    } else if (json) {
        output_message(&pod->base);
    } else {
        print_pod(pod);
        code = print_events(contact, pod->name, why);
    }
    message_free(response);
    return code;
}

static int run(struct words *words)
{
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    const char *format = NULL;
    const struct option options[] = {
        OUTPUT_OPTION(&format), CONTACT_OPTIONS(&to), {0}};
    struct contact *contact;
    struct error why;
    bool json;
    int code;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (contact_open(&contact, &to, &why) != 0)
        return exit_report(&why);
    code = describe(contact, words->operands.values[0], json, &why);
    contact_close(contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_describe_pod = {
    .name = "describe pod",
    .summary = "Show all that is known of a pod, and its last events",
    .example = "kctl describe pod web-1",
    .synopsis = "kctl describe pod POD [-o json]",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
