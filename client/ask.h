/* ask.h - a verb that is one call: open, ask, show, close. */
#pragma once

#include "client/contact.h"
#include "client/output.h"

/* Call `method` and show the answer: as JSON, or by `show` (data is passed
 * on). Returns the verb's exit code, having reported what went wrong. */
struct ask {
    const char *method;
    const ProtobufCMessage *request; /* borrowed */
    void (*show)(const ProtobufCMessage *response, void *data);
    void *data;
    bool json;
};

int ask(const struct contact_options *to, const struct ask *what);
