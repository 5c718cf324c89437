/* Masters: answered by any of them, with or without a leader. The one asked
 * asks the others for what they know of themselves. */
#include "master/service.h"

#include "base/memory.h"
#include "raft/replica_members.h"
#include "rpc/channel.h"

#include <stdio.h>
#include <string.h>

enum { ASK_TIMEOUT_MS = 500, ROLE_MAX = 16 };

struct row {
    Kontor__V1__Master message;
    char role[ROLE_MAX];
    char name[RAFT_NAME_MAX];
    char address[RAFT_ADDRESS_MAX];
};

struct inquiry;

struct question {
    struct inquiry *inquiry;
    struct row *row;
};

struct inquiry {
    struct call *call; /* NULL: the caller has gone */
    struct master *master;
    unsigned open; /* questions that are not answered */
    unsigned count;
    struct row rows[RAFT_MEMBERS_MAX];
    struct question questions[RAFT_MEMBERS_MAX];
};

static const char *role_text(enum raft_role role)
{
    switch (role) {
    case RAFT_LEADER:
        return "leader";
    case RAFT_CANDIDATE:
    case RAFT_PRE_CANDIDATE:
        return "candidate";
    case RAFT_FOLLOWER:
        break;
    }
    return "follower";
}

static void row_init(struct row *row, const Kontor__V1__RaftMember *member)
{
    kontor__v1__master__init(&row->message);
    snprintf(row->name, sizeof row->name, "%s", member->name);
    snprintf(row->address, sizeof row->address, "%s", member->address);
    snprintf(row->role, sizeof row->role, "down");
    row->message.name = row->name;
    row->message.address = row->address;
    row->message.role = row->role;
    row->message.id = member->id;
    row->message.learner = member->learner;
}

static void row_set(struct row *row, const char *role,
                    const Kontor__V1__Master *numbers)
{
    snprintf(row->role, sizeof row->role, "%s", role);
    row->message.term = numbers->term;
    row->message.last_index = numbers->last_index;
    row->message.applied_index = numbers->applied_index;
    row->message.format = numbers->format;
}

static void row_of_self(struct row *row, const struct master *master)
{
    struct replica_status status = replica_status(master->replica);
    Kontor__V1__Master numbers = KONTOR__V1__MASTER__INIT;

    numbers.term = status.term;
    numbers.last_index = status.last_index;
    numbers.applied_index = status.applied_index;
    numbers.format = master->cluster->known;
    row_set(row, row->message.learner ? "learner" : role_text(status.role),
            &numbers);
}

static void answer(struct call *call, const struct master *master,
                   struct row *rows, unsigned count)
{
    Kontor__V1__MastersResponse response = KONTOR__V1__MASTERS_RESPONSE__INIT;
    Kontor__V1__Master *pointers[RAFT_MEMBERS_MAX];
    char name[RAFT_NAME_MAX];

    for (unsigned i = 0; i < count; i++)
        pointers[i] = &rows[i].message;
    snprintf(name, sizeof name, "%s", master->config.name);
    response.masters = pointers;
    response.n_masters = count;
    response.answered_by = name;
    service_reply(call, &response.base);
}

static void settle(struct inquiry *inquiry)
{
    if (inquiry->open > 0)
        return;
    if (inquiry->call)
        answer(inquiry->call, inquiry->master, inquiry->rows, inquiry->count);
    free(inquiry);
}

static void on_told(struct call *call, const ProtobufCMessage *message)
{
    struct question *question = call_data(call);
    const Kontor__V1__MastersResponse *response =
        (const Kontor__V1__MastersResponse *)message;

    for (size_t i = 0; i < response->n_masters; i++) {
        const Kontor__V1__Master *told = response->masters[i];

        if (strcmp(told->name, question->row->name) == 0)
            row_set(question->row, told->role, told);
    }
}

static void on_told_all(struct call *call, const struct error *why)
{
    struct question *question = call_data(call);

    (void)why; /* one that does not answer stays "down" */
    question->inquiry->open--;
    settle(question->inquiry);
}

static const struct call_events asking = {
    .message = on_told,
    .ended = on_told_all,
};

static void on_caller_gone(struct call *call, const struct error *why)
{
    struct inquiry *inquiry = call_data(call);

    (void)why;
    inquiry->call = NULL;
}

static const struct call_events waiting = {.ended = on_caller_gone};

static void ask(struct inquiry *inquiry, unsigned i)
{
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;
    struct question *question = &inquiry->questions[i];
    struct channel *channel =
        replica_channel(inquiry->master->replica, inquiry->rows[i].name);

    if (!channel || !channel_connected(channel))
        return;
    question->inquiry = inquiry;
    question->row = &inquiry->rows[i];
    inquiry->open++;
    request.only_self = true;
    channel_call_unary(
        channel,
        &(struct call_request){
            .path = "/kontor.v1.Cluster/Masters",
            .response = &kontor__v1__masters_response__descriptor,
            .timeout_ms = ASK_TIMEOUT_MS,
            .events = &asking,
            .data = question,
        },
        &request.base);
}

/* Our own row alone. */
static void answer_self(struct call *call, const struct master *master)
{
    const Kontor__V1__RaftConfiguration *members =
        replica_members(master->replica);
    unsigned count = 0;
    struct row row;

    for (size_t i = 0; i < members->n_members; i++) {
        if (strcmp(members->members[i]->name, master->config.name) != 0)
            continue;
        row_init(&row, members->members[i]);
        row_of_self(&row, master);
        count = 1;
    }
    answer(call, master, &row, count); /* none: it was removed */
}

static void inquire(struct call *call, struct master *master)
{
    const Kontor__V1__RaftConfiguration *members =
        replica_members(master->replica);
    struct inquiry *inquiry = memory_new(sizeof *inquiry);

    inquiry->master = master;
    inquiry->call = call;
    inquiry->count = (unsigned)members->n_members;
    call_listen(call, &waiting, inquiry);
    for (unsigned i = 0; i < inquiry->count; i++) {
        row_init(&inquiry->rows[i], members->members[i]);
        if (strcmp(members->members[i]->name, master->config.name) == 0)
            row_of_self(&inquiry->rows[i], master);
        else
            ask(inquiry, i);
    }
    settle(inquiry);
}

void service_masters(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__MastersRequest *request =
        (const Kontor__V1__MastersRequest *)message;

    if (request->only_self)
        answer_self(call, service_master(call));
    else
        inquire(call, service_master(call));
}
