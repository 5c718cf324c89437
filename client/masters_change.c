/* masters add, rm and transfer: who the masters are and which of them leads. */
#include "client/ask.h"
#include "client/verbs.h"

#include <inttypes.h>
#include <string.h>

/* ---- add ---- */

static void show_added(const ProtobufCMessage *message,
                       const ProtobufCMessage *request)
{
    const Kontor__V1__AddMasterResponse *response =
        (const Kontor__V1__AddMasterResponse *)message;
    const Kontor__V1__AddMasterRequest *asked =
        (const Kontor__V1__AddMasterRequest *)request;

    output_line(stdout,
                "%s  added (index %" PRIu64 "); start it with kmaster --join, "
                "it votes once it has caught up",
                asked->name, response->index);
}

static int run_add(struct words *words)
{
    Kontor__V1__AddMasterRequest request = KONTOR__V1__ADD_MASTER_REQUEST__INIT;
    const struct ask what = {"AddMaster",
                             &request.base,
                             {&request.name, &request.address},
                             show_added,
                             NULL};

    return ask(words, &what);
}

const struct verb verb_masters_add = {
    .name = "masters add",
    .summary = "Add a master; it votes once it has caught up",
    .example = "kctl masters add m4 10.0.0.4:7400",
    .synopsis = "kctl masters add NAME HOST:PORT [-o json]",
    .details =
        "Then start it: kmaster --name m4 --join --members "
        "m1=...,m4=10.0.0.4:7400\nTo replace one that has died, add the new "
        "one first, then remove the old.",
    .operands_min = 2,
    .operands_max = 2,
    .run = run_add,
};

/* ---- rm ---- */

static void show_removed(const ProtobufCMessage *message,
                         const ProtobufCMessage *request)
{
    const Kontor__V1__RemoveMasterResponse *response =
        (const Kontor__V1__RemoveMasterResponse *)message;
    const Kontor__V1__RemoveMasterRequest *asked =
        (const Kontor__V1__RemoveMasterRequest *)request;

    output_line(stdout, "%s  removed (index %" PRIu64 ")", asked->name,
                response->index);
}

/* Its number, so that a request that is held up on its way removes no other
 * that has got the name since. One that is not there has none. */
static int find_id(struct contact *contact, ProtobufCMessage *message,
                   struct error *why)
{
    Kontor__V1__RemoveMasterRequest *request =
        (Kontor__V1__RemoveMasterRequest *)message;
    Kontor__V1__MastersRequest question = KONTOR__V1__MASTERS_REQUEST__INIT;
    const Kontor__V1__MastersResponse *masters;
    ProtobufCMessage *response;

    if (contact_call(contact, "Masters", &question.base, &response, why) != 0)
        return why->code;
    masters = (const Kontor__V1__MastersResponse *)response;
    for (size_t i = 0; i < masters->n_masters; i++)
        if (strcmp(masters->masters[i]->name, request->name) == 0)
            request->id = masters->masters[i]->id;
    message_free(response);
    return 0;
}

static int run_rm(struct words *words)
{
    Kontor__V1__RemoveMasterRequest request =
        KONTOR__V1__REMOVE_MASTER_REQUEST__INIT;
    const struct ask what = {
        "RemoveMaster", &request.base, {&request.name}, show_removed, find_id};

    return ask(words, &what);
}

const struct verb verb_masters_rm = {
    .name = "masters rm",
    .summary = "Remove a master from the cluster",
    .example = "kctl masters rm m2",
    .synopsis = "kctl masters rm NAME [-o json]",
    .details =
        "Refused when too few of those left answer. One that leads hands "
        "leadership over first.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_rm,
};

/* ---- transfer ---- */

static void show_transferred(const ProtobufCMessage *message,
                             const ProtobufCMessage *request)
{
    const Kontor__V1__TransferLeadershipResponse *response =
        (const Kontor__V1__TransferLeadershipResponse *)message;

    (void)request;
    output_line(stdout, "%s  leads, term %" PRIu64, response->leader,
                response->term);
}

static int run_transfer(struct words *words)
{
    Kontor__V1__TransferLeadershipRequest request =
        KONTOR__V1__TRANSFER_LEADERSHIP_REQUEST__INIT;
    const struct ask what = {"TransferLeadership",
                             &request.base,
                             {&request.name},
                             show_transferred,
                             NULL};

    return ask(words, &what);
}

const struct verb verb_masters_transfer = {
    .name = "masters transfer",
    .summary = "Hand leadership to another master",
    .example = "kctl masters transfer m3",
    .synopsis = "kctl masters transfer [NAME] [-o json]",
    .details = "Without a name: to whoever has most of the log.",
    .operands_max = 1,
    .run = run_transfer,
};
