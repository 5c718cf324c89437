#include "client/events.h"

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

static int follow(struct contact *contact, struct watch *watch, bool json,
                  struct error *why)
{
    for (;;) {
        Kontor__V1__Event *event;
        int code = watch_next(
            watch, watch->until_now ? contact_deadline(contact) : UINT64_MAX,
            &event, why);

        if (code == ERROR_OUT_OF_RANGE) {
            watch_fini(watch);
            if (present_index(contact, &watch->last_index, why) != 0)
                return (int)why->code;
            fprintf(stderr,
                    "kctl: some events are not kept any more; going on at "
                    "index %" PRIu64 "\n",
                    watch->last_index);
            watch->seen = 0;
            continue;
        }
        if (code != 0 || !event)
            return code;
        if (json)
            output_message_line(&event->base);
        else
            events_print(event, stdout);
        message_free(&event->base);
        if (!output_flush())
            return 0;
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
        code = follow(watch.contact, &watch, json, &why);
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
