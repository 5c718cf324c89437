#include "test/sim/stack/operator.h"

#include "base/memory.h"
#include "master/join.h"
#include "raft/replica_parts.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/wire.h"

#include <string.h>

enum {
    TRY_MS = 2000,
    AGAIN_MS = 300,
    IMPATIENT_MS = 30,
    LINGER_MAX_US = 3000000, /* a master that was removed goes on so long */
    MEMBERS_MIN = 3,
    TRANSFER_TRIES_MAX = 3,
};

enum step {
    RESTING,
    ADDING,
    JOINING,
    FINDING, /* its number, before it is removed */
    REMOVING,
    TRANSFERRING,
    CORDONING,
    DRAINING,
    REBALANCING,
    LABELLING,
};

static struct {
    struct host *host;
    struct channel *channels[MASTERS_MAX];
    uv_timer_t timer;
    uv_timer_t impatience;
    enum step step;
    struct kmaster *whom;
    unsigned node; /* that it is about */
    bool cordons;
    bool forces; /* pods that may run only once to end */
    bool taints;
    bool evens;                     /* nodes, instead of using fewer */
    const char *zone;               /* that it is to be in */
    Kontor__V1__RequestId id;       /* of that request */
    uint32_t member;                /* to be removed */
    bool cordoned[NODES_HOSTS_MAX]; /* as was acknowledged */
    bool tainted[NODES_HOSTS_MAX];
    bool unsure[NODES_HOSTS_MAX][2]; /* of its zone, and of its taint */
    const char *zones[NODES_HOSTS_MAX];
    unsigned tries;
    bool answered;
    bool closed;
} admin;

/* One whose disk has rotted, or that was removed for it; NULL: none. */
static struct kmaster *any_broken(void)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if ((kmasters[i].broken && !kmasters[i].leaving) || kmasters[i].owed)
            return &kmasters[i];
    return NULL;
}

/* NODES_HOSTS_MAX: none. */
static unsigned any_cordoned(void)
{
    unsigned i = 0;

    while (i < NODES_HOSTS_MAX && !admin.cordoned[i])
        i++;
    return i;
}

static bool owes_something(void)
{
    return any_broken() || (world.quiet && any_cordoned() < NODES_HOSTS_MAX);
}

bool operator_busy(void)
{
    return admin.host && (admin.step != RESTING || owes_something());
}

bool operator_replaces(void)
{
    return admin.host && admin.step != FINDING && admin.step != REMOVING;
}

bool operator_moves(void)
{
    return admin.host && (admin.step == DRAINING || admin.step == REBALANCING);
}

bool operator_cordoned(unsigned node)
{
    return admin.host && admin.cordoned[node];
}

bool operator_tainted(unsigned node)
{
    return admin.host && admin.tainted[node];
}

bool operator_unsure(unsigned node, bool of_taint)
{
    return admin.host && admin.unsure[node][of_taint];
}

const char *operator_zone(unsigned node)
{
    return admin.host ? admin.zones[node] : NULL;
}

static void rest(void)
{
    admin.step = RESTING;
    admin.whom = NULL;
}

/* ---- calls ---- */

static void on_answer(struct call *call, const ProtobufCMessage *message);
static void on_ended(struct call *call, const struct error *why);

static struct channel *any_channel(void)
{
    unsigned i;

    do
        i = (unsigned)world_between(0, MASTERS_MAX - 1);
    while (!kmaster_is_member(&kmasters[i]) || kmasters[i].broken);
    if (!admin.channels[i])
        admin.channels[i] = channel_open(
            &admin.host->life->loop, &(struct channel_config){
                                         .address = kmasters[i].host->address,
                                         .role = RPC_ROLE_MASTER,
                                     });
    return admin.channels[i];
}

