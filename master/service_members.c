/* AddMaster, RemoveMaster, TransferLeadership: who the masters are, and which
 * of them leads. Each is judged as a read is answered, by a leader that a
 * quorum has confirmed: one that was replaced and does not know it would say
 * that a master is there, or is not, which was removed or added since. */
#include "master/service.h"

#include "base/memory.h"
#include "master/cluster_names.h"
#include "raft/replica_members.h"
#include "rpc/address.h"

#include <stdio.h>
#include <string.h>

/* ---- changes ---- */

/* What was asked for. */
struct change {
    struct replica_read current; /* a quorum has to confirm that we lead */
    struct replica_proposal proposal;
    struct list link; /* among master->changes, from then until it is judged */
    struct master *master;
    struct call *call; /* NULL: the caller has gone */
    void (*judge)(struct change *change, const ProtobufCMessage *request);
    void (*answer)(struct call *call, uint64_t index);
    size_t length;
    uint8_t request[]; /* serialised, to be brought to another leader */
};

static void change_free(struct change *change)
{
    list_remove(&change->link);
    free(change);
}

static void on_changer_gone(struct call *call, const struct error *why)
{
    struct change *change = call_data(call);

    (void)why;
    change->call = NULL;
}

static const struct call_events changing = {.ended = on_changer_gone};

static void forward(struct change *change)
{
    forward_bytes(&change->master->forwarder, change->call, change->request,
                  change->length);
}

/* In the midst of the replica's work, where nothing may be proposed. */
static void on_current(struct replica_read *current, const struct error *why)
{
    struct change *change = container_of(current, struct change, current);

    if (why->code == 0) {
        list_append(&change->master->changes, &change->link);
        return;
    }
    if (change->call)
        forward(change);
    change_free(change);
}

static void ask(struct call *call, const ProtobufCMessage *request,
                void (*judge)(struct change *change,
                              const ProtobufCMessage *request))
{
    size_t length = protobuf_c_message_get_packed_size(request);
    struct master *master = service_master(call);
    struct change *change;

    if (!master_leads(master)) {
        forward_call(&master->forwarder, call, request);
        return;
    }
    change = memory_new(sizeof *change + length);
    list_init(&change->link);
    change->current.done = on_current;
    change->master = master;
    change->call = call;
    change->judge = judge;
    change->length = length;
    protobuf_c_message_pack(request, change->request);
    call_listen(call, &changing, change);
    replica_read(master->replica, &change->current);
}

void service_members_step(struct master *master)
{
    list_for_each(item, next, &master->changes)
    {
        struct change *change = container_of(item, struct change, link);
        ProtobufCMessage *request;

        list_remove(&change->link);
        if (change->call && master_leads(master)) {
            request = protobuf_c_message_unpack(
                service_method(change->call)->request, NULL, change->length,
                change->request);
            change->judge(change, request);
            protobuf_c_message_free_unpacked(request, NULL);
            continue;
        }
        if (change->call)
            forward(change);
        change_free(change);
    }
}

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
        forward(change);
    else
        service_fail(call, why);
    change_free(change);
}

static void propose_change(struct change *change,
                           const struct replica_change *wanted,
                           void (*answer)(struct call *call, uint64_t index))
{
    struct error why;

    change->answer = answer;
    change->proposal.done = on_changed;
    if (replica_change(change->master->replica, &change->proposal, wanted,
                       &why) != 0)
        on_changed(&change->proposal, 0, &why);
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
static void answer_when_settled(struct change *change,
                                void (*answer)(struct call *call,
                                               uint64_t index))
{
    struct replica *replica = change->master->replica;

    if (replica_members_settled(replica))
        answer(change->call, replica_status(replica).commit_index);
    else
        forward(change);
    change_free(change);
}

static void judge_addition(struct change *change,
                           const ProtobufCMessage *message)
{
    const Kontor__V1__AddMasterRequest *request =
        (const Kontor__V1__AddMasterRequest *)message;
    const struct replica_change wanted = {
        .kind = REPLICA_ADD,
        .name = request->name,
        .address = request->address,
    };

    if (is_member(change->master, request)) /* sent again */
        answer_when_settled(change, answer_added);
    else
        propose_change(change, &wanted, answer_added);
}

/* What --members of kmaster cannot say could never be started. */
static int check_addition(const Kontor__V1__AddMasterRequest *request,
                          struct error *why)
{
    struct address address;

    if (!node_name_valid(request->name))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "name \"%.80s\" cannot be a master's name",
                         request->name);
    return address_parse(request->address, &address, why);
}

void service_add_master(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__AddMasterRequest *request =
        (const Kontor__V1__AddMasterRequest *)message;
    struct error why;

    if (check_addition(request, &why) == 0)
        ask(call, message, judge_addition);
    else
        service_fail(call, &why);
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

static void judge_removal(struct change *change,
                          const ProtobufCMessage *message)
{
    const Kontor__V1__RemoveMasterRequest *request =
        (const Kontor__V1__RemoveMasterRequest *)message;
    const struct replica_change wanted = {
        .kind = REPLICA_REMOVE,
        .name = request->name,
        .id = request->id,
    };
    struct error why;

    if (was_member(change->master, request)) { /* sent again */
        answer_when_settled(change, answer_removed);
        return;
    }
    if (!is_own(change->master, request)) {
        propose_change(change, &wanted, answer_removed);
        return;
    }
    /* Us: the next leader is to do it. */
    if (replica_transfer(change->master->replica, NULL, &why) == 0)
        forward(change);
    else
        service_fail(change->call, &why);
    change_free(change);
}

void service_remove_master(struct call *call, const ProtobufCMessage *request)
{
    ask(call, request, judge_removal);
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

static void await_leader(struct master *master, struct call *call,
                         uint64_t term)
{
    struct transfer *transfer = memory_new(sizeof *transfer);

    transfer->call = call;
    transfer->term = term;
    list_append(&master->transfers, &transfer->link);
    call_listen(call, &transferring, transfer);
}

static void judge_transfer(struct change *change,
                           const ProtobufCMessage *message)
{
    const Kontor__V1__TransferLeadershipRequest *request =
        (const Kontor__V1__TransferLeadershipRequest *)message;
    struct master *master = change->master;
    const struct replica_status status = replica_status(master->replica);
    const char *to = request->name[0] ? request->name : NULL;
    struct error why;

    if (to && strcmp(to, master->config.name) == 0)
        answer_transferred(change->call, &status);
    else if (replica_transfer(master->replica, to, &why) != 0)
        service_fail(change->call, &why);
    else
        await_leader(master, change->call, status.term);
    change_free(change);
}

void service_transfer_leadership(struct call *call,
                                 const ProtobufCMessage *request)
{
    ask(call, request, judge_transfer);
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
        } else if (status.role == RAFT_LEADER && !status.hands_over &&
                   status.term == transfer->term) {
            error_set(&why, ERROR_ABORTED,
                      "the other master did not take over in time; %s goes on",
                      master->config.name);
            transfer_free(transfer);
            service_fail(call, &why);
        }
    }
}
