#include "client/image.h"

#include "client/exit.h"
#include "client/json.h"
#include "client/show.h"

#include <string.h>

void image_answer(struct image_verb *verb, const char *node,
                  const ProtobufCMessage *answer)
{
    json_t *object = json_of_message(answer);

    if (verb->json) {
        json_object_set_new(object, "node", json_string(node));
        json_array_append(verb->answers, object);
    }
    json_decref(object);
}

/* Of many nodes one that fails does not keep the others from being asked. */
static int ask_one(struct image_verb *verb, const char *node, bool many,
                   image_ask_cb *ask, int *exit_code)
{
    struct error why = {0};

    if (ask(verb, node, &why) == 0)
        return 0;
    if (why.code == ERROR_NOT_FOUND && many && verb->reference)
        return 0; /* told in the end, if no node has it */
    *exit_code = exit_report(&why);
    return many && why.code != ERROR_CANCELLED ? 0 : (int)why.code;
}

static void ask_named(struct image_verb *verb, image_ask_cb *ask,
                      int *exit_code)
{
    size_t count = verb->nodes.count;

    for (size_t i = 0; i < count; i++)
        if (ask_one(verb, verb->nodes.values[i], count > 1, ask, exit_code) !=
            0)
            return;
}

static int by_name(const void *a, const void *b)
{
    const Kontor__V1__NodeInfo *const *first = a;
    const Kontor__V1__NodeInfo *const *second = b;

    return strverscmp((*first)->name, (*second)->name);
}

static void ask_all(struct image_verb *verb,
                    const Kontor__V1__ListNodesResponse *list,
                    image_ask_cb *ask, int *exit_code)
{
    if (list->n_nodes > 0)
        qsort(list->nodes, list->n_nodes, sizeof(void *), by_name);
    for (size_t i = 0; i < list->n_nodes; i++) {
        const Kontor__V1__NodeInfo *node = list->nodes[i];

        if (node->state != KONTOR__V1__NODE_STATE__NODE_READY)
            output_line(stderr, "node %s is %s: not asked", node->name,
                        show_node_status(node));
        else if (ask_one(verb, node->name, true, ask, exit_code) != 0)
            return;
    }
}

static int ask_nodes(struct image_verb *verb, image_ask_cb *ask)
{
    Kontor__V1__ListNodesRequest request = KONTOR__V1__LIST_NODES_REQUEST__INIT;
    int exit_code = EXIT_CODE_DONE;
    ProtobufCMessage *list;
    struct error why;

    if (verb->nodes.count > 0) {
        ask_named(verb, ask, &exit_code);
    } else {
        if (contact_call(verb->contact, "ListNodes", &request.base, &list,
                         &why) != 0)
            return exit_report(&why);
        ask_all(verb, (const Kontor__V1__ListNodesResponse *)list, ask,
                &exit_code);
        message_free(list);
    }
    if (exit_code != EXIT_CODE_DONE || !verb->reference || verb->found > 0)
        return exit_code;
    error_set(&why, ERROR_NOT_FOUND, "no node has image %.200s",
              verb->reference);
    return exit_report(&why);
}

int image_run(struct words *words, struct image_verb *verb,
              const struct option *options, image_ask_cb *ask)
{
    struct error why;
    int exit_code;

    verb->to.timeout_ms = CONTACT_TIMEOUT_MS;
    if (!verb_parse(words, options) ||
        !output_is_json(words, verb->format, &verb->json))
        return words->exit_code;
    if (words->operands.count > 0)
        verb->reference = words->operands.values[0];
    if (contact_open(&verb->contact, &verb->to, &why) != 0)
        return exit_report(&why);
    verb->answers = json_array();
    exit_code = ask_nodes(verb, ask);
    contact_close(verb->contact);
    if (verb->json)
        output_json(json_pack("{s:O}", "nodes", verb->answers));
    else if (verb->table)
        table_print(verb->table, stdout, output_colours(stdout));
    json_decref(verb->answers);
    return exit_code;
}
