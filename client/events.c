#include "client/events.h"

#include "base/clock.h"
#include "client/exit.h"
#include "client/json.h"
#include "client/output.h"
#include "client/show.h"
#include "client/verbs.h"

#include <inttypes.h>

void events_print(const Kontor__V1__Event *event, FILE *out)
{
    char when[SHOW_TEXT_MAX];
    char kind[JSON_ENUM_MAX];

    output_line(out, "%-8" PRIu64 " %s  %-18s %-10s %s", event->index,
                show_time(when, event->time_ms),
                json_enum_name(kind, &kontor__v1__event_kind__descriptor,
                               (int)event->kind),
                event->subject, event->message);
}

/* Where the present ends: the index to watch from. */
static int present_index(struct contact *contact, uint64_t *index,
                         struct error *why)
{
    Kontor__V1__ListNodesRequest request = KONTOR__V1__LIST_NODES_REQUEST__INIT;
    ProtobufCMessage *response;

    if (contact_call(contact, "ListNodes", &request.base, &response, why) != 0)
        return (int)why->code;
    *index = ((const Kontor__V1__ListNodesResponse *)response)->index;
    message_free(response);
    return 0;
}

/* Print one event and free it. False: nobody reads on. */
static bool put(Kontor__V1__Event *event, bool json)
{
    if (json)
        output_message_line(&event->base);
    else
        events_print(event, stdout);
    message_free(&event->base);
    return output_flush();
}

/* Some events are not kept any more: go on with the present. */
static int skip(struct watch *watch, struct error *why)
{
    watch_fini(watch);
    if (present_index(watch->contact, &watch->last_index, why) != 0)
        return (int)why->code;
    fprintf(stderr,
            "kctl: some events are not kept any more; going on at index "
            "%" PRIu64 "\n",
            watch->last_index);
    watch->seen = 0;
    return 0;
}

static int follow(struct watch *watch, bool json, struct error *why)
{
    bool looks = !watch->until_now; /* a watch may be quiet for long */

    for (;;) {
        uint64_t deadline_ms = looks ? clock_monotonic_ms() + OUTPUT_LOOK_MS
                                     : contact_deadline(watch->contact);
        Kontor__V1__Event *event;
        int code = watch_next(watch, deadline_ms, &event, why);

        if (code == ERROR_OUT_OF_RANGE)
            code = skip(watch, why);
        else if (code == 0 && (!event || !put(event, json)))
            return 0;
        /* No event, or no master, in this time; that there will be none is
         * told before it ends. */
        else if (looks && code != ERROR_CANCELLED &&
                 contact_expired(deadline_ms))
            code = 0;
        if (code != 0 || (looks && !output_has_reader()))
            return code;
    }
}

static int run(struct words *words)
{
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    const char *format = NULL;
    bool watching = false;
    struct watch watch = {.pod = "", .until_now = true};
    const struct option options[] = {
        {"w|watch", OPTION_FLAG, &watching, NULL,
         "events as they happen, instead of those that are kept"},
        {"pod", OPTION_STRING, &watch.pod, "POD", "only this pod's"},
        {"after", OPTION_NUMBER, &watch.last_index, "INDEX",
         "only events behind this index"},
        OUTPUT_OPTION(&format),
        CONTACT_OPTIONS(&to),
        {0}};
    struct error why;
    bool json;
    int code = 0;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (contact_open(&watch.contact, &to, &why) != 0)
        return exit_report(&why);
    watch.until_now = !watching;
    if (watching && watch.last_index == 0)
        code = present_index(watch.contact, &watch.last_index, &why);
    if (code == 0)
        code = follow(&watch, json, &why);
    watch_fini(&watch);
    contact_close(watch.contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_events = {
    .name = "events",
    .summary = "Show what happened, or watch it happen",
    .example = "kctl events -w",
    .synopsis = "kctl events [-w] [--pod POD] [--after INDEX] [-o json]",
    .details = "A watch goes on without a gap when its master goes away.",
    .run = run,
};
