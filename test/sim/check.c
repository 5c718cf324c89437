#include "test/sim/check.h"

#include "base/map.h"
#include "base/memory.h"
#include "test/sim/sim.h"

#include <inttypes.h>
#include <string.h>

enum {
    DISK_TIMEOUTS = 10, /* election timeouts that a leader's disk may take */
    STREAMED_MAX = 12,  /* times that one snapshot may be */
};

void checks_fini(struct checks *checks)
{
    for (uint64_t i = 0; i < checks->seen_capacity; i++) {
        while (checks->seen[i]) {
            struct seen *seen = checks->seen[i];

            checks->seen[i] = seen->older;
            free(seen);
        }
    }
    free(checks->seen);
    free(checks->committed);
    free(checks->leaders);
    free(checks->votes);
}

/* Room for element `index` of an array of zeroes. */
static void *reach(void *array, uint64_t *capacity, uint64_t index, size_t size)
{
    uint64_t wider = *capacity ? *capacity : 256;
    char *bytes;

    while (wider <= index)
        wider *= 2;
    if (wider == *capacity)
        return array;
    bytes = memory_resize(array, wider * size);
    memset(bytes + *capacity * size, 0, (wider - *capacity) * size);
    *capacity = wider;
    return bytes;
}

static struct committed *committed_at(struct checks *checks, uint64_t index)
{
    checks->committed = reach(checks->committed, &checks->committed_capacity,
                              index, sizeof *checks->committed);
    return &checks->committed[index];
}

/* A new leader: the only one of its term, and it lacks nothing. */
static void check_leader(struct sim *sim, struct master *master)
{
    struct checks *checks = &sim->checks;
    uint64_t term = raft_term(master->raft);
    uint64_t first = raft_first_index(master->raft);
    uint64_t last = raft_last_index(master->raft);

    checks->elections++;
    checks->leaders = reach(checks->leaders, &checks->leaders_capacity, term,
                            sizeof *checks->leaders);
    if (checks->leaders[term])
        story_fail(&sim->story,
                   "election safety: m%u and m%u lead in term %" PRIu64,
                   checks->leaders[term], master->position + 1, term);
    checks->leaders[term] = master->position + 1;
    if (term > checks->newest_leader_term)
        checks->newest_leader_term = term;

    for (uint64_t i = first; i <= checks->last_committed; i++) {
        const struct committed *committed = committed_at(checks, i);

        if (committed->in_term >= term)
            continue;
        if (i > last || raft_entry_at(master->raft, i)->term != committed->term)
            story_fail(&sim->story,
                       "leader completeness: m%u leads term %" PRIu64
                       " without %" PRIu64 "@%" PRIu64,
                       master->position + 1, term, i, committed->term);
    }
}

static void note_members(struct checks *checks,
                         const struct raft_configuration *configuration)
{
    checks->members = 0;
    checks->members_index = configuration->index;
    checks->voters = 0;
    for (unsigned i = 0; i < configuration->count; i++) {
        uint32_t bit = 1u << (configuration->members[i].id - 1);

        checks->members |= bit;
        if (!configuration->members[i].learner)
            checks->voters |= bit;
    }
}

static void check_committed(struct sim *sim, struct master *master,
                            uint64_t index)
{
    struct checks *checks = &sim->checks;
    struct committed *committed = committed_at(checks, index);
    uint64_t term;

    if (index < raft_first_index(master->raft))
        return; /* came as a snapshot: check_applied() compares the state */
    term = raft_entry_at(master->raft, index)->term;
    if (index > checks->last_committed) {
        *committed = (struct committed){
            .term = term,
            .in_term = raft_term(master->raft),
        };
        checks->last_committed = index;
        checks->commits++;
        note_members(checks, raft_configuration_at(master->raft, index));
        check_acknowledged(sim, master, index, term);
    } else if (committed->term != term) {
        story_fail(&sim->story,
                   "state machine safety: m%u commits %" PRIu64 "@%" PRIu64
                   ", committed before is %" PRIu64 "@%" PRIu64,
                   master->position + 1, index, term, index, committed->term);
    }
}

