/* replica_members.c - who belongs to the cluster: founding it, joining it, and
 * the changes that an operator asks of its leader. */
#include "raft/replica_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A learner that lacks no more than this is made a voter. */
enum { PROMOTE_LAG_ENTRIES = 64 };

enum { MAKE_WAY_EVERY_MS = 10000 };

static const Kontor__V1__RaftMember *
find_name(const Kontor__V1__RaftConfiguration *members, const char *name)
{
    for (size_t i = 0; i < members->n_members; i++)
        if (strcmp(members->members[i]->name, name) == 0)
            return members->members[i];
    return NULL;
}

bool replica_members_settled(const struct replica *replica)
{
    return raft_may_change(replica->raft);
}

const char *replica_name(const struct replica *replica, uint32_t member)
{
    const Kontor__V1__RaftConfiguration *members = replica->members;

    if (member == RAFT_NOBODY)
        return "nobody";
    if (member == replica->self)
        return replica->name;
    for (size_t i = 0; i < members->n_members; i++)
        if (members->members[i]->id == member)
            return members->members[i]->name;
    return "a stranger";
}

struct channel *replica_channel(const struct replica *replica, const char *name)
{
    const Kontor__V1__RaftMember *member = find_name(replica->members, name);

    return member ? peers_channel(replica->peers, member->id) : NULL;
}

void replica_take_members(struct replica *replica)
{
    if (replica->members)
        kontor__v1__raft_configuration__free_unpacked(replica->members, NULL);
    replica->members =
        raft_configuration_unpack(raft_configuration(replica->raft)->payload);
    assert(replica->members);
    replica->out.members_changed = false;
    if (replica->peers)
        peers_set(replica->peers, replica->members);
}

/* In the midst of a turn the core may know newer members than we. */
static void keep_in_step(struct replica *replica)
{
    if (replica->out.members_changed)
        replica_take_members(replica);
}

const Kontor__V1__RaftConfiguration *replica_members(struct replica *replica)
{
    keep_in_step(replica);
    return replica->members;
}

/* ---- what their programs know ---- */

static bool is_heard(const struct replica *replica, uint32_t member,
                     uint32_t *format)
{
    *format = 0;
    return raft_hears(replica->raft, member) &&
           peers_format(replica->peers, member, format);
}

struct replica_formats replica_formats(struct replica *replica)
{
    const Kontor__V1__RaftConfiguration *members = replica_members(replica);
    struct replica_formats formats = {replica->format, replica->name, true};

    for (size_t i = 0; i < members->n_members; i++) {
        const Kontor__V1__RaftMember *member = members->members[i];
        uint32_t format;
        bool heard;

        if (member->id == replica->self)
            continue;
        heard = is_heard(replica, member->id, &format);
        if (format < formats.least)
            formats = (struct replica_formats){format, member->name, heard};
    }
    return formats;
}

/* Can its program apply what was? */
static bool is_of_format(const struct replica *replica, uint32_t member)
{
    const struct replica_machine *machine = &replica->machine;
    uint32_t format;

    return !machine->format || (is_heard(replica, member, &format) &&
                                format >= machine->format(machine->data));
}

/* ---- a configuration that is being made ---- */

/* Its strings are borrowed. */
struct draft {
    Kontor__V1__RaftConfiguration message;
    Kontor__V1__RaftMember members[RAFT_MEMBERS_MAX];
    Kontor__V1__RaftMember *pointers[RAFT_MEMBERS_MAX];
};

static void draft_init(struct draft *draft, uint32_t next_id)
{
    kontor__v1__raft_configuration__init(&draft->message);
    draft->message.members = draft->pointers;
    draft->message.next_id = next_id;
}

static Kontor__V1__RaftMember *draft_add(struct draft *draft)
{
    size_t at = draft->message.n_members++;

    assert(at < RAFT_MEMBERS_MAX);
    kontor__v1__raft_member__init(&draft->members[at]);
    draft->pointers[at] = &draft->members[at];
    return &draft->members[at];
}

/* The present members but `without`, which may be NULL. Unknown fields of
 * theirs are kept. */
static void draft_present(struct draft *draft, const struct replica *replica,
                          const Kontor__V1__RaftMember *without)
{
    const Kontor__V1__RaftConfiguration *present = replica->members;

    draft_init(draft, present->next_id);
    draft->message.base = present->base;
    for (size_t i = 0; i < present->n_members; i++)
        if (present->members[i] != without)
            *draft_add(draft) = *present->members[i];
}

static uint64_t propose(struct replica *replica, const struct draft *draft)
{
    struct raft_payload *payload = raft_configuration_pack(&draft->message);
    uint64_t index =
        raft_propose_configuration(replica->raft, payload, &replica->out);

    raft_payload_drop(payload);
    replica->stepped = true;
    return index;
}

/* ---- the beginning ---- */

