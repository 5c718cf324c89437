/* schedule.c - ask for a pod, then watch it until it runs.
 *
 *   Schedule -> placed or pending -> pulling* -> running    exit 0
 *                     |                 `-> failed, backoff     1
 *                     `-> pending at the deadline               3
 */
#include "base/clock.h"
#include "client/exit.h"
#include "client/json.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/schedule_many.h"
#include "client/schedule_request.h"
#include "client/verbs.h"
#include "client/watch.h"

#include <inttypes.h>
#include <string.h>

struct schedule {
    struct contact *contact;
    struct progress progress;
    bool json;
    uint64_t started_ms;        /* monotonic */
    uint64_t deadline_ms;       /* monotonic */
    Kontor__V1__Pod *pod;       /* owned: as it was last seen */
    uint64_t index;             /* of the acknowledgement */
    char told[SHOW_REASON_MAX]; /* last reason for being pending */
};

static uint64_t took_ms(const struct schedule *schedule)
{
    return clock_monotonic_ms() - schedule->started_ms;
}

static void print_json(const struct schedule *schedule)
{
    if (schedule->json)
        output_message(&schedule->pod->base);
}

/* The last line, on stdout: what became of the pod. */
static void print_end(struct schedule *schedule, const char *text)
{
    char line[PROGRESS_LINE_MAX];

    progress_clear(&schedule->progress);
    if (schedule->json)
        print_json(schedule);
    else
        output_line(stdout, "%s",
                    progress_timed(line, text, took_ms(schedule)));
}

static int fail(struct schedule *schedule, const char *what, const char *hint)
{
    char reason[SHOW_REASON_MAX];

    progress_clear(&schedule->progress);
    print_json(schedule);
    show_pod_reason(reason, schedule->pod);
    fflush(stdout);
    output_line(stderr, "kctl: %s %s%s%s%s", schedule->pod->name, what,
                reason[0] ? ": " : "", reason, hint);
    return EXIT_CODE_FAILED;
}

static void tell_pending(struct schedule *schedule)
{
    char reason[SHOW_REASON_MAX];
    char line[PROGRESS_LINE_MAX];

    show_pod_reason(reason, schedule->pod);
    if (schedule->told[0] && strcmp(reason, schedule->told) == 0)
        return;
    memcpy(schedule->told, reason, sizeof reason);
    snprintf(line, sizeof line, "%s  pending: %s", schedule->pod->name, reason);
    progress_line(&schedule->progress, line);
}

static void tell_pulling(struct schedule *schedule)
{
    const Kontor__V1__PodStatus *status = schedule->pod->status;
    char amount[SHOW_TEXT_MAX];
    char line[PROGRESS_LINE_MAX];

    show_progress(amount, status->pulled_bytes, status->pull_total_bytes);
    snprintf(line, sizeof line, "%s  pulling%s%s", schedule->pod->name,
             amount[0] ? " " : "", amount);
    progress_update(&schedule->progress, line, clock_monotonic_ms());
}

/* A pod that was pending, or lost its node, has one now. */
static void tell_placed(struct schedule *schedule)
{
    char text[PROGRESS_LINE_MAX];
    char line[PROGRESS_LINE_MAX];

    if (!schedule->told[0])
        return;
    schedule->told[0] = '\0';
    snprintf(text, sizeof text, "%s  placed on %s", schedule->pod->name,
             schedule->pod->node);
    progress_line(&schedule->progress,
                  progress_timed(line, text, took_ms(schedule)));
}

enum { GO_ON = -1 };

/* Say what the pod's phase says; GO_ON or the exit code. */
static int look(struct schedule *schedule)
{
    const Kontor__V1__Pod *pod = schedule->pod;
    Kontor__V1__PodPhase phase = show_pod_phase(pod);
    char text[SHOW_REASON_MAX];

    if (phase != KONTOR__V1__POD_PHASE__POD_PENDING)
        tell_placed(schedule);
    if (phase == KONTOR__V1__POD_PHASE__POD_PENDING) {
        tell_pending(schedule);
    } else if (phase == KONTOR__V1__POD_PHASE__POD_PULLING) {
        tell_pulling(schedule);
    } else if (phase == KONTOR__V1__POD_PHASE__POD_RUNNING) {
        snprintf(text, sizeof text, "%s  running  %s", pod->name,
                 pod->status->address);
        print_end(schedule, text);
        return EXIT_CODE_DONE;
    } else if (phase == KONTOR__V1__POD_PHASE__POD_SUCCEEDED) {
        snprintf(text, sizeof text, "%s  succeeded", pod->name);
        print_end(schedule, text);
        return EXIT_CODE_DONE;
    } else if (phase == KONTOR__V1__POD_PHASE__POD_BACKOFF) {
        return fail(schedule, "does not stay up",
                    "; it is tried again until it is stopped (kctl logs, "
                    "kctl stop)");
    } else if (phase == KONTOR__V1__POD_PHASE__POD_FAILED) {
        return fail(schedule, "failed", "");
    } else if (phase == KONTOR__V1__POD_PHASE__POD_STOPPING ||
               phase == KONTOR__V1__POD_PHASE__POD_STOPPED) {
        return fail(schedule, "was stopped", "");
    }
    return GO_ON;
}

