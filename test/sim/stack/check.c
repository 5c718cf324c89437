#include "test/sim/stack/check.h"

#include "base/map.h"
#include "base/memory.h"
#include "kontor/v1/node.pb-c.h"
#include "kontor/v1/raft.pb-c.h"
#include "raft/replica_parts.h"
#include "test/sim/disk/disk.h"
#include "test/sim/disk/expected.h"
#include "test/sim/stack/check_state.h"
#include "test/sim/stack/kmaster.h"

#include <inttypes.h>
#include <string.h>

/* An entry that was seen in some log. */
struct seen {
    uint64_t term;
    uint64_t previous_term;
    uint64_t hash; /* of kind and bytes */
    struct seen *older;
};

struct committed {
    uint64_t term;
    uint64_t in_term; /* in which it was committed first */
};

/* What a master's disk holds. */
struct shadow {
    bool made;                /* its store was opened once */
    struct expected there;    /* what was said to be durable */
    bool unsure;              /* a crash came; also possible: */
    struct expected possible; /* one transaction more */
    struct expected *noting;  /* one of the two */
};

struct tally tally;

static struct {
    struct seen **seen; /* by index */
    uint64_t seen_capacity;
    struct committed *committed; /* by index */
    uint64_t committed_capacity;
    uint64_t last_committed;
    unsigned *leaders; /* by term: position + 1 */
    uint64_t leaders_capacity;
    struct shadow shadows[MASTERS_MAX];
} checks;

void checks_init(void)
{
    memset(&checks, 0, sizeof checks);
}

void checks_fini(void)
{
    for (uint64_t i = 0; i < checks.seen_capacity; i++) {
        while (checks.seen[i]) {
            struct seen *seen = checks.seen[i];

            checks.seen[i] = seen->older;
            free(seen);
        }
    }
    free(checks.seen);
    free(checks.committed);
    free(checks.leaders);
    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        expected_fini(&checks.shadows[i].there);
        expected_fini(&checks.shadows[i].possible);
    }
    checks_init();
}

uint64_t check_committed(void)
{
    return checks.last_committed;
}

static struct committed *committed_at(uint64_t index)
{
    checks.committed = world_reach(checks.committed, &checks.committed_capacity,
                                   index, sizeof *checks.committed);
    return &checks.committed[index];
}

/* ---- the core ---- */

static void check_leader(struct kmaster *kmaster, const struct raft *raft)
{
    const char *name = kmaster->host->identity.name;
    uint64_t term = raft_term(raft);
    uint64_t last = raft_last_index(raft);

    tally.elections++;
    checks.leaders = world_reach(checks.leaders, &checks.leaders_capacity, term,
                                 sizeof *checks.leaders);
    if (checks.leaders[term])
        FAIL("election safety: m%u and %s lead in term %" PRIu64,
             checks.leaders[term], name, term);
    checks.leaders[term] = kmaster->host->position + 1;
    for (uint64_t i = raft_first_index(raft); i <= checks.last_committed; i++) {
        const struct committed *committed = committed_at(i);

        if (committed->in_term < term &&
            (i > last || raft_entry_at(raft, i)->term != committed->term))
            FAIL("leader completeness: %s leads term %" PRIu64
                 " without %" PRIu64 "@%" PRIu64,
                 name, term, i, committed->term);
    }
}

static void check_commit(struct kmaster *kmaster, const struct raft *raft,
                         uint64_t index)
{
    struct committed *committed = committed_at(index);
    uint64_t term;

    if (index < raft_first_index(raft))
        return; /* came as a snapshot: the states are compared */
    term = raft_entry_at(raft, index)->term;
    if (index > checks.last_committed) {
        *committed = (struct committed){term, raft_term(raft)};
        checks.last_committed = index;
        tally.commits++;
    } else if (committed->term && committed->term != term) {
        FAIL("state machine safety: %s commits %" PRIu64 "@%" PRIu64
             ", committed before is %" PRIu64 "@%" PRIu64,
             kmaster->host->identity.name, index, term, index, committed->term);
    }
}