static void ask(const char *path, const ProtobufCMessageDescriptor *response,
                const ProtobufCMessage *request)
{
    static const struct call_events events = {
        .message = on_answer,
        .ended = on_ended,
    };

    admin.answered = false;
    admin.tries++;
    channel_call_unary(any_channel(),
                       &(struct call_request){
                           .path = path,
                           .response = response,
                           .timeout_ms = TRY_MS,
                           .events = &events,
                       },
                       request);
}

/* Others followed a later leader, though they may be down now, and this one has
 * yet to hear of it. */
static bool is_deposed(const struct kmaster *leader)
{
    uint64_t term = raft_term(leader->master->replica->raft);

    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (kmasters[i].checked_term > term)
            return true;
    return false;
}

/* Whoever is told that it was added may rely on it. */
static void check_added(const struct kmaster *added)
{
    const struct kmaster *leader = kmaster_leader();
    Kontor__V1__RaftConfiguration *members;
    const struct raft *raft;
    bool listed = false;

    if (!leader || is_deposed(leader))
        return;
    raft = leader->master->replica->raft;
    members = raft_configuration_unpack(
        raft_configuration_at(raft, raft_commit_index(raft))->payload);
    for (size_t i = 0; i < members->n_members; i++)
        listed |=
            strcmp(members->members[i]->name, added->host->identity.name) == 0;
    kontor__v1__raft_configuration__free_unpacked(members, NULL);
    if (!listed)
        FAIL("%s was said to be added before that was committed",
             added->host->identity.name);
}

static void on_second_answer(struct call *call, const ProtobufCMessage *message)
{
    const struct kmaster *asked = call_data(call);

    (void)message;
    /* An answer that comes so late may be followed by a removal. */
    if (admin.whom == asked && admin.step != REMOVING)
        check_added(asked);
}

static void on_second_ended(struct call *call, const struct error *why)
{
    (void)call;
    (void)why;
}

/* The same again, before there is an answer. */
static void on_impatience(uv_timer_t *timer)
{
    static const struct call_events events = {
        .message = on_second_answer,
        .ended = on_second_ended,
    };
    Kontor__V1__AddMasterRequest request = KONTOR__V1__ADD_MASTER_REQUEST__INIT;

    (void)timer;
    if (admin.step != ADDING)
        return;
    request.name = admin.whom->host->identity.name;
    request.address = admin.whom->host->address;
    channel_call_unary(
        any_channel(),
        &(struct call_request){
            .path = "/kontor.v1.Cluster/AddMaster",
            .response = &kontor__v1__add_master_response__descriptor,
            .timeout_ms = TRY_MS,
            .events = &events,
            .data = admin.whom,
        },
        &request.base);
}

static void ask_add(void)
{
    Kontor__V1__AddMasterRequest request = KONTOR__V1__ADD_MASTER_REQUEST__INIT;

    request.name = admin.whom->host->identity.name;
    request.address = admin.whom->host->address;
    ask("/kontor.v1.Cluster/AddMaster",
        &kontor__v1__add_master_response__descriptor, &request.base);
    if (world_chance(50))
        uv_timer_start(&admin.impatience, on_impatience,
                       world_between(1, IMPATIENT_MS), 0);
}

static void ask_members(void)
{
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;

    ask("/kontor.v1.Cluster/Masters", &kontor__v1__masters_response__descriptor,
        &request.base);
}

static void ask_remove(void)
{
    Kontor__V1__RemoveMasterRequest request =
        KONTOR__V1__REMOVE_MASTER_REQUEST__INIT;

    request.name = admin.whom->host->identity.name;
    request.id = admin.member;
    ask("/kontor.v1.Cluster/RemoveMaster",
        &kontor__v1__remove_master_response__descriptor, &request.base);
}

static void ask_transfer(void)
{
    Kontor__V1__TransferLeadershipRequest request =
        KONTOR__V1__TRANSFER_LEADERSHIP_REQUEST__INIT;

    if (admin.whom)
        request.name = admin.whom->host->identity.name;
    ask("/kontor.v1.Cluster/TransferLeadership",
        &kontor__v1__transfer_leadership_response__descriptor, &request.base);
}

