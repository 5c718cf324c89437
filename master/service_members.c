/* AddMaster, RemoveMaster, TransferLeadership: who the masters are, and which
 * of them leads. */
#include "master/service.h"

#include "base/memory.h"
#include "raft/replica_members.h"

#include <stdio.h>
#include <string.h>

/* ---- changes ---- */

/* One that is proposed; it answers with an index. */
struct change {
    struct replica_proposal proposal;
    struct master *master;
    struct call *call; /* NULL: the caller has gone */
    void (*answer)(struct call *call, uint64_t index);
    size_t length;
    uint8_t request[]; /* serialised, to be brought to another leader */
};

static void on_changer_gone(struct call *call, const struct error *why)
{
    struct change *change = call_data(call);

    (void)why;
    change->call = NULL;
}

static const struct call_events changing = {.ended = on_changer_gone};

static void on_changed(struct replica_proposal *proposal, uint64_t index,
                       const struct error *why)
{
    struct change *change = container_of(proposal, struct change, proposal);
    struct call *call = change->call;

    if (!call)
        ; /* nobody waits for the answer */
    else if (why->code == 0)
        change->answer(call, index);
    else if (why->code == ERROR_ABORTED || why->code == ERROR_UNAVAILABLE)
        forward_bytes(&change->master->forwarder, call, change->request,
                      change->length);
    else
        service_fail(call, why);
    free(change);
}

static void propose_change(struct call *call, const ProtobufCMessage *request,
                           const struct replica_change *wanted,
                           void (*answer)(struct call *call, uint64_t index))
{
    size_t length = protobuf_c_message_get_packed_size(request);
    struct change *change = memory_new(sizeof *change + length);
    struct master *master = service_master(call);
    struct error why;

    protobuf_c_message_pack(request, change->request);
    change->length = length;
    change->master = master;
    change->call = call;
    change->answer = answer;
    change->proposal.done = on_changed;
    if (replica_change(master->replica, &change->proposal, wanted, &why) == 0) {
        call_listen(call, &changing, change);
        return;
    }
    free(change);
    service_fail(call, &why);
}

static void answer_added(struct call *call, uint64_t index)
{
    Kontor__V1__AddMasterResponse response =
        KONTOR__V1__ADD_MASTER_RESPONSE__INIT;

    response.index = index;
    service_reply(call, &response.base);
}

/* NULL: none has that name. Borrowed for this turn. */
static const Kontor__V1__RaftMember *find_member(const struct master *master,
                                                 const char *name)
{
    const Kontor__V1__RaftConfiguration *members =
        replica_members(master->replica);

    for (size_t i = 0; i < members->n_members; i++)
        if (strcmp(members->members[i]->name, name) == 0)
            return members->members[i];
    return NULL;
}

static bool is_member(const struct master *master,
                      const Kontor__V1__AddMasterRequest *request)
{
    const Kontor__V1__RaftMember *member = find_member(master, request->name);

    return member && strcmp(member->address, request->address) == 0;
}

/* Done before, unless that is not committed: then it may yet be lost with its
 * leader. */
static void answer_when_settled(struct master *master, struct call *call,
                                const ProtobufCMessage *message,
                                void (*answer)(struct call *call,
                                               uint64_t index))
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes;

    if (replica_members_settled(master->replica)) {
        answer(call, replica_status(master->replica).commit_index);
        return;
    }
    bytes = memory_new(length);
    protobuf_c_message_pack(message, bytes);
    forward_bytes(&master->forwarder, call, bytes, length);
    free(bytes);
}

void service_add_master(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__AddMasterRequest *request =
        (const Kontor__V1__AddMasterRequest *)message;
    struct master *master = service_master(call);
    const struct replica_change wanted = {
        .kind = REPLICA_ADD,
        .name = request->name,
        .address = request->address,
    };

    if (!master_leads(master))
        forward_call(&master->forwarder, call, message);
    else if (is_member(master, request)) /* sent again */
        answer_when_settled(master, call, message, answer_added);
    else
        propose_change(call, message, &wanted, answer_added);
}

static void answer_removed(struct call *call, uint64_t index)
{
    Kontor__V1__RemoveMasterResponse response =
        KONTOR__V1__REMOVE_MASTER_RESPONSE__INIT;

    response.index = index;
    service_reply(call, &response.base);
}