/* Take the pod over from a message that is about to be freed. */
static void replace_pod(struct schedule *schedule, Kontor__V1__Pod **pod)
{
    if (!*pod)
        return;
    if (schedule->pod)
        message_free(&schedule->pod->base);
    schedule->pod = *pod;
    *pod = NULL;
}

/* Old events are not kept any more: look at the pod itself. */
static int catch_up(struct schedule *schedule, struct watch *watch,
                    struct error *why)
{
    Kontor__V1__GetPodRequest request = KONTOR__V1__GET_POD_REQUEST__INIT;
    ProtobufCMessage *response;

    request.pod = schedule->pod->name;
    if (contact_call(schedule->contact, "GetPod", &request.base, &response,
                     why) != 0)
        return (int)why->code;
    replace_pod(schedule, &((Kontor__V1__GetPodResponse *)response)->pod);
    message_free(response);
    watch_fini(watch);
    watch->seen = 0;
    watch->last_index = schedule->pod->changed_index;
    return 0;
}

static int give_up(struct schedule *schedule, struct error *why)
{
    const char *name = schedule->pod->name;
    Kontor__V1__PodPhase phase = show_pod_phase(schedule->pod);
    char reason[SHOW_REASON_MAX];
    char text[SHOW_REASON_MAX];

    progress_clear(&schedule->progress);
    if (why->code == ERROR_CANCELLED) {
        output_line(stderr, "kctl: interrupted; %s goes on (kctl stop %s)",
                    name, name);
        return EXIT_CODE_INTERRUPTED;
    }
    if (why->code != ERROR_DEADLINE_EXCEEDED)
        return exit_report(why);
    print_json(schedule);
    quantity_format_duration(text, took_ms(schedule));
    fflush(stdout);
    if (phase == KONTOR__V1__POD_PHASE__POD_PENDING) {
        output_line(stderr,
                    "kctl: %s fits nowhere after %s; it stays queued (kctl "
                    "why %s, kctl stop %s)",
                    name, text, name, name);
        return EXIT_CODE_UNSCHEDULABLE;
    }
    show_pod_reason(reason, schedule->pod);
    output_line(stderr,
                "kctl: %s is %s after %s%s%s; it goes on (kctl get pods)", name,
                show_phase(phase), text, reason[0] ? ": " : "", reason);
    return EXIT_CODE_TIMEOUT;
}

static int follow(struct schedule *schedule)
{
    CLEANUP(free_pointer) char *name = strdup(schedule->pod->name);
    struct watch watch = {.contact = schedule->contact,
                          .pod = name,
                          .last_index = schedule->index};
    int result = look(schedule);

    while (result == GO_ON) {
        Kontor__V1__Event *event;
        struct error why;
        int code = watch_next(&watch, schedule->deadline_ms, &event, &why);

        if (code == ERROR_OUT_OF_RANGE)
            code = catch_up(schedule, &watch, &why);
        else if (code == 0) {
            replace_pod(schedule, &event->pod);
            message_free(&event->base);
        }
        result = code == 0 ? look(schedule) : give_up(schedule, &why);
    }
    watch_fini(&watch);
    return result;
}

/* "web-1  placed on n2 (index 48213, term 7)                  3 ms" */
static void tell_acknowledged(struct schedule *schedule,
                              const Kontor__V1__ScheduleResponse *response,
                              bool detach)
{
    char text[PROGRESS_LINE_MAX];
    char line[PROGRESS_LINE_MAX];

    if (!schedule->pod->node[0] && !detach) {
        tell_pending(schedule);
        return;
    }
    if (schedule->pod->node[0])
        snprintf(text, sizeof text,
                 "%s  placed on %s (index %" PRIu64 ", term %" PRIu64 ")",
                 schedule->pod->name, schedule->pod->node, response->index,
                 response->term);
    else
        snprintf(text, sizeof text,
                 "%s  pending (index %" PRIu64 ", term %" PRIu64 ")",
                 schedule->pod->name, response->index, response->term);
    progress_timed(line, text, took_ms(schedule));
    if (detach && !schedule->json)
        output_line(stdout, "%s", line);
    else
        progress_line(&schedule->progress, line);
}

