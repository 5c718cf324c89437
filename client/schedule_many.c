/* schedule_many.c - the pods of one request, which is acknowledged already.
 *
 * Their ids follow one another, so a pod's place is its id less the first's.
 * What happened is watched from the command that made them on; when so old
 * events are not kept any more, the pods themselves are listed. */
#include "client/schedule_many.h"

#include "base/clock.h"
#include "base/memory.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/watch.h"

#include <inttypes.h>
#include <string.h>

enum { PHASES = KONTOR__V1__POD_PHASE__POD_STOPPED + 1 };

struct many {
    const struct schedule_many *asked;
    struct progress progress;
    char title[2 * 64 + 8];  /* "web-1 ... web-50" */
    uint8_t *phases;         /* owned; of each pod */
    uint32_t count[PHASES];  /* pods in it */
    Kontor__V1__Pod *failed; /* owned: the first that did, or NULL */
};

static uint64_t took_ms(const struct many *many)
{
    return clock_monotonic_ms() - many->asked->started_ms;
}

/* ---- what is known of them ---- */

static bool has_failed(Kontor__V1__PodPhase phase)
{
    return phase == KONTOR__V1__POD_PHASE__POD_BACKOFF ||
           phase >= KONTOR__V1__POD_PHASE__POD_FAILED ||
           phase == KONTOR__V1__POD_PHASE__POD_STOPPING;
}

/* Take in what a pod is like now; it is taken over when it has failed. */
static void note(struct many *many, Kontor__V1__Pod **pod)
{
    uint64_t at = (*pod)->id - many->asked->response->pod->id;
    Kontor__V1__PodPhase phase = show_pod_phase(*pod);

    if (at >= many->asked->pods || (unsigned)phase >= PHASES)
        return;
    many->count[many->phases[at]]--;
    many->phases[at] = (uint8_t)phase;
    many->count[phase]++;
    if (has_failed(phase) && !many->failed) {
        many->failed = *pod;
        *pod = NULL;
    }
}

/* Old events are not kept any more: look at the pods themselves. */
static int catch_up(struct many *many, struct watch *watch, struct error *why)
{
    uint64_t first = many->asked->response->pod->id;
    Kontor__V1__ListPodsRequest request = KONTOR__V1__LIST_PODS_REQUEST__INIT;

    request.all = true;
    request.page_token = first - 1;
    watch_fini(watch);
    watch->seen = 0;
    watch->last_index = 0;
    do {
        ProtobufCMessage *message;
        const Kontor__V1__ListPodsResponse *page;

        if (contact_call(many->asked->contact, "ListPods", &request.base,
                         &message, why) != 0)
            return (int)why->code;
        page = (const Kontor__V1__ListPodsResponse *)message;
        for (size_t i = 0; i < page->n_pods; i++)
            note(many, &page->pods[i]);
        if (watch->last_index == 0)
            watch->last_index = page->index;
        request.page_token = page->next_page_token;
        message_free(message);
    } while (request.page_token &&
             request.page_token < first + many->asked->pods - 1);
    return 0;
}

/* ---- what is said of them ---- */

/* "web-1 ... web-50  30 running, 18 pulling, 2 pending" */
static void tell(struct many *many)
{
    char line[PROGRESS_LINE_MAX];
    size_t used = (size_t)snprintf(line, sizeof line, "%s ", many->title);

    for (int phase = PHASES - 1; phase >= 0; phase--)
        if (many->count[phase] > 0 && used < sizeof line)
            used += (size_t)snprintf(
                &line[used], sizeof line - used, "%s %u %s",
                line[used - 1] == ' ' ? "" : ",", many->count[phase],
                show_phase((Kontor__V1__PodPhase)phase));
    progress_update(&many->progress, line, clock_monotonic_ms());
}

static void print_json(const struct many *many)
{
    if (many->asked->json)
        output_message(&many->asked->response->base);
}

/* The last line, on stdout. */
static int end(struct many *many, const char *what)
{
    char text[PROGRESS_LINE_MAX];
    char line[PROGRESS_LINE_MAX];

    progress_clear(&many->progress);
    print_json(many);
    snprintf(text, sizeof text, "%s  %s", many->title, what);
    if (!many->asked->json)
        output_line(stdout, "%s", progress_timed(line, text, took_ms(many)));
    return EXIT_CODE_DONE;
}

