/* image ls, df: what nodes hold. */
#include "base/clock.h"
#include "client/image.h"
#include "client/show.h"
#include "client/verbs.h"

#include <string.h>

enum { SHORT_DIGEST = 12 }; /* hex digits that tell images apart */

static int list_images(struct image_verb *verb, const char *node,
                       ProtobufCMessage **out, struct error *why)
{
    Kontor__V1__ListImagesRequest request =
        KONTOR__V1__LIST_IMAGES_REQUEST__INIT;

    request.node = without_const(node);
    if (contact_call(verb->contact, "ListImages", &request.base, out, why) != 0)
        return (int)why->code;
    image_answer(verb, node, *out);
    return 0;
}

/* ---- image ls ------------------------------------------------------------ */

static void add_image(struct table *table, const char *node,
                      const Kontor__V1__ImageInfo *image, const char *reference)
{
    const char *hex = strchr(image->digest, ':');
    char size[QUANTITY_TEXT_MAX];
    char own[QUANTITY_TEXT_MAX];
    char age[QUANTITY_TEXT_MAX];

    table_cell(table, "%s", node);
    table_cell(table, "%s", reference);
    table_cell(table, "%.*s", SHORT_DIGEST, hex ? hex + 1 : image->digest);
    table_cell(table, "%u", image->layers);
    table_cell(table, "%s", quantity_format_bytes(size, image->bytes));
    table_cell(table, "%s", quantity_format_bytes(own, image->own_bytes));
    table_cell(table, "%s",
               image->in_use
                   ? "now"
                   : show_age(age, clock_wall_ms(), image->used_at_ms));
}

static int ask_ls(struct image_verb *verb, const char *node, struct error *why)
{
    ProtobufCMessage *message;
    const Kontor__V1__ListImagesResponse *list;

    if (list_images(verb, node, &message, why) != 0)
        return (int)why->code;
    list = (const Kontor__V1__ListImagesResponse *)message;
    for (size_t i = 0; i < list->n_images; i++) {
        const Kontor__V1__ImageInfo *image = list->images[i];

        if (image->n_references == 0)
            add_image(verb->table, node, image, "-");
        for (size_t k = 0; k < image->n_references; k++)
            add_image(verb->table, node, image, image->references[k]);
    }
    message_free(message);
    return 0;
}

static int run_ls(struct words *words)
{
    static const char *const headings[] = {"NODE", "IMAGE", "DIGEST", "LAYERS",
                                           "SIZE", "OWN",   "USED",   NULL};
    struct image_verb verb = {.table = table_new(headings)};
    const struct option options[] = {IMAGE_OPTIONS(&verb), {0}};
    int exit_code = image_run(words, &verb, options, ask_ls);

    table_free(verb.table);
    return exit_code;
}

const struct verb verb_image_ls = {
    .name = "image ls",
    .summary = "List the images that nodes have",
    .example = "kctl image ls",
    .synopsis = "kctl image ls [--node NODE]... [-o json]",
    .details = "SIZE is of all layers unpacked, OWN of those that no other "
               "image on that node has. USED is how long ago a pod last began "
               "with it, or used it.",
    .run = run_ls,
};

/* ---- df ------------------------------------------------------------------ */

static int ask_df(struct image_verb *verb, const char *node, struct error *why)
{
    ProtobufCMessage *message;
    const Kontor__V1__ListImagesResponse *list;
    uint64_t used_bytes;
    char text[5][QUANTITY_TEXT_MAX];

    if (list_images(verb, node, &message, why) != 0)
        return (int)why->code;
    list = (const Kontor__V1__ListImagesResponse *)message;
    used_bytes = list->disk_bytes - list->disk_free_bytes;
    table_cell(verb->table, "%s", node);
    table_cell(verb->table, "%s",
               quantity_format_bytes(text[0], list->disk_bytes));
    table_cell(verb->table, "%s", quantity_format_bytes(text[1], used_bytes));
    table_cell(verb->table, "%s",
               quantity_format_bytes(text[2], list->disk_free_bytes));
    table_cell(verb->table, "%u%%",
               list->disk_bytes >= 100
                   ? (unsigned)(used_bytes / (list->disk_bytes / 100))
                   : 0);
    table_cell(verb->table, "%zu", list->n_images);
    table_cell(verb->table, "%u", list->layers);
    table_cell(verb->table, "%s",
               quantity_format_bytes(text[3], list->layer_bytes));
    table_cell(verb->table, "%s",
               quantity_format_bytes(text[4], list->unused_bytes));
    message_free(message);
    return 0;
}

static int run_df(struct words *words)
{
    static const char *const headings[] = {
        "NODE",   "DISK",   "USED",       "FREE",   "USE%",
        "IMAGES", "LAYERS", "IMAGE SIZE", "UNUSED", NULL};
    struct image_verb verb = {.table = table_new(headings)};
    const struct option options[] = {IMAGE_OPTIONS(&verb), {0}};
    int exit_code = image_run(words, &verb, options, ask_df);

    table_free(verb.table);
    return exit_code;
}

const struct verb verb_df = {
    .name = "df",
    .summary = "Show the nodes' disks and what images take of them",
    .example = "kctl df",
    .synopsis = "kctl df [--node NODE]... [-o json]",
    .details = "IMAGE SIZE is of all layers, each counted once; UNUSED of "
               "those that no pod uses, which `kctl image prune` frees.",
    .run = run_df,
};