/* While nobody else was elected, nothing can take back what was counted. */
static void check_matches(struct sim *sim, const struct master *master)
{
    const struct raft *raft = master->raft;

    if (raft_term(raft) != sim->checks.newest_leader_term)
        return;
    for (unsigned i = 0; i < raft_configuration(raft)->count; i++) {
        uint32_t id = raft_configuration(raft)->members[i].id;
        uint64_t match = raft_match_index(raft, id);

        if (match >= raft_first_index(raft) &&
            !disk_has(&sim->masters[id - 1].disk, match,
                      raft_entry_at(raft, match)->term))
            story_fail(&sim->story,
                       "durability: m%u counts %" PRIu64
                       " on m%u, which does not have it",
                       master->position + 1, match, id);
    }
}

/* It notices with a heartbeat of its own, or with the first after it stalled.
 */
static void check_disk(struct sim *sim, const struct master *master)
{
    const struct raft_config *config = &sim->traits.config;
    uint64_t limit_us = (DISK_TIMEOUTS * config->election_timeout_ms +
                         2 * config->heartbeat_ms) *
                        1000000 / master->clock_rate_permille;
    const struct disk *disk = &master->disk;
    uint64_t since_us = sim->now_us;

    for (size_t i = disk->waiting_count; i > 0; i--)
        if (disk->waiting[i - 1].store_id)
            since_us = disk->waiting[i - 1].since_us;
    if (sim->now_us > since_us + limit_us &&
        sim->now_us > master->stalled_until_us + 1000 * config->heartbeat_ms)
        story_fail(&sim->story,
                   "hung disk: m%u leads, its disk hangs for %" PRIu64 " ms",
                   master->position + 1, (sim->now_us - since_us) / 1000);
}

void check_restart(struct sim *sim, const struct master *master)
{
    const struct disk *disk = &master->disk;
    uint64_t at = disk->term * RAFT_MEMBERS_MAX + master->position;

    if (at < sim->checks.votes_capacity && sim->checks.votes[at] &&
        sim->checks.votes[at] != disk->voted_for)
        story_fail(&sim->story,
                   "election safety: m%u comes back with a vote for m%u in "
                   "term %" PRIu64 " and had given it to m%u",
                   master->position + 1, disk->voted_for, disk->term,
                   sim->checks.votes[at]);
}

void check_core(struct sim *sim, struct master *master)
{
    uint64_t term = raft_term(master->raft);
    uint64_t commit = raft_commit_index(master->raft);
    enum raft_role role = raft_role(master->raft);

    if (term < master->checked_term || commit < master->checked_commit)
        story_fail(&sim->story,
                   "monotony: term or commit index of m%u went back",
                   master->position + 1);
    if (master->out.contradicts != RAFT_NOBODY)
        story_fail(&sim->story,
                   "log matching: to m%u, m%u would replace what is committed",
                   master->position + 1, master->out.contradicts);
    if (role == RAFT_LEADER &&
        (master->checked_role != RAFT_LEADER || term != master->checked_term))
        check_leader(sim, master);
    if (role != master->checked_role || term != master->checked_term) {
        static const char *const names[] = {"follower", "pre-candidate",
                                            "candidate", "leader"};

        STORY(sim, master, "%s, term %" PRIu64, names[role], term);
        story_mix(&sim->story, 1, master->position, role, term);
    }
    if (role == RAFT_LEADER) {
        check_matches(sim, master);
        check_disk(sim, master);
    }
    for (uint64_t i = master->checked_commit + 1; i <= commit; i++)
        check_committed(sim, master, i);
    master->checked_term = term;
    master->checked_role = role;
    master->checked_commit = commit;
}

