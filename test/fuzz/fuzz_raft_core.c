/* fuzz_raft_core.c - a core, m1 of three, that lives through any sequence of
 * events: whatever the other members say, it goes on, what it has committed
 * stays, and its term, its vote and its commit index never go back.
 *
 * The first byte says how it begins, each event is a byte and its arguments;
 * an input that is at its end reads as zeroes. Messages come as they would from
 * the wire, through the codec. */
#include "base/memory.h"
#include "raft/codec.h"
#include "raft/core/raft.h"
#include "test/unit/raft_members.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { ENTRIES_MAX = 6, COMMITTED_MAX = 4096 };

struct life {
    const uint8_t *bytes; /* left of the input */
    size_t length;
    struct raft *raft;
    struct raft_output out;
    uint64_t now_ms;
    uint64_t written; /* newest write */
    uint64_t stored;  /* and the newest that is durable */
    /* What was true after the last event. */
    uint64_t term;
    uint32_t vote;
    uint64_t commit_index;
    /* Committed entries after `base`: their terms and bytes. */
    uint64_t base, base_term;
    size_t committed_count;
    uint64_t terms[COMMITTED_MAX];
    struct raft_payload *payloads[COMMITTED_MAX]; /* counted */
    /* The snapshot that is being received; index 0: none. */
    uint64_t snapshot_index;
    uint64_t snapshot_term;
};

/* ---- the input ---- */

static uint8_t take(struct life *life)
{
    if (life->length == 0)
        return 0;
    life->length--;
    return *life->bytes++;
}

/* Close to something that matters, or any number. */
static uint64_t take_number(struct life *life)
{
    const uint64_t near[] = {
        0,
        raft_term(life->raft),
        raft_last_index(life->raft),
        raft_commit_index(life->raft),
        raft_first_index(life->raft),
        RAFT_NUMBER_MAX,
        UINT64_MAX,
    };
    uint8_t how = take(life);
    uint64_t number = 0;

    if (how < 250)
        return near[how % 7] + how / 7 % 7 - 3;
    for (unsigned i = 0; i < sizeof number; i++)
        number = number << 8 | take(life);
    return number;
}

/* m1 to m5, some of them learners, one perhaps missing; or any bytes. */
static struct raft_payload *take_members(struct life *life)
{
    uint8_t how = take(life);

    if (how >= 240)
        return raft_payload_new(&how, how % 2);
    return raft_members(1 + how % 3, how / 3 % 3, how / 9 % 6);
}

static struct raft_entry take_entry(struct life *life)
{
    struct raft_entry entry = {.term = take_number(life)};
    uint8_t kind = take(life);

    entry.kind = (enum raft_entry_kind)(kind % 4);
    if (entry.kind == RAFT_ENTRY_CONFIGURATION)
        entry.payload = take_members(life);
    else if (entry.kind == RAFT_ENTRY_COMMAND)
        entry.payload = raft_payload_new(&kind, sizeof kind);
    return entry;
}

/* ---- what must be true after every event ---- */

static void check_committed(struct life *life)
{
    uint64_t first = raft_first_index(life->raft);

    for (size_t i = 0; i < COMMITTED_MAX; i++) {
        uint64_t index = life->base + 1 + i;
        const struct raft_entry *entry;

        if (index > raft_commit_index(life->raft))
            return;
        if (index < first)
            continue;
        entry = raft_entry_at(life->raft, index);
        if (i < life->committed_count) {
            assert(entry->term == life->terms[i]);
            assert(entry->payload == life->payloads[i]);
            continue;
        }
        life->terms[i] = entry->term;
        life->payloads[i] = raft_payload_take(entry->payload);
        life->committed_count = i + 1;
    }
}

static void check_log(const struct life *life)
{
    const struct raft *raft = life->raft;
    bool whole = raft_first_index(raft) == life->base + 1;
    uint64_t term = whole ? life->base_term : 0;

    assert(raft_first_index(raft) <= raft_commit_index(raft) + 1);
    assert(raft_commit_index(raft) <= raft_last_index(raft));
    assert(raft_settled_index(raft) <= raft_commit_index(raft));
    for (uint64_t i = raft_first_index(raft); i <= raft_last_index(raft); i++) {
        assert(raft_entry_at(raft, i)->term >= term);
        term = raft_entry_at(raft, i)->term;
    }
    assert(term <= raft_term(raft));
}

static void check_messages(const struct life *life)
{
    for (size_t i = 0; i < life->out.message_count; i++) {
        const struct raft_message *message = &life->out.messages[i].message;

        assert(message->from == 1 && message->to != 1 && message->term > 0);
        if (message->kind != RAFT_PRE_VOTE_RESULT)
            assert(message->term <= raft_term(life->raft) + 1);
    }
}

