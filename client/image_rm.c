/* image rm, image prune: what nodes no longer need. */
#include "client/image.h"
#include "client/show.h"
#include "client/verbs.h"

static int ask_remove(struct image_verb *verb, const char *node,
                      struct error *why)
{
    Kontor__V1__RemoveImagesRequest request =
        KONTOR__V1__REMOVE_IMAGES_REQUEST__INIT;
    const Kontor__V1__RemoveImagesResponse *went;
    char size[QUANTITY_TEXT_MAX];
    ProtobufCMessage *message;

    request.node = without_const(node);
    request.unused_ms = verb->unused_ms;
    if (verb->reference)
        request.reference = without_const(verb->reference);
    if (contact_call(verb->contact, "RemoveImages", &request.base, &message,
                     why) != 0)
        return (int)why->code;
    verb->found++;
    image_answer(verb, node, message);
    went = (const Kontor__V1__RemoveImagesResponse *)message;
    for (size_t i = 0; i < went->n_removed && !verb->json; i++)
        output_line(stdout, "%s  removed %s", node, went->removed[i]);
    if (!verb->json)
        output_line(stdout, "%s  %s freed", node,
                    quantity_format_bytes(size, went->freed_bytes));
    message_free(message);
    return 0;
}

static int run_rm(struct words *words)
{
    struct image_verb verb = {0};
    const struct option options[] = {IMAGE_OPTIONS(&verb), {0}};

    return image_run(words, &verb, options, ask_remove);
}

static int run_prune(struct words *words)
{
    struct image_verb verb = {0};
    const struct option options[] = {{"unused-for", OPTION_DURATION,
                                      &verb.unused_ms, "TIME",
                                      "only what was not used for so long"},
                                     IMAGE_OPTIONS(&verb),
                                     {0}};

    return image_run(words, &verb, options, ask_remove);
}

const struct verb verb_image_rm = {
    .name = "image rm",
    .summary = "Remove an image that no pod uses from nodes",
    .example = "kctl image rm registry.local:5000/web:1",
    .synopsis = "kctl image rm IMAGE [--node NODE]... [-o json]",
    .details = "IMAGE is a reference, or the digest that -o json shows: then "
               "all of its references go. Layers that other images have stay.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_rm,
};

const struct verb verb_image_prune = {
    .name = "image prune",
    .summary = "Remove all images and layers that no pod uses",
    .example = "kctl image prune --unused-for 24h",
    .synopsis =
        "kctl image prune [--unused-for TIME] [--node NODE]... [-o json]",
    .run = run_prune,
};