/* A member of that id has been, and none has its name now. */
static bool was_member(const struct master *master,
                       const Kontor__V1__RemoveMasterRequest *request)
{
    const Kontor__V1__RaftConfiguration *members =
        replica_members(master->replica);

    for (size_t i = 0; i < members->n_members; i++)
        if (members->members[i]->id == request->id)
            return false;
    return request->id != 0 && request->id < members->next_id &&
           !find_member(master, request->name);
}

static bool is_own(const struct master *master,
                   const Kontor__V1__RemoveMasterRequest *request)
{
    const Kontor__V1__RaftMember *member = find_member(master, request->name);

    return member && strcmp(member->name, master->config.name) == 0 &&
           (request->id == 0 || request->id == member->id);
}

void service_remove_master(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__RemoveMasterRequest *request =
        (const Kontor__V1__RemoveMasterRequest *)message;
    struct master *master = service_master(call);
    const struct replica_change wanted = {
        .kind = REPLICA_REMOVE,
        .name = request->name,
        .id = request->id,
    };
    struct error why;

    if (!master_leads(master)) {
        forward_call(&master->forwarder, call, message);
    } else if (was_member(master, request)) { /* sent again */
        answer_when_settled(master, call, message, answer_removed);
    } else if (!is_own(master, request)) {
        propose_change(call, message, &wanted, answer_removed);
    } else if (replica_transfer(master->replica, NULL, &why) == 0) {
        /* Us: the next leader is to do it. */
        forward_call(&master->forwarder, call, message);
    } else {
        service_fail(call, &why);
    }
}

/* ---- transfer ---- */

/* A call that waits for another leader. */
struct transfer {
    struct list link;
    struct call *call;
    uint64_t term; /* that ends with it */
};

static void transfer_free(struct transfer *transfer)
{
    list_remove(&transfer->link);
    free(transfer);
}

static void on_transferrer_gone(struct call *call, const struct error *why)
{
    (void)why;
    transfer_free(call_data(call));
}

static const struct call_events transferring = {.ended = on_transferrer_gone};

static void answer_transferred(struct call *call,
                               const struct replica_status *status)
{
    Kontor__V1__TransferLeadershipResponse response =
        KONTOR__V1__TRANSFER_LEADERSHIP_RESPONSE__INIT;
    char leader[RAFT_NAME_MAX];

    snprintf(leader, sizeof leader, "%s", status->leader);
    response.leader = leader;
    response.term = status->term;
    service_reply(call, &response.base);
}

void service_transfer_leadership(struct call *call,
                                 const ProtobufCMessage *message)
{
    const Kontor__V1__TransferLeadershipRequest *request =
        (const Kontor__V1__TransferLeadershipRequest *)message;
    struct master *master = service_master(call);
    const struct replica_status status = replica_status(master->replica);
    const char *to = request->name[0] ? request->name : NULL;
    struct transfer *transfer;
    struct error why;

    if (!master_leads(master)) {
        forward_call(&master->forwarder, call, message);
    } else if (to && strcmp(to, master->config.name) == 0) {
        answer_transferred(call, &status);
    } else if (replica_transfer(master->replica, to, &why) != 0) {
        service_fail(call, &why);
    } else {
        transfer = memory_new(sizeof *transfer);
        transfer->call = call;
        transfer->term = status.term;
        list_append(&master->transfers, &transfer->link);
        call_listen(call, &transferring, transfer);
    }
}

void service_transfers_step(struct master *master)
{
    const struct replica_status status = replica_status(master->replica);
    struct error why;

    list_for_each(link, next, &master->transfers)
    {
        struct transfer *transfer = container_of(link, struct transfer, link);
        struct call *call = transfer->call;

        if (status.term > transfer->term && status.leader) {
            transfer_free(transfer);
            answer_transferred(call, &status);
        } else if (status.ready && status.term == transfer->term) {
            error_set(&why, ERROR_ABORTED,
                      "the other master did not take over in time; %s goes on",
                      master->config.name);
            transfer_free(transfer);
            service_fail(call, &why);
        }
    }
}
