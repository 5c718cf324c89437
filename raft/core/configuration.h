/* configuration.h - who belongs to the cluster, as the log has it.
 *
 * A configuration counts from the moment its entry is in the log, committed
 * or not (chapter 4.1); a truncation brings the one before it back. */
#pragma once

#include "kontor/v1/raft.pb-c.h"
#include "raft/core/message.h"

enum { RAFT_NAME_MAX = 64, RAFT_ADDRESS_MAX = 256 }; /* with terminators */

struct raft_member {
    uint32_t id;
    bool learner; /* is sent the log, does not count (chapter 4.2.1) */
};

struct raft_configuration {
    uint64_t index; /* of its entry; before the log: the snapshot's */
    unsigned count;
    struct raft_member members[RAFT_MEMBERS_MAX]; /* ids ascend */
    struct raft_payload *payload; /* owned: names and addresses, too */
};

/* Serialised, for an entry or raft_restart; one reference, the caller's. */
struct raft_payload *
raft_configuration_pack(const Kontor__V1__RaftConfiguration *message);

/* Parsed; freed with kontor__v1__raft_configuration__free_unpacked(). NULL
 * when it is no configuration: from 1 to RAFT_MEMBERS_MAX members, not all
 * learners, ids ascending from 1 and below next_id, names and addresses given,
 * of their length and no two names the same. */
Kontor__V1__RaftConfiguration *
raft_configuration_unpack(const struct raft_payload *payload);

bool raft_configuration_valid(const struct raft_payload *payload);

/* The member's place; -1 for a stranger. */
int raft_configuration_find(const struct raft_configuration *configuration,
                            uint32_t id);

/* ---- those of one log ---- */

/* Oldest first: the one that counts before the log's first entry, then one
 * for each entry of that kind; the last is in effect. */
struct raft_configurations {
    struct raft_configuration *list; /* owned; never empty */
    size_t count;
    size_t capacity;
};

/* `payload` is valid and shared. */
void raft_configurations_init(struct raft_configurations *configurations,
                              uint64_t index, struct raft_payload *payload);
void raft_configurations_fini(struct raft_configurations *configurations);
void raft_configurations_add(struct raft_configurations *configurations,
                             uint64_t index, struct raft_payload *payload);
/* The log was cut: entries from `from` on are gone. True: another one is in
 * effect now. */
bool raft_configurations_cut(struct raft_configurations *configurations,
                             uint64_t from);
/* A snapshot at `index` was taken: what is older than it needs is dropped. */
void raft_configurations_compact(struct raft_configurations *configurations,
                                 uint64_t index);
/* What was in effect at `index`. Borrowed. */
const struct raft_configuration *
raft_configurations_at(const struct raft_configurations *configurations,
                       uint64_t index);