/* A request that was cut short may have been accepted all the same. */
static int not_acknowledged(const struct error *why)
{
    int code = exit_report(why);

    if (why->code == ERROR_CANCELLED || why->code == ERROR_DEADLINE_EXCEEDED)
        fprintf(stderr, "kctl: it may have been accepted (kctl get pods)\n");
    return code;
}

static int schedule_pod(struct schedule *schedule,
                        const struct schedule_request *request, bool detach)
{
    ProtobufCMessage *message;
    Kontor__V1__ScheduleResponse *response;
    struct error why;
    int code;

    if (contact_call(schedule->contact, "Schedule", &request->request.base,
                     &message, &why) != 0)
        return not_acknowledged(&why);
    response = (Kontor__V1__ScheduleResponse *)message;
    if (!response->pod) {
        error_set(&why, ERROR_INTERNAL, "the answer holds no pod");
        message_free(message);
        return exit_report(&why);
    }
    if (request->request.replicas > 1) {
        code = schedule_many(&(struct schedule_many){
            .contact = schedule->contact,
            .response = response,
            .pods = request->request.replicas,
            .json = schedule->json,
            .detach = detach,
            .started_ms = schedule->started_ms,
            .deadline_ms = schedule->deadline_ms,
        });
        message_free(message);
        return code;
    }
    schedule->index = response->index;
    replace_pod(schedule, &response->pod);
    tell_acknowledged(schedule, response, detach);
    message_free(message);
    if (detach)
        print_json(schedule);
    code = detach ? EXIT_CODE_DONE : follow(schedule);
    message_free(&schedule->pod->base);
    return code;
}

static int run(struct words *words)
{
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    struct schedule_options asked;
    struct schedule_request request;
    struct schedule schedule = {0};
    const char *format = NULL;
    struct schedule_count count = {.replicas = 1};
    bool detach = false;
    const struct option options[] = {
        SCHEDULE_OPTIONS(&asked),
        COUNT_OPTIONS(&count),
        {"d|detach", OPTION_FLAG, &detach, NULL,
         "return when the request is acknowledged"},
        OUTPUT_OPTION(&format),
        CONTACT_OPTIONS(&to),
        {0}};
    struct error why;
    int code;

    schedule_options_init(&asked);
    if (!verb_parse(words, options) ||
        !output_is_json(words, format, &schedule.json))
        return words->exit_code;
    if (schedule_count_check(&count, &why) != 0 ||
        schedule_request_make(&request, &asked, &words->operands, &why) != 0)
        return exit_report(&why);
    request.request.replicas = (uint32_t)count.replicas;
    request.request.gang = count.gang;
    if (contact_open(&schedule.contact, &to, &why) != 0) {
        schedule_request_fini(&request);
        return exit_report(&why);
    }
    request.id = contact_request_id();
    progress_init(&schedule.progress, stderr);
    schedule.started_ms = clock_monotonic_ms();
    schedule.deadline_ms = schedule.started_ms + to.timeout_ms;
    code = schedule_pod(&schedule, &request, detach);
    contact_close(schedule.contact);
    schedule_request_fini(&request);
    return code;
}

const struct verb verb_schedule = {
    .name = "schedule",
    .summary = "Run an image on the cluster",
    .example = "kctl schedule registry.local:5000/web:1 --cpu 2 --mem 1G "
               "--name web\n"
               "kctl schedule oci:/images/job:1 --restart never -- /bin/work "
               "--once\n"
               "kctl schedule registry.local:5000/web:1 --name web --replicas "
               "50\n"
               "kctl schedule web:1 --constraint 'zone in (a,b)' --spread "
               "zone\n"
               "kctl schedule -f pod.yaml",
    .synopsis = "kctl schedule IMAGE [OPTIONS] [-- COMMAND...]\n"
                "       kctl schedule -f FILE [OPTIONS]",
    .details =
        "Returns when the pod runs (or has ended well, for a job). Words "
        "after -- replace\nthe image's command. In bytes K, M and G are "
        "binary and GB is decimal. A SELECTOR may\nalso be 'K not in (A,B)'; "
        "kctl node label and kctl node taint say what nodes have.\nA pod of a "
        "higher --priority that fits nowhere takes the room of lower ones, "
        "which\nwait again.\n\n--replicas makes all pods "
        "by one commit: each is acknowledged, or none. With --gang\nthey wait "
        "together until all fit; later each is on its own: one that loses its "
        "node\nis placed anew by itself.\n\nExit codes: 0 runs, 1 failed, 3 "
        "fits "
        "nowhere by the deadline (it stays queued),\n124 not up by the "
        "deadline (it goes on).",
    .operands_min = 0,
    .operands_max = 1,
    .takes_rest = true,
    .run = run,
};