static uint64_t entry_hash(const struct raft_entry *entry)
{
    uint64_t hash = map_hash_id(1 + (uint64_t)entry->kind);

    if (entry->payload)
        hash ^= map_hash_bytes(entry->payload->bytes, entry->payload->length);
    return hash;
}

/* Log matching by induction: who has an entry has the one before it. */
static void check_entry(struct sim *sim, struct master *master, uint64_t index,
                        uint64_t previous_term)
{
    struct checks *checks = &sim->checks;
    const struct raft_entry *entry = raft_entry_at(master->raft, index);
    uint64_t hash = entry_hash(entry);
    struct seen *seen;

    checks->seen = reach(checks->seen, &checks->seen_capacity, index,
                         sizeof(struct seen *));
    for (seen = checks->seen[index]; seen; seen = seen->older) {
        if (seen->term != entry->term)
            continue;
        if (seen->hash != hash || (previous_term && seen->previous_term &&
                                   seen->previous_term != previous_term))
            story_fail(&sim->story,
                       "log matching: m%u has another %" PRIu64 "@%" PRIu64,
                       master->position + 1, index, entry->term);
        return;
    }
    checks->truncations += checks->seen[index] != NULL;
    seen = memory_new(sizeof *seen);
    *seen =
        (struct seen){entry->term, previous_term, hash, checks->seen[index]};
    checks->seen[index] = seen;
}

/* Entries before `from` are as they were when it was looked at last. */
static void check_configuration(struct sim *sim, const struct master *master,
                                uint64_t from)
{
    uint64_t newest = raft_configuration(master->raft)->index;
    uint64_t wanted = newest < from ? newest : 0;

    for (uint64_t i = from; i <= raft_last_index(master->raft); i++)
        if (raft_entry_at(master->raft, i)->kind == RAFT_ENTRY_CONFIGURATION)
            wanted = i;
    if (newest != wanted)
        story_fail(&sim->story,
                   "configuration: m%u goes by that of %" PRIu64
                   ", its log has one at %" PRIu64,
                   master->position + 1, newest, wanted);
}

void check_entries(struct sim *sim, struct master *master, uint64_t from)
{
    uint64_t first = raft_first_index(master->raft);
    uint64_t previous_term = 0; /* not known */

    if (from > first)
        previous_term = raft_entry_at(master->raft, from - 1)->term;
    for (uint64_t i = from < first ? first : from;
         i <= raft_last_index(master->raft); i++) {
        check_entry(sim, master, i, previous_term);
        previous_term = raft_entry_at(master->raft, i)->term;
    }
    check_configuration(sim, master, from < first ? first : from);
}

/* What leaves may not depend on what a crash would lose. */
static void check_vote(struct sim *sim, struct master *master,
                       const struct raft_message *message)
{
    struct checks *checks = &sim->checks;
    uint64_t at = message->term * RAFT_MEMBERS_MAX + master->position;
    bool asks = message->kind == RAFT_VOTE;
    uint32_t candidate = asks ? message->from : message->to;

    if (master->disk.term < message->term ||
        (master->disk.term == message->term &&
         master->disk.voted_for != candidate))
        story_fail(&sim->story,
                   "durability: m%u votes for m%u in term %" PRIu64
                   " before that is on its disk",
                   master->position + 1, candidate, message->term);
    checks->votes = reach(checks->votes, &checks->votes_capacity, at,
                          sizeof *checks->votes);
    if (checks->votes[at] && checks->votes[at] != candidate)
        story_fail(
            &sim->story,
            "election safety: m%u votes for m%u and m%u in term %" PRIu64,
            master->position + 1, checks->votes[at], candidate, message->term);
    checks->votes[at] = candidate;
}

