#include "raft/codec.h"

#include "base/memory.h"

#include <assert.h>

static void reserve(struct codec_frame *frame, size_t count)
{
    if (count <= frame->capacity)
        return;
    frame->capacity = count;
    frame->entries =
        memory_resize(frame->entries, count * sizeof *frame->entries);
    frame->pointers = memory_resize(frame->pointers, count * sizeof(void *));
}

static void encode_entry(Kontor__V1__RaftEntry *out,
                         const struct raft_entry *entry)
{
    kontor__v1__raft_entry__init(out);
    out->term = entry->term;
    out->kind = entry->kind;
    if (entry->payload) {
        out->data.data = entry->payload->bytes;
        out->data.len = entry->payload->length;
    }
}

const Kontor__V1__RaftMessage *codec_encode(struct codec_frame *frame,
                                            const struct raft_message *message)
{
    Kontor__V1__RaftMessage *out = &frame->message;

    assert(message->entry_count <= CODEC_ENTRIES_MAX);
    reserve(frame, message->entry_count);
    for (size_t i = 0; i < message->entry_count; i++) {
        encode_entry(&frame->entries[i], &message->entries[i]);
        frame->pointers[i] = &frame->entries[i];
    }
    kontor__v1__raft_message__init(out);
    out->kind = message->kind;
    out->from = message->from;
    out->to = message->to;
    out->term = message->term;
    out->last_index = message->last_index;
    out->last_term = message->last_term;
    out->commit_index = message->commit_index;
    out->match_index = message->match_index;
    out->hint_index = message->hint_index;
    out->read_context = message->read_context;
    out->leader_ms = message->leader_ms;
    out->promise_ms = message->promise_ms;
    out->granted = message->granted;
    out->handed_over = message->handed_over;
    out->n_entries = message->entry_count;
    out->entries = frame->pointers;
    return out;
}

void codec_frame_fini(struct codec_frame *frame)
{
    free(frame->entries);
    free(frame->pointers);
}

/* What we cannot store whole we do not take. */
static int check_entry(const Kontor__V1__RaftEntry *in, struct error *why)
{
    if (in->kind > RAFT_ENTRY_CONFIGURATION)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "raft message: entry of unknown kind %u", in->kind);
    if (in->base.n_unknown_fields > 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "raft message: entry with unknown field %u",
                         in->base.unknown_fields[0].tag);
    return 0;
}

static int check(const Kontor__V1__RaftMessage *in, struct error *why)
{
    if (in->kind < RAFT_PRE_VOTE || in->kind > RAFT_TIMEOUT_NOW)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "raft message: unknown kind %u", in->kind);
    if (in->n_entries > 0 && in->kind != RAFT_APPEND)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "raft message: entries in kind %u", in->kind);
    if (in->n_entries > CODEC_ENTRIES_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "raft message: %zu entries, at most %d", in->n_entries,
                         CODEC_ENTRIES_MAX);
    if (in->last_index > UINT64_MAX - in->n_entries)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "raft message: its indices end past 2^64");
    for (size_t i = 0; i < in->n_entries; i++)
        if (check_entry(in->entries[i], why) != 0)
            return why->code;
    return 0;
}

static void decode_entry(const Kontor__V1__RaftEntry *in,
                         struct raft_entry *entry)
{
    entry->term = in->term;
    entry->kind = (enum raft_entry_kind)in->kind;
    if (in->data.len > 0)
        entry->payload = raft_payload_new(in->data.data, in->data.len);
}

int codec_decode(const Kontor__V1__RaftMessage *in, struct raft_message *out,
                 struct error *why)
{
    if (check(in, why) != 0)
        return why->code;
    *out = (struct raft_message){
        .kind = (enum raft_message_kind)in->kind,
        .from = in->from,
        .to = in->to,
        .term = in->term,
        .last_index = in->last_index,
        .last_term = in->last_term,
        .commit_index = in->commit_index,
        .match_index = in->match_index,
        .hint_index = in->hint_index,
        .read_context = in->read_context,
        .leader_ms = in->leader_ms,
        .promise_ms = in->promise_ms,
        .granted = in->granted,
        .handed_over = in->handed_over,
        .entry_count = in->n_entries,
    };
    if (in->n_entries > 0)
        out->entries = memory_array(in->n_entries, sizeof *out->entries);
    for (size_t i = 0; i < in->n_entries; i++)
        decode_entry(in->entries[i], &out->entries[i]);
    return 0;
}
