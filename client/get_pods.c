#include "base/clock.h"
#include "base/memory.h"
#include "client/contact.h"
#include "client/exit.h"
#include "client/json.h"
#include "client/output.h"
#include "client/show.h"
#include "client/verbs.h"

static const char *const headings[] = {"NAME",   "STATUS", "RESTARTS", "CPU",
                                       "MEM",    "NODE",   "ADDRESS",  "AGE",
                                       "REASON", NULL};

static const char *or_dash(const char *text)
{
    return text && *text ? text : "-";
}

static void add_row(struct table *table, const Kontor__V1__Pod *pod,
                    uint64_t now_ms)
{
    Kontor__V1__PodPhase phase = show_pod_phase(pod);
    const Kontor__V1__Resources *asked =
        pod->spec ? pod->spec->resources : NULL;
    char amount[QUANTITY_TEXT_MAX];
    char reason[SHOW_REASON_MAX];

    table_cell(table, "%s", pod->name);
    table_cell_coloured(table, show_phase_colour(phase), show_phase(phase));
    table_cell(table, "%u", pod->status ? pod->status->restarts : 0);
    table_cell(table, "%s",
               quantity_format_cpu(amount, asked ? asked->cpu_milli : 0));
    table_cell(table, "%s",
               quantity_format_bytes(amount, asked ? asked->memory_bytes : 0));
    table_cell(table, "%s", or_dash(pod->node));
    table_cell(table, "%s", or_dash(pod->status ? pod->status->address : ""));
    table_cell(table, "%s", show_age(amount, now_ms, pod->created_at_ms));
    table_cell(table, "%s", show_pod_reason(reason, pod));
}

/* What the pages are gathered into: the one or the other. */
struct listing {
    bool want_json;
    json_t *json;
    struct table *table;
    uint64_t now_ms;
    size_t count;
};

static void add_page(struct listing *listing,
                     const Kontor__V1__ListPodsResponse *page)
{
    listing->count += page->n_pods;
    for (size_t i = 0; listing->table && i < page->n_pods; i++)
        add_row(listing->table, page->pods[i], listing->now_ms);
    if (listing->want_json) {
        json_t *next = json_of_message(&page->base);

        json_object_del(next, "next_page_token");
        if (listing->json) {
            json_array_extend(json_object_get(listing->json, "pods"),
                              json_object_get(next, "pods"));
            json_decref(next);
        } else {
            listing->json = next; /* its index is the one to watch from */
        }
    }
}

static int list(struct contact *contact, bool all, struct listing *listing,
                struct error *why)
{
    Kontor__V1__ListPodsRequest request = KONTOR__V1__LIST_PODS_REQUEST__INIT;

    request.all = all;
    do {
        ProtobufCMessage *response;
        const Kontor__V1__ListPodsResponse *page;

        if (contact_call(contact, "ListPods", &request.base, &response, why) !=
            0)
            return (int)why->code;
        page = (const Kontor__V1__ListPodsResponse *)response;
        add_page(listing, page);
        request.page_token = page->next_page_token;
        message_free(response);
    } while (request.page_token != 0);
    return 0;
}

static void print(struct listing *listing, bool all)
{
    if (listing->json)
        output_json(listing->json);
    else if (listing->count > 0)
        table_print(listing->table, stdout, output_colours(stdout));
    else
        fprintf(stderr, "no pods%s\n", all ? "" : "; -a shows ended ones, too");
    table_free(listing->table);
}

static int run(struct words *words)
{
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    const char *format = NULL;
    bool all = false;
    const struct option options[] = {
        {"a|all", OPTION_FLAG, &all, NULL, "ended pods, too"},
        OUTPUT_OPTION(&format),
        CONTACT_OPTIONS(&to),
        {0}};
    struct listing listing = {.now_ms = clock_wall_ms()};
    struct contact *contact;
    struct error why;
    int code;

    if (!verb_parse(words, options) ||
        !output_is_json(words, format, &listing.want_json))
        return words->exit_code;
    if (contact_open(&contact, &to, &why) != 0)
        return exit_report(&why);
    if (!listing.want_json)
        listing.table = table_new(headings);
    code = list(contact, all, &listing, &why);
    if (code == 0) {
        print(&listing, all);
    } else {
        json_decref(listing.json);
        table_free(listing.table);
    }
    contact_close(contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_get_pods = {
    .name = "get pods",
    .summary = "List the pods",
    .example = "kctl get pods",
    .synopsis = "kctl get pods [-a] [-o json]",
    .run = run,
};