static int fail(struct many *many)
{
    Kontor__V1__PodPhase phase = show_pod_phase(many->failed);
    char reason[SHOW_REASON_MAX];

    progress_clear(&many->progress);
    print_json(many);
    fflush(stdout);
    show_pod_reason(reason, many->failed);
    output_line(stderr, "kctl: %s %s%s%s; the others go on (kctl get pods)",
                many->failed->name,
                phase == KONTOR__V1__POD_PHASE__POD_BACKOFF ? "does not stay up"
                : phase == KONTOR__V1__POD_PHASE__POD_FAILED ? "failed"
                                                             : "was stopped",
                reason[0] ? ": " : "", reason);
    return EXIT_CODE_FAILED;
}

static int give_up(struct many *many, const struct error *why)
{
    const uint32_t pending = many->count[KONTOR__V1__POD_PHASE__POD_PENDING];
    const char *first = many->asked->response->pod->name;
    char took[QUANTITY_TEXT_MAX];

    progress_clear(&many->progress);
    if (why->code == ERROR_CANCELLED) {
        output_line(stderr, "kctl: interrupted; %s go on (kctl get pods)",
                    many->title);
        return EXIT_CODE_INTERRUPTED;
    }
    if (why->code != ERROR_DEADLINE_EXCEEDED)
        return exit_report(why);
    print_json(many);
    fflush(stdout);
    quantity_format_duration(took, took_ms(many));
    if (pending > 0) {
        output_line(stderr,
                    "kctl: %u of %s fit nowhere after %s; they stay queued "
                    "(kctl get pods, kctl why %s)",
                    pending, many->title, took, first);
        return EXIT_CODE_UNSCHEDULABLE;
    }
    output_line(stderr,
                "kctl: not all of %s run after %s; they go on (kctl "
                "get pods)",
                many->title, took);
    return EXIT_CODE_TIMEOUT;
}

/* ---- until all run ---- */

static bool all_run(const struct many *many)
{
    return many->count[KONTOR__V1__POD_PHASE__POD_RUNNING] +
               many->count[KONTOR__V1__POD_PHASE__POD_SUCCEEDED] ==
           many->asked->pods;
}

static int follow(struct many *many)
{
    const Kontor__V1__ScheduleResponse *response = many->asked->response;
    const Kontor__V1__PodSpec *spec = response->pod->spec;
    struct watch watch = {.contact = many->asked->contact,
                          .pod = "",
                          .app = spec ? spec->app : "",
                          .last_index = response->index - 1};
    struct error why = {0};

    while (!all_run(many) && !many->failed && why.code == 0) {
        Kontor__V1__Event *event;
        int code = watch_next(&watch, many->asked->deadline_ms, &event, &why);

        if (code == ERROR_OUT_OF_RANGE) {
            error_clear(&why);
            catch_up(many, &watch, &why);
        } else if (code == 0) {
            error_clear(&why);
            if (event->pod)
                note(many, &event->pod);
            message_free(&event->base);
        }
        tell(many);
    }
    watch_fini(&watch);
    if (why.code != 0)
        return give_up(many, &why);
    return many->failed ? fail(many) : end(many, "running");
}

int schedule_many(const struct schedule_many *asked)
{
    const Kontor__V1__ScheduleResponse *response = asked->response;
    struct many many = {.asked = asked};
    char text[PROGRESS_LINE_MAX];
    int code;

    snprintf(many.title, sizeof many.title, "%.63s ... %.63s",
             response->pod->name, response->last_pod);
    snprintf(text, sizeof text,
             "%u placed, %u pending (index %" PRIu64 ", term %" PRIu64 ")",
             response->placed, asked->pods - response->placed, response->index,
             response->term);
    progress_init(&many.progress, stderr);
    if (asked->detach)
        return end(&many, text);
    output_line(stderr, "%s  %s", many.title, text);
    many.phases = memory_new(asked->pods); /* all pending, before the events */
    many.count[KONTOR__V1__POD_PHASE__POD_PENDING] = asked->pods;
    code = follow(&many);
    if (many.failed)
        message_free(&many.failed->base);
    free(many.phases);
    return code;
}