static int compare_members(const void *a, const void *b)
{
    const struct replica_member *left = a;
    const struct replica_member *right = b;

    if (left->id != right->id)
        return left->id < right->id ? -1 : 1;
    return strcmp(left->name, right->name);
}

static int check_founders(const struct replica_config *config,
                          struct error *why)
{
    if (config->member_count == 0 || config->member_count > RAFT_MEMBERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%u members, there may be 1 to %d",
                         config->member_count, RAFT_MEMBERS_MAX);
    for (unsigned i = 0; i < config->member_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (strcmp(config->members[i].name, config->members[j].name) == 0)
                return error_set(why, ERROR_INVALID_ARGUMENT,
                                 "two members have the name %s",
                                 config->members[i].name);
    return 0;
}

/* Ids are the places of the names in order, the same on every founder, unless
 * they are given. */
struct raft_payload *replica_founders(const struct replica_config *config,
                                      uint32_t *self, struct error *why)
{
    struct replica_member sorted[RAFT_MEMBERS_MAX];
    struct raft_payload *payload;
    struct draft draft;

    if (check_founders(config, why) != 0)
        return NULL;
    memcpy(sorted, config->members, config->member_count * sizeof *sorted);
    qsort(sorted, config->member_count, sizeof *sorted, compare_members);
    draft_init(&draft, 1);
    *self = RAFT_NOBODY;
    for (unsigned i = 0; i < config->member_count; i++) {
        Kontor__V1__RaftMember *member = draft_add(&draft);

        member->id = sorted[i].id ? sorted[i].id : i + 1;
        member->name = without_const(sorted[i].name);
        member->address = without_const(sorted[i].address);
        member->learner = sorted[i].learner;
        draft.message.next_id = member->id + 1;
        if (strcmp(member->name, config->name) == 0)
            *self = member->id;
    }
    if (*self == RAFT_NOBODY) {
        error_set(why, ERROR_INVALID_ARGUMENT, "%s is not one of the members",
                  config->name);
        return NULL;
    }
    payload = raft_configuration_pack(&draft.message);
    if (raft_configuration_valid(payload))
        return payload;
    raft_payload_drop(payload);
    error_set(why, ERROR_INVALID_ARGUMENT,
              "a member's name or address is empty or too long, or all are "
              "learners");
    return NULL;
}

/* ---- changes ---- */

static int check_may_change(const struct replica *replica, struct error *why)
{
    uint32_t leader = raft_leader(replica->raft);

    if (raft_role(replica->raft) != RAFT_LEADER)
        return error_set(why, ERROR_UNAVAILABLE,
                         "%s does not lead; the leader is %s", replica->name,
                         replica_name(replica, leader));
    if (!raft_may_change(replica->raft))
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "another change of the masters is under way");
    return 0;
}

/* Could the voters of the draft that are heard commit anything? */
static int check_quorum(const struct replica *replica,
                        const struct draft *draft, struct error *why)
{
    unsigned voters = 0;
    unsigned heard = 0;

    for (size_t i = 0; i < draft->message.n_members; i++) {
        if (draft->members[i].learner)
            continue;
        voters++;
        heard += raft_hears(replica->raft, draft->members[i].id);
    }
    if (heard >= voters / 2 + 1)
        return 0;
    return error_set(why, ERROR_FAILED_PRECONDITION,
                     "of the %u masters that would be left %u answer, %u must",
                     voters, heard, voters / 2 + 1);
}

static int draft_addition(const struct replica *replica, struct draft *draft,
                          const struct replica_change *change,
                          struct error *why)
{
    Kontor__V1__RaftMember *member;

    if (change->name[0] == '\0' || strlen(change->name) >= RAFT_NAME_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "name \"%.80s\": 1 to %d bytes", change->name,
                         RAFT_NAME_MAX - 1);
    if (change->address[0] == '\0' ||
        strlen(change->address) >= RAFT_ADDRESS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "address \"%.80s\": 1 to %d bytes", change->address,
                         RAFT_ADDRESS_MAX - 1);
    if (find_name(replica->members, change->name))
        return error_set(why, ERROR_ALREADY_EXISTS,
                         "%s is one of the masters already", change->name);
    if (replica->members->n_members == RAFT_MEMBERS_MAX)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "there are %d masters, and can be no more",
                         RAFT_MEMBERS_MAX);
    draft_present(draft, replica, NULL);
    member = draft_add(draft);
    member->id = draft->message.next_id++;
    member->name = without_const(change->name);
    member->address = without_const(change->address);
    member->learner = true;
    return 0;
}