/* Durable up to match_index, and in the log as it is said to be. */
static void check_match(struct sim *sim, struct master *master,
                        const struct raft_message *message)
{
    uint64_t match = message->match_index;
    uint64_t term = committed_at(&sim->checks, match)->term; /* compacted */

    if (match >= raft_first_index(master->raft) &&
        match <= raft_last_index(master->raft))
        term = raft_entry_at(master->raft, match)->term;
    if (message->term == raft_term(master->raft) && match > 0 &&
        !disk_has(&master->disk, match, term))
        story_fail(&sim->story,
                   "durability: m%u acknowledges %" PRIu64 "@%" PRIu64
                   " before that is on its disk",
                   master->position + 1, match, term);
}

void check_message(struct sim *sim, struct master *master,
                   const struct raft_message *message)
{
    bool granted = message->granted;

    if (message->kind == RAFT_VOTE ||
        (message->kind == RAFT_VOTE_RESULT && granted))
        check_vote(sim, master, message);
    if (message->kind == RAFT_APPEND_RESULT && granted)
        check_match(sim, master, message);
    if (message->kind != RAFT_PRE_VOTE &&
        message->kind != RAFT_PRE_VOTE_RESULT &&
        master->disk.term < message->term)
        story_fail(&sim->story,
                   "durability: m%u speaks in term %" PRIu64
                   " before that is on its disk",
                   master->position + 1, message->term);
}

void check_applied(struct sim *sim, struct master *master, uint64_t index)
{
    struct committed *committed = committed_at(&sim->checks, index);
    uint64_t digest = sim->machine->digest(master->machine) | 1;

    if (index > sim->checks.last_committed)
        story_fail(&sim->story,
                   "state machine safety: m%u applies %" PRIu64
                   ", not committed",
                   master->position + 1, index);
    if (committed->digest == 0)
        committed->digest = digest;
    if (committed->digest != digest)
        story_fail(&sim->story,
                   "state machine safety: m%u differs after %" PRIu64,
                   master->position + 1, index);
}

/* Do so many of the voters have the entry on disk that nobody can be elected
 * without it? */
static bool on_quorum(const struct sim *sim,
                      const struct raft_configuration *members, uint64_t index,
                      uint64_t term)
{
    unsigned have = 0;
    unsigned voters = 0;

    for (unsigned i = 0; i < members->count; i++) {
        if (members->members[i].learner)
            continue;
        voters++;
        have += disk_has(&sim->masters[members->members[i].id - 1].disk, index,
                         term);
    }
    return have >= voters / 2 + 1;
}

/* It was counted when its own configuration was in effect, or any later one.
 */
void check_acknowledged(struct sim *sim, const struct master *master,
                        uint64_t index, uint64_t term)
{
    const struct raft *raft = master->raft;
    const struct raft_configuration *members = raft_configuration(raft);

    while (!on_quorum(sim, members, index, term) && members->index > index)
        members = raft_configuration_at(raft, members->index - 1);
    if (!on_quorum(sim, members, index, term))
        story_fail(&sim->story,
                   "durability: %" PRIu64 "@%" PRIu64
                   " is acknowledged and not on a quorum of disks",
                   index, term);
}

/* Again when the follower had it not yet on disk; more often is a loop. */
void check_streamed(struct sim *sim, struct master *leader, unsigned to)
{
    uint64_t index = leader->streams_index[to];
    struct streamed *streamed = &leader->streamed[to];
    uint64_t term = raft_term(leader->raft);

    if (streamed->term != term || streamed->index != index)
        *streamed = (struct streamed){term, index, 0};
    if (++streamed->times > STREAMED_MAX)
        story_fail(&sim->story,
                   "snapshot loop: m%u sends m%u %" PRIu64
                   " again and again, whatever it answers",
                   leader->position + 1, to + 1, index);
}

void check_read(struct sim *sim, const struct master *master, uint64_t must_see)
{
    sim->checks.reads++;
    if (master->applied < must_see)
        story_fail(&sim->story,
                   "stale read: m%u serves at %" PRIu64 ", %" PRIu64
                   " was committed before it was asked",
                   master->position + 1, master->applied, must_see);
}