static void check_master(struct kmaster *kmaster)
{
    const struct raft *raft = kmaster->master->replica->raft;
    uint64_t term = raft_term(raft);
    uint64_t commit = raft_commit_index(raft);
    uint64_t applied = kmaster->master->replica->applied_index;
    enum raft_role role = raft_role(raft);

    if (term < kmaster->checked_term || commit < kmaster->checked_commit)
        FAIL("%s: term or commit index went back",
             kmaster->host->identity.name);
    if (role == RAFT_LEADER &&
        (kmaster->checked_role != RAFT_LEADER || term != kmaster->checked_term))
        check_leader(kmaster, raft);
    for (uint64_t i = kmaster->checked_commit + 1; i <= commit; i++)
        check_commit(kmaster, raft, i);
    /* A turn in whose midst it stood still leaves the rest to the next. */
    if (applied > commit || (applied < commit && !world.traits.apply_entries &&
                             !kmaster->host->life->stopped))
        FAIL("%s has applied %" PRIu64 ", committed is %" PRIu64,
             kmaster->host->identity.name, applied, commit);
    kmaster->checked_term = term;
    kmaster->checked_role = role;
    kmaster->checked_commit = commit;
}

void check_turn(struct host *host)
{
    struct kmaster *kmaster = host->data;

    if (host->position >= MASTERS_MAX || kmaster->closing || !host->life)
        return;
    check_master(kmaster);
    check_state_turn(host, kmaster->master);
}

/* ---- the log ---- */

static uint64_t entry_hash(const struct raft_entry *entry)
{
    uint64_t hash = map_hash_id(1 + (uint64_t)entry->kind);

    if (entry->payload)
        hash ^= map_hash_bytes(entry->payload->bytes, entry->payload->length);
    return hash;
}

/* By induction: who has an entry has the one before it. */
static void check_entry(const struct host *host, uint64_t index,
                        const struct raft_entry *entry, uint64_t previous_term)
{
    uint64_t hash = entry_hash(entry);
    struct seen *seen;

    checks.seen = world_reach(checks.seen, &checks.seen_capacity, index,
                              sizeof(struct seen *));
    for (seen = checks.seen[index]; seen; seen = seen->older) {
        if (seen->term != entry->term)
            continue;
        if (seen->hash != hash || (previous_term && seen->previous_term &&
                                   seen->previous_term != previous_term))
            FAIL("log matching: %s has another %" PRIu64 "@%" PRIu64,
                 host->identity.name, index, entry->term);
        return;
    }
    seen = memory_new(sizeof *seen);
    *seen = (struct seen){entry->term, previous_term, hash, checks.seen[index]};
    checks.seen[index] = seen;
}

void check_submitted(struct host *host, const struct store_write *write)
{
    const struct kmaster *kmaster = host->data;
    const struct raft *raft = kmaster->master->replica->raft;
    uint64_t previous_term = 0;

    if (host->life != process_now)
        return; /* of a dead process */
    if (write->from > raft_first_index(raft))
        previous_term = raft_entry_at(raft, write->from - 1)->term;
    for (size_t i = 0; i < write->entry_count; i++) {
        check_entry(host, write->from + i, &write->entries[i], previous_term);
        previous_term = write->entries[i].term;
    }
}

/* ---- the disk ---- */

static void settle_shadow(struct host *host, struct shadow *shadow,
                          const struct store_content *content)
{
    const char *text = expected_differs(&shadow->there, content);

    if (text && shadow->unsure && !expected_differs(&shadow->possible, content))
        expected_copy(&shadow->there, &shadow->possible);
    else if (text)
        FAIL("durability: %s finds on its disk: %s%s", host->identity.name,
             text, host->rotten ? "; rot was served" : "");
    shadow->unsure = false;
}

void check_opened(struct host *host, const struct store_content *content)
{
    struct shadow *shadow = &checks.shadows[host->position];

    if (disk_is_off(host->disk))
        return; /* nobody hears of it */
    if (!shadow->made) {
        expected_init(&shadow->there, content->configuration);
        shadow->made = true;
    }
    settle_shadow(host, shadow, content);
    tally.restarts += content->term > 0;
}

void check_emptied(struct host *host)
{
    struct shadow *shadow = &checks.shadows[host->position];

    expected_fini(&shadow->there);
    expected_fini(&shadow->possible);
    memset(shadow, 0, sizeof *shadow);
}