static void ask_cordon(void)
{
    Kontor__V1__CordonRequest request = KONTOR__V1__CORDON_REQUEST__INIT;

    request.request_id = &admin.id;
    request.node = world.hosts[MASTERS_MAX + admin.node].identity.name;
    request.cordoned = admin.cordons;
    ask("/kontor.v1.Cluster/Cordon", &kontor__v1__cordon_response__descriptor,
        &request.base);
}

static void ask_drain(void)
{
    Kontor__V1__DrainRequest request = KONTOR__V1__DRAIN_REQUEST__INIT;

    request.request_id = &admin.id;
    request.node = world.hosts[MASTERS_MAX + admin.node].identity.name;
    request.force = admin.forces;
    ask("/kontor.v1.Cluster/Drain", &kontor__v1__drain_response__descriptor,
        &request.base);
}

static void ask_rebalance(void)
{
    Kontor__V1__RebalanceRequest request = KONTOR__V1__REBALANCE_REQUEST__INIT;
    Kontor__V1__RebalanceRequest__Even even =
        KONTOR__V1__REBALANCE_REQUEST__EVEN__INIT;

    request.request_id = &admin.id;
    request.even = admin.evens ? &even : NULL;
    ask("/kontor.v1.Cluster/Rebalance",
        &kontor__v1__rebalance_response__descriptor, &request.base);
}

/* A zone, or a taint more or less. */
static void ask_label(void)
{
    Kontor__V1__LabelNodeRequest request = KONTOR__V1__LABEL_NODE_REQUEST__INIT;
    Kontor__V1__LabelChanges changes = KONTOR__V1__LABEL_CHANGES__INIT;
    Kontor__V1__Label label = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&label};
    char key[] = "zone", taint[] = "gpu", value[2] = "";
    char *removed[] = {taint};

    request.request_id = &admin.id;
    request.node = world.hosts[MASTERS_MAX + admin.node].identity.name;
    request.changes = &changes;
    label.key = admin.taints ? taint : key;
    label.value = value;
    if (!admin.taints) {
        value[0] = admin.zone[0];
        changes.labels = labels;
        changes.n_labels = 1;
    } else if (admin.tainted[admin.node]) {
        changes.taints_removed = removed;
        changes.n_taints_removed = 1;
    } else {
        changes.taints = labels;
        changes.n_taints = 1;
    }
    ask("/kontor.v1.Cluster/LabelNode",
        &kontor__v1__label_node_response__descriptor, &request.base);
}

static void ask_again(void)
{
    switch (admin.step) {
    case RESTING:
        return;
    case ADDING:
        ask_add();
        return;
    case JOINING:
    case FINDING:
        ask_members();
        return;
    case REMOVING:
        ask_remove();
        return;
    case TRANSFERRING:
        ask_transfer();
        return;
    case CORDONING:
        ask_cordon();
        return;
    case DRAINING:
        ask_drain();
        return;
    case REBALANCING:
        ask_rebalance();
        return;
    case LABELLING:
        ask_label();
        return;
    }
}

/* ---- what follows from answers ---- */

static void choose_node(unsigned node)
{
    admin.step = CORDONING;
    admin.node = node;
    admin.cordons = !admin.cordoned[node];
    admin.id.high = random_next(&world.random);
}

static void join(const Kontor__V1__MastersResponse *told)
{
    struct kmaster *kmaster = admin.whom;

    if (!join_is_told(told, kmaster->host->identity.name))
        return; /* by one that has yet to hear of it */
    kmaster_enlist(kmaster, told);
    rest();
}

static void find(const Kontor__V1__MastersResponse *told)
{
    for (size_t i = 0; i < told->n_masters; i++)
        if (strcmp(told->masters[i]->name, admin.whom->host->identity.name) ==
            0) {
            admin.member = told->masters[i]->id;
            admin.step = REMOVING;
            admin.tries = 0;
        }
}

