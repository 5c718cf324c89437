/* fuzz_raft_codec.c - any bytes as another master's message: the decoder and
 * then the core, which must survive both. */
#include "raft/codec.h"
#include "raft/core/raft.h"
#include "test/unit/raft_members.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct raft *follower(void)
{
    static const struct raft_config config = {
        .self = 1,
        .election_timeout_ms = 150,
        .heartbeat_ms = 50,
        .inflight_messages_max = 4,
        .inflight_bytes_max = 4096,
        .append_bytes_max = 1024,
        .seed = 1,
    };
    struct raft_restart restart = {
        .term = 3,
        .first_index = 1,
        .configuration = raft_members(3, 0, RAFT_NOBODY),
    };
    struct raft *raft = raft_new(&config, &restart, 0);

    raft_payload_drop(restart.configuration);
    return raft;
}

static void step(struct raft_message *message)
{
    struct raft *raft = follower();
    struct raft_output out;

    raft_output_init(&out);
    message->to = 1;
    message->from = 2 + (message->from & 1);
    raft_receive(raft, message, 10, &out);
    raft_receive(raft, message, 20, &out);
    raft_output_fini(&out);
    raft_free(raft);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    Kontor__V1__RaftMessage *received =
        kontor__v1__raft_message__unpack(NULL, length, bytes);
    struct codec_frame frame = {0};
    struct raft_message message;
    struct error why;

    if (!received)
        return 0;
    if (codec_decode(received, &message, &why) == 0) {
        const Kontor__V1__RaftMessage *again = codec_encode(&frame, &message);

        assert(again->n_entries == received->n_entries);
        assert(again->term == received->term);
        step(&message);
        raft_message_fini(&message);
    }
    codec_frame_fini(&frame);
    kontor__v1__raft_message__free_unpacked(received, NULL);
    return 0;
}