/* Do what the core wants, but for its messages: nobody is there. */
static void perform(struct life *life)
{
    struct raft *raft = life->raft;

    if (life->out.store_id) {
        assert(life->out.store_id == life->written + 1);
        life->written = life->out.store_id;
    }
    check_log(life);
    check_messages(life);
    assert(raft_term(raft) >= life->term);
    assert(raft_term(raft) > life->term || life->vote == RAFT_NOBODY ||
           raft_vote(raft) == life->vote);
    assert(raft_commit_index(raft) >= life->commit_index);
    check_committed(life);
    life->term = raft_term(raft);
    life->vote = raft_vote(raft);
    life->commit_index = raft_commit_index(raft);
    raft_output_clear(&life->out);
}

/* ---- events ---- */

static void pass(struct life *life)
{
    life->now_ms += take(life);
    raft_tick(life->raft, life->now_ms, &life->out);
}

static void store(struct life *life)
{
    uint64_t more = life->written - life->stored;

    if (more == 0)
        return;
    life->stored += 1 + take(life) % more;
    raft_stored(life->raft, life->stored, &life->out);
}

static void say(struct life *life, const struct raft_message *message)
{
    struct codec_frame frame = {0};
    struct raft_message received;
    struct error why;

    if (codec_decode(codec_encode(&frame, message), &received, &why) == 0) {
        raft_receive(life->raft, &received, life->now_ms, &life->out);
        raft_message_fini(&received);
    }
    codec_frame_fini(&frame);
}

/* The flags say which fields are not simply those of an honest peer. */
static void hear(struct life *life)
{
    uint8_t flags = take(life);
    struct raft_message message = {
        .kind = (enum raft_message_kind)(flags % 8),
        .to = 1,
        .from = 2 + (flags >> 3 & 3),
        .granted = flags >> 5 & 1,
        .handed_over = flags >> 6 & 1,
        .term = take_number(life),
        .last_index = take_number(life),
        .last_term = take_number(life),
        .commit_index = take_number(life),
    };

    if (message.kind == RAFT_APPEND) {
        message.entry_count = take(life) % (ENTRIES_MAX + 1);
        message.entries = memory_array(ENTRIES_MAX, sizeof *message.entries);
        for (size_t i = 0; i < message.entry_count; i++)
            message.entries[i] = take_entry(life);
    }
    if (flags >> 7) {
        message.match_index = take_number(life);
        message.hint_index = take_number(life);
        message.read_context = take_number(life);
        message.leader_ms = take_number(life);
        message.promise_ms = take_number(life);
    } else {
        message.match_index = message.last_index;
        message.hint_index = message.commit_index;
    }
    say(life, &message);
    raft_message_fini(&message);
}

static void propose(struct life *life)
{
    uint8_t byte = take(life);
    struct raft_payload *payload = raft_payload_new(&byte, sizeof byte);

    if (raft_accepts(life->raft))
        raft_propose(life->raft, &payload, 1, &life->out);
    raft_payload_drop(payload);
}

static void read_state(struct life *life)
{
    if (raft_role(life->raft) == RAFT_LEADER)
        raft_read(life->raft, life->now_ms, &life->out);
}

/* A member other than m1 that votes and that the flag chooses, or nobody. */
static uint32_t other_voter(const struct life *life, uint8_t which)
{
    const struct raft_configuration *now = raft_configuration(life->raft);
    const struct raft_member *member = &now->members[which % now->count];

    return member->id == 1 || member->learner ? RAFT_NOBODY : member->id;
}

static void transfer(struct life *life)
{
    uint32_t to = other_voter(life, take(life));

    if (to != RAFT_NOBODY && raft_may_transfer(life->raft))
        raft_transfer(life->raft, to, life->now_ms, &life->out);
}

/* One more, m9; or one other than m1 is made a learner, a voter or nobody. */
static void change(struct life *life)
{
    const struct raft_configuration *now = raft_configuration(life->raft);
    uint8_t how = take(life);
    uint32_t whom = now->members[how / 4 % now->count].id;
    struct raft_roll roll = {0};
    struct raft_payload *payload;

    if (!raft_may_change(life->raft) || whom == 1)
        return;
    for (unsigned i = 0; i < now->count; i++) {
        struct raft_member member = now->members[i];

        if (member.id != whom || how % 4 == 0)
            raft_roll_add(&roll, member.id, member.learner);
        else if (how % 4 != 3)
            raft_roll_add(&roll, whom, how % 4 == 1);
    }
    if (how % 4 == 0 && now->members[now->count - 1].id < 9)
        raft_roll_add(&roll, 9, true);
    payload = raft_roll_pack(&roll);
    raft_propose_configuration(life->raft, payload, &life->out);
    raft_payload_drop(payload);
}

