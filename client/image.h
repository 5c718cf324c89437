/* image.h - what the verbs about nodes' images share: which nodes are asked,
 * one after the other. */
#pragma once

#include "client/contact.h"
#include "client/output.h"

struct image_verb {
    struct option_strings nodes; /* --node; none: every node that is ready */
    const char *format;
    struct contact_options to;
    bool json;
    struct contact *contact;
    struct table *table; /* for people, or NULL: the verb's */
    json_t *answers;     /* one object a node */
    const char *reference;
    uint64_t unused_ms;
    size_t found; /* nodes that had what was asked for */
};

#define IMAGE_OPTIONS(verb)                          \
    {"node", OPTION_STRINGS, &(verb)->nodes, "NODE", \
     "only this node; may be repeated"},             \
        OUTPUT_OPTION(&(verb)->format), CONTACT_OPTIONS(&(verb)->to)

/* Ask one node. An error ends the verb unless it is the node's own affair and
 * all were to be asked: then it is reported and counts as failed. */
typedef int image_ask_cb(struct image_verb *verb, const char *node,
                         struct error *why);

/* Parse, ask each node, print the table or the answers. Returns kctl's exit
 * code, having reported what went wrong. */
int image_run(struct words *words, struct image_verb *verb,
              const struct option *options, image_ask_cb *ask);

/* One node's answer is to be printed with -o json. */
void image_answer(struct image_verb *verb, const char *node,
                  const ProtobufCMessage *answer);
