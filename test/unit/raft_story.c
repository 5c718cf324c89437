#include "test/unit/raft_story.h"

#include "base/memory.h"
#include "test/unit/raft_members.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_MAX = 16384 };

struct raft_story {
    struct raft *raft;
    struct raft_output out;
    uint64_t now_ms;
    uint64_t written; /* newest write */
    enum raft_role role;
    uint64_t term;
    size_t length;
    char text[TEXT_MAX];
};

static void say(struct raft_story *story, const char *format, ...)
    PRINTF_LIKE(2, 3);

static void say(struct raft_story *story, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(story->text + story->length, TEXT_MAX - story->length,
                       format, args);
    va_end(args);
    assert_true(length >= 0 && (size_t)length < TEXT_MAX - story->length);
    story->length += (size_t)length;
}

static struct raft_story *story_new(unsigned members, unsigned drift_permille,
                                    struct raft_restart restart)
{
    struct raft_story *story = memory_new(sizeof *story);
    struct raft_config config = {
        .self = 1,
        .election_timeout_ms = 150,
        .heartbeat_ms = 50,
        .inflight_messages_max = 4,
        .inflight_bytes_max = 4000,
        .append_bytes_max = 1000,
        .lease_drift_permille = drift_permille,
        .seed = 7,
    };

    restart.configuration = raft_members(members, 0, RAFT_NOBODY);
    story->raft = raft_new(&config, &restart, 0);
    raft_payload_drop(restart.configuration);
    story->term = restart.term;
    raft_output_init(&story->out);
    return story;
}

struct raft_story *raft_story_new(unsigned members)
{
    return story_new(members, 0, (struct raft_restart){.first_index = 1});
}

struct raft_story *raft_story_new_leased(unsigned members,
                                         unsigned drift_permille)
{
    return story_new(members, drift_permille,
                     (struct raft_restart){.first_index = 1});
}

struct raft_story *raft_story_restart(unsigned members, uint64_t term,
                                      const uint64_t *log_terms)
{
    struct raft_entry entries[16] = {0};
    struct raft_restart restart = {
        .term = term,
        .first_index = 1,
        .entries = entries,
    };

    for (; log_terms[restart.entry_count]; restart.entry_count++)
        entries[restart.entry_count].term = log_terms[restart.entry_count];
    return story_new(members, 0, restart);
}

void raft_story_free(struct raft_story *story)
{
    raft_output_fini(&story->out);
    raft_free(story->raft);
    free(story);
}

struct raft *raft_story_core(struct raft_story *story)
{
    return story->raft;
}

struct raft_output *raft_story_output(struct raft_story *story)
{
    return &story->out;
}

uint64_t raft_story_now_ms(const struct raft_story *story)
{
    return story->now_ms;
}

static void say_role(struct raft_story *story)
{
    static const char *const names[] = {"follower", "pre-candidate",
                                        "candidate", "leader"};

    story->role = raft_role(story->raft);
    story->term = raft_term(story->raft);
    say(story, "[%" PRIu64 "] %s, term %" PRIu64 "\n", story->now_ms,
        names[story->role], story->term);
}

static void say_write(struct raft_story *story)
{
    const struct raft_output *out = &story->out;

    story->written = out->store_id;
    say(story, "[%" PRIu64 "] write %" PRIu64 ":", story->now_ms,
        out->store_id);
    if (out->store_state)
        say(story, " term %" PRIu64 ", vote m%u", raft_term(story->raft),
            raft_vote(story->raft));
    if (out->store_from)
        say(story, " entries %" PRIu64 "..%" PRIu64, out->store_from,
            raft_last_index(story->raft));
    say(story, "\n");
}

static void say_message(struct raft_story *story,
                        const struct raft_outgoing *outgoing)
{
    const struct raft_message *it = &outgoing->message;
    const char *granted = it->granted ? "yes" : "no";

    say(story, "[%" PRIu64 "] to m%u%s: ", story->now_ms, it->to,
        outgoing->after_store ? " after the write" : "");
    switch (it->kind) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE:
        say(story, "%s? term %" PRIu64 ", log %" PRIu64 "@%" PRIu64 "%s\n",
            it->kind == RAFT_VOTE ? "vote" : "pre-vote", it->term,
            it->last_index, it->last_term,
            it->handed_over ? ", handed over" : "");
        return;
    case RAFT_PRE_VOTE_RESULT:
    case RAFT_VOTE_RESULT:
        say(story, "%s %s, term %" PRIu64 "\n",
            it->kind == RAFT_VOTE_RESULT ? "vote" : "pre-vote", granted,
            it->term);
        return;
    case RAFT_TIMEOUT_NOW:
        say(story, "take over, term %" PRIu64, it->term);
        break;
    case RAFT_APPEND:
        say(story, "append %" PRIu64 "@%" PRIu64 " +%zu, commit %" PRIu64,
            it->last_index, it->last_term, it->entry_count, it->commit_index);
        break;
    case RAFT_APPEND_RESULT:
        if (it->granted)
            say(story, "equal %" PRIu64 ", durable %" PRIu64, it->last_index,
                it->match_index);
        else
            say(story,
                "refused %" PRIu64 ", term %" PRIu64 ", try %" PRIu64
                "@%" PRIu64,
                it->last_index, it->term, it->hint_index, it->last_term);
        break;
    }
    if (it->read_context)
        say(story, ", reads %" PRIu64, it->read_context);
    say(story, "\n");
}