static void compact(struct life *life)
{
    uint64_t to = raft_settled_index(life->raft) - take(life) % 4;
    uint64_t keep_from = to + 1 - take(life) % 4;

    if (to <= raft_settled_index(life->raft) && keep_from <= to + 1)
        raft_compact(life->raft, to, keep_from);
}

static void take_chunk(struct life *life)
{
    uint32_t from = take(life) % 5;
    uint64_t term = take_number(life);

    if (!raft_snapshot_incoming(life->raft, from, term, life->now_ms,
                                &life->out))
        return;
    life->snapshot_index = take_number(life);
    life->snapshot_term = take_number(life);
}

static void install(struct life *life)
{
    struct raft_payload *members = take_members(life);
    uint64_t index = life->snapshot_index;

    if (index && raft_configuration_valid(members) &&
        raft_snapshot_arrived(life->raft, index, life->snapshot_term,
                              &life->out)) {
        raft_installed(life->raft, index, life->snapshot_term, members,
                       &life->out);
        for (size_t i = 0; i < life->committed_count; i++)
            raft_payload_drop(life->payloads[i]);
        memset(life->payloads, 0, sizeof life->payloads);
        life->committed_count = 0;
        life->base = index;
        life->base_term = life->snapshot_term;
    }
    life->snapshot_index = 0;
    raft_payload_drop(members);
}

static void finish_snapshot(struct life *life)
{
    uint32_t member = take(life) % 6;

    raft_snapshot_sent(life->raft, member, take_number(life), life->now_ms,
                       &life->out);
}

static void lose(struct life *life)
{
    raft_peer_lost(life->raft, take(life) % 6, life->now_ms, &life->out);
}

static void live(struct life *life)
{
    static void (*const events[])(struct life *) = {
        pass,    store,           hear,     hear,   hear,    hear,
        propose, read_state,      transfer, change, compact, take_chunk,
        install, finish_snapshot, lose,
    };

    while (life->length > 0) {
        events[take(life) % (sizeof events / sizeof *events)](life);
        perform(life);
    }
}

/* ---- beginnings ---- */

/* m1 of three, with three entries of terms 1 and 2, the first committed. */
static void begin(struct life *life, bool leased)
{
    const struct raft_config config = {
        .self = 1,
        .election_timeout_ms = 150,
        .heartbeat_ms = 50,
        .inflight_messages_max = 4,
        .inflight_bytes_max = 4096,
        .append_bytes_max = 64,
        .lease_drift_permille = leased ? 10 : 0,
        .seed = 1,
    };
    const struct raft_entry entries[] = {{.term = 1}, {.term = 1}, {.term = 2}};
    struct raft_restart restart = {
        .term = 3,
        .first_index = 1,
        .entries = entries,
        .entry_count = 3,
        .configuration = raft_members(3, 0, RAFT_NOBODY),
    };

    life->now_ms = 1000;
    life->raft = raft_new(&config, &restart, life->now_ms);
    raft_payload_drop(restart.configuration);
    raft_output_init(&life->out);
    perform(life);
}

static void grant(struct life *life, enum raft_message_kind kind, uint64_t term)
{
    const struct raft_message vote = {
        .kind = kind, .from = 2, .to = 1, .term = term, .granted = true};

    say(life, &vote);
    perform(life);
}

static void stand(struct life *life)
{
    life->now_ms += 300;
    raft_tick(life->raft, life->now_ms, &life->out);
    perform(life);
    grant(life, RAFT_PRE_VOTE_RESULT, raft_term(life->raft) + 1);
    assert(raft_role(life->raft) == RAFT_CANDIDATE);
}

static void lead(struct life *life)
{
    stand(life);
    life->stored = life->written;
    raft_stored(life->raft, life->stored, &life->out);
    perform(life);
    grant(life, RAFT_VOTE_RESULT, raft_term(life->raft));
    assert(raft_role(life->raft) == RAFT_LEADER);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct life *life = memory_new(sizeof *life);
    uint8_t how;

    life->bytes = bytes;
    life->length = length;
    how = take(life);
    begin(life, how & 4);
    if (how % 4 == 1)
        stand(life);
    else if (how % 4 == 2)
        lead(life);
    live(life);
    for (size_t i = 0; i < life->committed_count; i++)
        raft_payload_drop(life->payloads[i]);
    raft_output_fini(&life->out);
    raft_free(life->raft);
    free(life);
    return 0;
}
