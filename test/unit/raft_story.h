/* raft_story.h - one real core, m1, whose peers and disk are the test.
 *
 * What the core wants done is written down as text, in the order in which it
 * must be done, and compared:
 *
 *   [0] write 1: term 1, vote m1
 *   [0] to m2 after the write: vote? term 1, log 0@0 */
#pragma once

#include "raft/core/raft.h"

struct raft_story;

/* m1 of `members`, with an election timeout of 150 ms, a heartbeat of 50 ms
 * and room for 4 messages of 1000 bytes in flight. */
struct raft_story *raft_story_new(unsigned members);
/* The same with leases, whose clocks may drift by so many thousandths. */
struct raft_story *raft_story_new_leased(unsigned members,
                                         unsigned drift_permille);
/* The same with a log of these terms, ended by 0, entered `term`. */
struct raft_story *raft_story_restart(unsigned members, uint64_t term,
                                      const uint64_t *log_terms);
void raft_story_free(struct raft_story *story);

/* The core, for events that the story has no words for; call
 * raft_story_note() after them. */
struct raft *raft_story_core(struct raft_story *story);
struct raft_output *raft_story_output(struct raft_story *story);
void raft_story_note(struct raft_story *story);
uint64_t raft_story_now_ms(const struct raft_story *story);

/* Time passes to `at_ms`, every timer that is due on the way fires. */
void raft_story_until(struct raft_story *story, uint64_t at_ms);
/* The message arrives at m1. */
void raft_story_get(struct raft_story *story, struct raft_message message);
/* An append with entries of these terms, ended by 0, from the leader. */
void raft_story_append(struct raft_story *story, struct raft_message head,
                       const uint64_t *terms);
/* All writes up to `id` are durable. */
void raft_story_stored(struct raft_story *story, uint64_t id);
/* As leader: `count` commands of `bytes` each. */
void raft_story_propose(struct raft_story *story, unsigned count, size_t bytes);

/* Make m1 leader of its next term, elected by the first others, its no-op
 * stored nowhere else yet. What that took is not part of the story. */
void raft_story_lead(struct raft_story *story);

/* As leader: a configuration as of raft_members(). */
void raft_story_change(struct raft_story *story, unsigned voters,
                       unsigned learners, uint32_t without);

/* What happened since the last time is `text`; shows both when not. */
#define raft_story_expect(story, text) \
    raft_story_expect_at(story, text, __FILE__, __LINE__)
void raft_story_expect_at(struct raft_story *story, const char *text,
                          const char *file, int line);