static void on_retire(void *data, uint64_t number)
{
    (void)number;
    kmaster_retire(data);
}

static void removed(void)
{
    struct kmaster *kmaster = admin.whom;

    tell(kmaster->host, "is removed");
    tally.changes++;
    tally.replaced += kmaster->broken;
    kmaster->leaving = true;
    world_after(world_between(1, LINGER_MAX_US), on_retire, kmaster, 0);
    rest();
}

static void labelled(void)
{
    tally.labels++;
    if (admin.taints)
        admin.tainted[admin.node] = !admin.tainted[admin.node];
    else
        admin.zones[admin.node] = admin.zone;
    rest();
}

static void on_answer(struct call *call, const ProtobufCMessage *message)
{
    (void)call;
    admin.answered = true;
    switch (admin.step) {
    case RESTING:
        return;
    case ADDING:
        tell(admin.whom->host, "is added");
        check_added(admin.whom);
        tally.changes++;
        admin.step = JOINING;
        admin.tries = 0;
        return;
    case JOINING:
        join((const void *)message);
        return;
    case FINDING:
        find((const void *)message);
        return;
    case REMOVING:
        removed();
        return;
    case TRANSFERRING:
        tally.transfers++;
        rest();
        return;
    case CORDONING:
        tally.cordons++;
        admin.cordoned[admin.node] = admin.cordons;
        rest();
        return;
    case DRAINING:
        tally.drains++;
        admin.cordoned[admin.node] = true;
        rest();
        /* Open again while pods are leaving. */
        if (world.traits.rebalances || world_chance(50))
            choose_node(admin.node);
        return;
    case REBALANCING:
        tally.rebalances++;
        tally.evenings += admin.evens;
        rest();
        return;
    case LABELLING:
        labelled();
        return;
    }
}

static void on_timer(uv_timer_t *timer);

/* An answer that says that it was not done, and will not be. */
static bool is_refusal(enum error_code code)
{
    return code == ERROR_FAILED_PRECONDITION || code == ERROR_ALREADY_EXISTS ||
           code == ERROR_NOT_FOUND || code == ERROR_INVALID_ARGUMENT;
}

/* A copy of it that was sent to an earlier leader may still be carried out: it
 * is to be made sure that the node is open in the end. */
static void refused(void)
{
    if (admin.step == DRAINING)
        admin.cordoned[admin.node] = true;
    else if (admin.step == LABELLING)
        admin.unsure[admin.node][admin.taints] = true;
    rest();
}

static void on_ended(struct call *call, const struct error *why)
{
    (void)call;
    if (admin.closed)
        return;
    if (why->code)
        tell(admin.host, "%s", why->message);
    if (admin.step == TRANSFERRING && admin.tries >= TRANSFER_TRIES_MAX)
        rest();
    else if (admin.step == REMOVING && why->code == ERROR_NOT_FOUND)
        admin.step = FINDING; /* told by one that had yet to hear of it */
    else if (admin.step >= CORDONING && why->code == ERROR_NOT_FOUND)
        ; /* asked again: the node will be there */
    else if ((admin.step >= CORDONING ||
              (admin.step == REMOVING && admin.tries == 1)) &&
             is_refusal(why->code))
        refused();
    uv_timer_start(&admin.timer, on_timer,
                   admin.step == RESTING && !owes_something()
                       ? world_between(1, world.traits.change_every_us / 500)
                       : world_between(1, AGAIN_MS),
                   0);
}

/* ---- what to do next ---- */

static unsigned count_members(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MASTERS_MAX; i++)
        count += kmaster_is_member(&kmasters[i]) && !kmasters[i].leaving;
    return count;
}

static struct kmaster *any_member(void)
{
    unsigned i;

    do
        i = (unsigned)world_between(0, MASTERS_MAX - 1);
    while (!kmaster_is_member(&kmasters[i]) || kmasters[i].leaving);
    return &kmasters[i];
}

