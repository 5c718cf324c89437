/* ask.h - a verb that is one call: parse, ask, show. */
#pragma once

#include "client/contact.h"
#include "client/output.h"

/* What such a verb's file states. */
struct ask {
    const char *method;        /* of Cluster */
    ProtobufCMessage *request; /* borrowed */
    char **operands[2]; /* its fields for the verb's operands, in order */
    void (*show)(const ProtobufCMessage *response,
                 const ProtobufCMessage *request);
    /* What the request needs to know, asked for first; or NULL. */
    int (*find_out)(struct contact *contact, ProtobufCMessage *request,
                    struct error *why);
};

/* The whole of such a verb's run(): the answer as JSON, or by show().
 * Returns kctl's exit code, having reported what went wrong. */
int ask(struct words *words, const struct ask *what);

/* Fill the request from the verb's operands, as many as there are.
 * INVALID_ARGUMENT says what is wrong with which. */
typedef int ask_read_cb(const struct operands *operands,
                        ProtobufCMessage *request, struct error *why);

/* The same of a verb whose operands are read so. */
int ask_in_words(struct words *words, const struct ask *what,
                 ask_read_cb *read);