static void say_members(struct raft_story *story)
{
    const struct raft_configuration *now = raft_configuration(story->raft);

    say(story, "[%" PRIu64 "] members", story->now_ms);
    for (unsigned i = 0; i < now->count; i++)
        say(story, " %sm%u", now->members[i].learner ? "learner " : "",
            now->members[i].id);
    say(story, "\n");
}

void raft_story_note(struct raft_story *story)
{
    const struct raft_output *out = &story->out;

    if (raft_role(story->raft) != story->role ||
        raft_term(story->raft) != story->term)
        say_role(story);
    if (out->store_id)
        say_write(story);
    for (size_t i = 0; i < out->message_count; i++)
        say_message(story, &out->messages[i]);
    if (out->commit_index)
        say(story, "[%" PRIu64 "] commit %" PRIu64 "\n", story->now_ms,
            out->commit_index);
    if (out->reads_ready)
        say(story, "[%" PRIu64 "] reads ready %" PRIu64 "\n", story->now_ms,
            out->reads_ready);
    if (out->reads_lost)
        say(story, "[%" PRIu64 "] reads lost\n", story->now_ms);
    for (unsigned i = 0; i < out->snapshot_count; i++)
        say(story, "[%" PRIu64 "] snapshot to m%u\n", story->now_ms,
            out->snapshot_to[i]);
    if (out->contradicts)
        say(story, "[%" PRIu64 "] m%u contradicts\n", story->now_ms,
            out->contradicts);
    if (out->members_changed)
        say_members(story);
    raft_output_clear(&story->out);
}

void raft_story_until(struct raft_story *story, uint64_t at_ms)
{
    while (raft_next_tick_ms(story->raft) <= at_ms) {
        if (raft_next_tick_ms(story->raft) > story->now_ms)
            story->now_ms = raft_next_tick_ms(story->raft);
        raft_tick(story->raft, story->now_ms, &story->out);
        raft_story_note(story);
    }
    story->now_ms = at_ms;
}

void raft_story_get(struct raft_story *story, struct raft_message message)
{
    message.to = 1;
    raft_receive(story->raft, &message, story->now_ms, &story->out);
    raft_story_note(story);
}

void raft_story_append(struct raft_story *story, struct raft_message head,
                       const uint64_t *terms)
{
    struct raft_entry entries[16] = {0};

    head.kind = RAFT_APPEND;
    head.entries = entries;
    for (; terms[head.entry_count]; head.entry_count++)
        entries[head.entry_count].term = terms[head.entry_count];
    raft_story_get(story, head);
}

void raft_story_stored(struct raft_story *story, uint64_t id)
{
    raft_stored(story->raft, id, &story->out);
    raft_story_note(story);
}

void raft_story_propose(struct raft_story *story, unsigned count, size_t bytes)
{
    struct raft_payload *commands[64];
    uint8_t zeroes[4096] = {0};

    assert_true(count > 0 && count <= 64 && bytes <= sizeof zeroes);
    for (unsigned i = 0; i < count; i++)
        commands[i] = raft_payload_new(zeroes, bytes);
    raft_propose(story->raft, commands, count, &story->out);
    for (unsigned i = 0; i < count; i++)
        raft_payload_drop(commands[i]);
    raft_story_note(story);
}

/* m2, m3, ... grant what is asked, until that changes the role. */
static void grant(struct raft_story *story, enum raft_message_kind kind,
                  uint64_t term)
{
    enum raft_role role = raft_role(story->raft);

    for (uint32_t from = 2; raft_role(story->raft) == role; from++)
        raft_story_get(story, (struct raft_message){
                                  .kind = kind,
                                  .from = from,
                                  .term = term,
                                  .granted = true,
                              });
}

void raft_story_lead(struct raft_story *story)
{
    struct raft *raft = story->raft;

    while (raft_role(raft) != RAFT_PRE_CANDIDATE)
        raft_story_until(story, story->now_ms + 1);
    grant(story, RAFT_PRE_VOTE_RESULT, raft_term(raft) + 1);
    raft_story_stored(story, story->written);
    grant(story, RAFT_VOTE_RESULT, raft_term(raft));
    assert_int_equal(raft_role(raft), RAFT_LEADER);
    story->length = 0;
    story->text[0] = '\0';
}

void raft_story_change(struct raft_story *story, unsigned voters,
                       unsigned learners, uint32_t without)
{
    struct raft_payload *payload = raft_members(voters, learners, without);

    raft_propose_configuration(story->raft, payload, &story->out);
    raft_payload_drop(payload);
    raft_story_note(story);
}

void raft_story_expect_at(struct raft_story *story, const char *text,
                          const char *file, int line)
{
    if (strcmp(story->text, text) != 0) {
        print_error("expected:\n%s\nhappened:\n%s\n", text, story->text);
        _fail(file, line);
    }
    story->length = 0;
    story->text[0] = '\0';
}