static int draft_removal(const struct replica *replica, struct draft *draft,
                         const struct replica_change *change, struct error *why)
{
    const Kontor__V1__RaftMember *member =
        find_name(replica->members, change->name);

    if (!member)
        return error_set(why, ERROR_NOT_FOUND, "no master is called \"%.80s\"",
                         change->name);
    if (change->id && member->id != change->id)
        return error_set(why, ERROR_NOT_FOUND,
                         "%s is number %" PRIu32
                         " of the masters, not %" PRIu32,
                         change->name, member->id, change->id);
    if (member->id == replica->self)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s leads: hand leadership over first", change->name);
    draft_present(draft, replica, member);
    return check_quorum(replica, draft, why);
}

int replica_change(struct replica *replica, struct replica_proposal *proposal,
                   const struct replica_change *change, struct error *why)
{
    struct draft draft;
    int code = check_may_change(replica, why);

    keep_in_step(replica);
    if (code == 0)
        code = change->kind == REPLICA_ADD
                   ? draft_addition(replica, &draft, change, why)
                   : draft_removal(replica, &draft, change, why);
    if (code == 0) {
        proposal->bytes = 0; /* a configuration is no command */
        replica_wait(replica, proposal, propose(replica, &draft));
    }
    return code;
}

/* A learner that is there and has nearly all of the log, the entry that added
 * it too. */
static const Kontor__V1__RaftMember *ripe(const struct replica *replica)
{
    const struct raft *raft = replica->raft;

    for (size_t i = 0; i < replica->members->n_members; i++) {
        const Kontor__V1__RaftMember *member = replica->members->members[i];
        uint64_t match = raft_match_index(raft, member->id);

        if (member->learner && raft_hears(raft, member->id) &&
            match >= raft_configuration(raft)->index &&
            match + PROMOTE_LAG_ENTRIES >= raft_last_index(raft) &&
            is_of_format(replica, member->id))
            return member;
    }
    return NULL;
}

void replica_promote(struct replica *replica)
{
    const Kontor__V1__RaftMember *member;
    struct draft draft;
    struct error why;

    if (!raft_may_change(replica->raft))
        return;
    keep_in_step(replica);
    member = ripe(replica);
    if (!member)
        return;
    draft_present(&draft, replica, NULL);
    for (size_t i = 0; i < draft.message.n_members; i++)
        if (draft.members[i].id == member->id)
            draft.members[i].learner = false;
    if (check_quorum(replica, &draft, &why) != 0)
        return;
    log_info("raft: %s has caught up and votes from now on", member->name);
    propose(replica, &draft);
}

/* ---- transfer ---- */

/* The voter with most of the log; NULL when none is heard. */
static const Kontor__V1__RaftMember *successor(const struct replica *replica)
{
    const Kontor__V1__RaftMember *best = NULL;
    uint64_t most = 0;

    for (size_t i = 0; i < replica->members->n_members; i++) {
        const Kontor__V1__RaftMember *member = replica->members->members[i];
        uint64_t match = raft_match_index(replica->raft, member->id);

        if (member->learner || member->id == replica->self ||
            !raft_hears(replica->raft, member->id) || (best && match <= most))
            continue;
        best = member;
        most = match;
    }
    return best;
}

static int check_successor(const struct replica *replica, const char *name,
                           const Kontor__V1__RaftMember *member,
                           struct error *why)
{
    if (!member && name)
        return error_set(why, ERROR_NOT_FOUND, "no master is called \"%.80s\"",
                         name);
    if (!member)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "no other master answers");
    if (member->learner)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s has not caught up yet", member->name);
    if (!raft_hears(replica->raft, member->id))
        return error_set(why, ERROR_FAILED_PRECONDITION, "%s does not answer",
                         member->name);
    return 0;
}

int replica_transfer(struct replica *replica, const char *name,
                     struct error *why)
{
    const Kontor__V1__RaftMember *member;

    if (raft_role(replica->raft) != RAFT_LEADER)
        return error_set(why, ERROR_UNAVAILABLE, "%s does not lead",
                         replica->name);
    if (raft_hands_over(replica->raft))
        return name ? error_set(why, ERROR_FAILED_PRECONDITION,
                                "leadership is being handed over already")
                    : 0;
    keep_in_step(replica);
    member = name ? find_name(replica->members, name) : successor(replica);
    if (check_successor(replica, name, member, why) != 0)
        return why->code;
    if (member->id == replica->self)
        return 0;
    log_info("raft: %s hands over to %s", replica->name, member->name);
    raft_transfer(replica->raft, member->id, clock_boot_ms(), &replica->out);
    replica->stepped = true;
    return 0;
}

void replica_make_way(struct replica *replica)
{
    uint64_t now_ms = clock_boot_ms();
    struct error why;

    if (raft_role(replica->raft) != RAFT_LEADER ||
        now_ms < replica->way_again_ms)
        return;
    replica->way_again_ms = now_ms + MAKE_WAY_EVERY_MS;
    if (replica_transfer(replica, NULL, &why) != 0)
        log_warn("raft: the disk is nearly full, and %s", why.message);
}