void check_transaction(struct host *host, bool maybe)
{
    struct shadow *shadow = &checks.shadows[host->position];

    shadow->unsure = maybe;
    if (maybe)
        expected_copy(&shadow->possible, &shadow->there);
    shadow->noting = maybe ? &shadow->possible : &shadow->there;
}

void check_stored(struct host *host, const struct store_write *write)
{
    expected_write(checks.shadows[host->position].noting, write);
}

void check_compacted(struct host *host,
                     const struct store_compaction *compaction)
{
    struct shadow *shadow = &checks.shadows[host->position];
    const struct kmaster *kmaster = host->data;
    const struct committed *committed =
        committed_at(compaction->snapshot_index);

    if (!kmaster->closing && /* else what it commits is not looked at */
        (compaction->snapshot_index > checks.last_committed ||
         (committed->term && committed->term != compaction->snapshot_term)))
        FAIL("%s has a snapshot of %" PRIu64 "@%" PRIu64
             ", committed is %" PRIu64 "@%" PRIu64,
             host->identity.name, compaction->snapshot_index,
             compaction->snapshot_term, compaction->snapshot_index,
             committed->term);
    expected_compact(shadow->noting, compaction);
    if (compaction->replaces_log)
        tally.installs++;
    else
        tally.snapshots++;
}

/* ---- what is said ---- */

/* Durable, and in the log as it is said to be. */
static void check_match(const struct host *host,
                        const Kontor__V1__RaftMessage *said)
{
    const struct expected *there = &checks.shadows[host->position].there;
    const struct kmaster *kmaster = host->data;
    const struct raft *raft = kmaster->master->replica->raft;
    uint64_t match = said->match_index;
    bool durable = match <= expected_last(there);

    if (said->term != raft_term(raft) || match == 0)
        return;
    if (durable && match >= there->first_index &&
        match >= raft_first_index(raft) && match <= raft_last_index(raft))
        durable = there->entries[match - there->first_index].term ==
                  raft_entry_at(raft, match)->term;
    if (!durable)
        FAIL("durability: %s acknowledges %" PRIu64
             " before that is on its disk",
             host->identity.name, match);
}

/* What leaves may not depend on what a crash would lose. */
static void check_raft(const struct host *host,
                       const Kontor__V1__RaftMessage *said)
{
    const struct expected *there = &checks.shadows[host->position].there;

    if (said->kind != RAFT_PRE_VOTE && said->kind != RAFT_PRE_VOTE_RESULT &&
        there->term < said->term)
        FAIL("durability: %s speaks in term %" PRIu64
             " before that is on its disk",
             host->identity.name, said->term);
    if (said->kind == RAFT_VOTE_RESULT && said->granted &&
        there->term == said->term && there->voted_for != said->to)
        FAIL("durability: %s votes in term %" PRIu64
             " before that is on its disk",
             host->identity.name, said->term);
    if (said->kind == RAFT_APPEND_RESULT && said->granted)
        check_match(host, said);
}

/* Nodes obey a term's leader, and only it. */
static void check_order(const struct host *host, uint64_t term)
{
    const struct kmaster *kmaster = host->data;
    const struct raft *raft = kmaster->master->replica->raft;
    bool leads = raft_role(raft) == RAFT_LEADER && raft_term(raft) == term;

    if (term < checks.leaders_capacity && checks.leaders[term])
        leads = checks.leaders[term] == host->position + 1;
    if (!leads)
        FAIL("%s gives orders in term %" PRIu64 ", in which it does not lead",
             host->identity.name, term);
}

void check_sent(const struct process *process, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *what = message->descriptor;
    const void *said = message;

    if (process_is_mute(process))
        return;
    if (what == &kontor__v1__raft_message__descriptor)
        check_raft(process->host, said);
    else if (what == &kontor__v1__create_pods_request__descriptor)
        check_order(process->host,
                    ((const Kontor__V1__CreatePodsRequest *)said)->term);
    else if (what == &kontor__v1__delete_pods_request__descriptor)
        check_order(process->host,
                    ((const Kontor__V1__DeletePodsRequest *)said)->term);
}