/* One that never was a master, or is none any more; NULL: all are. */
static struct kmaster *any_other(void)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (!kmaster_is_member(&kmasters[i]))
            return &kmasters[i];
    return NULL;
}

static void choose_drain(unsigned node)
{
    admin.step = DRAINING;
    admin.node = node;
    admin.forces = world_chance(30);
    admin.id.high = random_next(&world.random);
}

static void choose_label(unsigned node)
{
    admin.step = LABELLING;
    admin.node = node;
    admin.taints = world_chance(30);
    admin.zone = world_chance(50) ? "a" : "b";
    admin.id.high = random_next(&world.random);
}

/* One more that can be done without. */
static bool may_remove(void)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (kmasters[i].host->rotten)
            return false;
    return count_members() > MEMBERS_MIN;
}

static void choose_rebalance(void)
{
    admin.step = REBALANCING;
    admin.evens = world_chance(world.traits.rebalances ? 20 : 50);
    admin.id.high = random_next(&world.random);
}

static void choose_change(void)
{
    uint64_t choice = world_between(0, 99);

    if (world.traits.rebalances && choice < 60) {
        if (choice < 25)
            choose_drain((unsigned)world_between(0, world.traits.nodes - 1));
        else
            choose_rebalance();
    } else if (choice < 25) {
        admin.step = TRANSFERRING;
        if (choice < 15)
            admin.whom = any_member();
    } else if (choice < 35) {
        choose_node((unsigned)world_between(0, world.traits.nodes - 1));
    } else if (choice < 40) {
        choose_drain((unsigned)world_between(0, world.traits.nodes - 1));
    } else if (choice < 44) {
        choose_rebalance();
    } else if (choice < 52) {
        choose_label((unsigned)world_between(0, world.traits.nodes - 1));
    } else if (choice < 72 && may_remove()) {
        admin.step = FINDING;
        admin.whom = any_member();
    } else if (any_other()) {
        admin.step = ADDING;
        admin.whom = any_other();
    }
}

static void choose(void)
{
    struct kmaster *broken = any_broken();

    admin.tries = 0;
    admin.whom = broken;
    if (broken)
        admin.step = broken->owed ? ADDING : FINDING;
    else if (!world.quiet)
        choose_change();
    else if (any_cordoned() < NODES_HOSTS_MAX)
        choose_node(any_cordoned());
}

static void on_timer(uv_timer_t *timer)
{
    if (admin.step == RESTING)
        choose();
    if (admin.step == RESTING)
        uv_timer_start(timer, on_timer, AGAIN_MS, 0);
    else
        ask_again();
}

void operator_start(void)
{
    struct process *process;

    memset(&admin, 0, sizeof admin);
    kontor__v1__request_id__init(&admin.id);
    admin.id.low = 3; /* clients have others */
    if (world.traits.change_every_us == 0)
        return;
    admin.host = &world.hosts[HOSTS_MAX - 1];
    process = process_new(admin.host);
    process_enter(process);
    uv_timer_init(&process->loop, &admin.timer);
    uv_timer_init(&process->loop, &admin.impatience);
    uv_timer_start(&admin.timer, on_timer, world.traits.change_every_us / 1000,
                   0);
    process_leave(process);
}

static void on_closed(void *data)
{
    (void)data;
}

void operator_fini(void)
{
    struct process *process = admin.host ? admin.host->life : NULL;

    if (!process)
        return;
    wires_cut(process, true);
    process_kill(process);
    process_now = process;
    admin.closed = true;
    uv_close((uv_handle_t *)&admin.timer, NULL);
    uv_close((uv_handle_t *)&admin.impatience, NULL);
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (admin.channels[i])
            channel_close(admin.channels[i], on_closed, NULL);
    process_drain(process, NULL);
    process_now = NULL;
    admin.host = NULL;
}
