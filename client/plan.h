/* plan.h - a verb that asks for a plan and shows it. */
#pragma once

#include "client/contact.h"
#include "client/output.h"

struct plan_verb {
    struct contact_options to;
    const char *format;
    uint64_t page; /* moves to be told; 0: the master's default */
    bool json;
    Kontor__V1__PlanRequest request;
};

#define PLAN_VERB_INIT                             \
    {                                              \
        .to = {.timeout_ms = CONTACT_TIMEOUT_MS},  \
        .request = KONTOR__V1__PLAN_REQUEST__INIT, \
    }

#define PLAN_OPTIONS(v)                                                \
    {"limit", OPTION_NUMBER, &(v)->page, "N", "moves to show (1000)"}, \
        OUTPUT_OPTION(&(v)->format), CONTACT_OPTIONS(&(v)->to)

/* False: to be ended with words->exit_code. */
bool plan_parse(struct words *words, const struct option *options,
                struct plan_verb *verb);

/* Ask; the caller frees the response. UNIMPLEMENTED: the leader's program is an
 * older one that passed over a part of the request. */
int plan_ask(struct contact *contact, const Kontor__V1__PlanRequest *request,
             ProtobufCMessage **response, struct error *why);

/* Ask and show. Returns kctl's exit code. */
int plan_run(struct plan_verb *verb);
