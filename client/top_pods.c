#include "base/memory.h"
#include "base/quantity.h"
#include "client/json.h"
#include "client/output.h"
#include "client/top.h"
#include "client/verbs.h"

static const char *const headings[] = {"NAME", "NODE", "CPU", "MEM",
                                       "DISK", "NET",  NULL};

/* Where the rows go: the one or the other. */
struct listing {
    struct top *top;
    json_t *json;
    struct table *table;
    size_t count;
};

static void add_row(struct listing *listing, const Kontor__V1__Pod *pod)
{
    static const Kontor__V1__Resources none = KONTOR__V1__RESOURCES__INIT;
    const Kontor__V1__Resources *asked =
        pod->spec && pod->spec->resources ? pod->spec->resources : &none;
    struct top_use use;

    if (!top_find(listing->top, pod->node, pod->id, &use))
        return;
    listing->count++;
    if (listing->json) {
        json_array_append_new(
            listing->json, json_pack("{s:s, s:s, s:o, s:o}", "name", pod->name,
                                     "node", pod->node, "used", top_json(&use),
                                     "asked", json_of_message(&asked->base)));
        return;
    }
    table_cell(listing->table, "%s", pod->name);
    table_cell(listing->table, "%s", pod->node);
    top_cell(listing->table, quantity_format_cpu, use.cpu_milli,
             asked->cpu_milli);
    top_cell(listing->table, quantity_format_bytes, use.memory_bytes,
             asked->memory_bytes);
    top_cell(listing->table, quantity_format_bytes, use.disk_bytes,
             asked->disk_bytes);
    top_cell(listing->table, quantity_format_net, top_net_bits(&use),
             asked->net_bits);
}

static int add_pods(struct listing *listing, struct contact *contact,
                    struct error *why)
{
    Kontor__V1__ListPodsRequest request = KONTOR__V1__LIST_PODS_REQUEST__INIT;

    do {
        ProtobufCMessage *response;
        const Kontor__V1__ListPodsResponse *page;

        if (contact_call(contact, "ListPods", &request.base, &response, why) !=
            0)
            return (int)why->code;
        page = (const Kontor__V1__ListPodsResponse *)response;
        for (size_t i = 0; i < page->n_pods; i++)
            add_row(listing, page->pods[i]);
        request.page_token = page->next_page_token;
        message_free(response);
    } while (request.page_token != 0);
    return 0;
}

static void print(const struct listing *listing)
{
    top_complain(listing->top);
    if (listing->json)
        output_json(json_pack("{s:O}", "pods", listing->json));
    else if (listing->count > 0)
        table_print(listing->table, stdout, output_colours(stdout));
    else
        fprintf(stderr, "no pods\n");
}

static int show(struct top *top, struct contact *contact, bool json,
                struct error *why)
{
    struct listing listing = {
        .top = top,
        .json = json ? json_array() : NULL,
        .table = table_new(headings),
    };
    int code = add_pods(&listing, contact, why);

    if (code == 0)
        print(&listing);
    json_decref(listing.json);
    table_free(listing.table);
    return code;
}

static int run(struct words *words)
{
    return top_run(words, show);
}

const struct verb verb_top_pods = {
    .name = "top pods",
    .summary = "Show what pods use of what they asked for",
    .example = "kctl top pods",
    .synopsis = "kctl top pods [-o json]",
    .details = "Processor and network are measured for a second; NET is the "
               "greater of both ways.\nMemory leaves out what could be "
               "dropped at once, disk is writable layers and logs.",
    .run = run,
};
