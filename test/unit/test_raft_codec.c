/* The core's messages on the wire: what goes in comes out, what no member
 * could send is refused. */
#include "raft/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Through the bytes, as between two masters. */
static int travel(const struct raft_message *message, struct raft_message *out,
                  struct error *why)
{
    struct codec_frame frame = {0};
    const Kontor__V1__RaftMessage *laid_out = codec_encode(&frame, message);
    size_t length = kontor__v1__raft_message__get_packed_size(laid_out);
    uint8_t *bytes = malloc(length ? length : 1);
    Kontor__V1__RaftMessage *received;
    int code;

    kontor__v1__raft_message__pack(laid_out, bytes);
    codec_frame_fini(&frame);
    received = kontor__v1__raft_message__unpack(NULL, length, bytes);
    assert_non_null(received);
    free(bytes);
    code = codec_decode(received, out, why);
    kontor__v1__raft_message__free_unpacked(received, NULL);
    return code;
}

static void every_field_arrives(void **state)
{
    struct raft_entry entries[3] = {
        {.term = 5, .kind = RAFT_ENTRY_NOOP},
        {.term = 6,
         .kind = RAFT_ENTRY_COMMAND,
         .payload = raft_payload_new("place web-1", 11)},
        {.term = 7, .kind = RAFT_ENTRY_COMMAND},
    };
    struct raft_message message = {
        .kind = RAFT_APPEND,
        .from = 1,
        .to = 3,
        .term = UINT64_MAX,
        .last_index = 1ULL << 40,
        .last_term = 4,
        .commit_index = 11,
        .match_index = 12,
        .hint_index = 13,
        .read_context = 14,
        .granted = true,
        .entries = entries,
        .entry_count = 3,
    };
    struct raft_message out = {0};
    struct error why = {0};

    (void)state;
    assert_int_equal(travel(&message, &out, &why), 0);
    assert_int_equal(out.kind, RAFT_APPEND);
    assert_int_equal(out.from, 1);
    assert_int_equal(out.to, 3);
    assert_true(out.term == UINT64_MAX);
    assert_true(out.last_index == 1ULL << 40);
    assert_int_equal(out.last_term, 4);
    assert_int_equal(out.commit_index, 11);
    assert_int_equal(out.match_index, 12);
    assert_int_equal(out.hint_index, 13);
    assert_int_equal(out.read_context, 14);
    assert_true(out.granted);
    assert_int_equal(out.entry_count, 3);
    assert_int_equal(out.entries[0].kind, RAFT_ENTRY_NOOP);
    assert_null(out.entries[0].payload);
    assert_int_equal(out.entries[1].term, 6);
    assert_int_equal(out.entries[1].payload->length, 11);
    assert_memory_equal(out.entries[1].payload->bytes, "place web-1", 11);
    assert_int_equal(out.entries[2].kind, RAFT_ENTRY_COMMAND);
    raft_message_fini(&out);
    raft_payload_drop(entries[1].payload);
}

static void frame_is_used_again(void **state)
{
    struct codec_frame frame = {0};
    struct raft_entry entries[2] = {{.term = 1}, {.term = 2}};
    struct raft_message append = {.kind = RAFT_APPEND, .entries = entries};
    struct raft_message vote = {.kind = RAFT_VOTE, .term = 9};

    (void)state;
    for (size_t count = 0; count <= 2; count++) {
        append.entry_count = count;
        assert_int_equal(codec_encode(&frame, &append)->n_entries, count);
    }
    assert_int_equal(codec_encode(&frame, &vote)->n_entries, 0);
    codec_frame_fini(&frame);
}

static Kontor__V1__RaftEntry unknown_entry;
static Kontor__V1__RaftEntry *unknown_entries[] = {&unknown_entry};
static ProtobufCMessageUnknownField unknown_field = {.tag = 100};
static Kontor__V1__RaftEntry larger_entry;
static Kontor__V1__RaftEntry *larger_entries[] = {&larger_entry};

static const struct {
    const char *rule;
    Kontor__V1__RaftMessage message;
    const char *text;
} refused[] = {
    {"no kind", {.kind = 0}, "unknown kind 0"},
    {"a kind to come", {.kind = RAFT_TIMEOUT_NOW + 1}, "unknown kind 8"},
    {"entries in a vote", {.kind = RAFT_VOTE, .n_entries = 1}, "entries in"},
    {"too many",
     {.kind = RAFT_APPEND, .n_entries = CODEC_ENTRIES_MAX + 1},
     "at most"},
    {"past the end",
     {.kind = RAFT_APPEND, .n_entries = 1, .last_index = UINT64_MAX},
     "2^64"},
    {"an entry's kind",
     {.kind = RAFT_APPEND, .n_entries = 1, .entries = unknown_entries},
     "entry of unknown kind 9"},
    {"an entry's field",
     {.kind = RAFT_APPEND, .n_entries = 1, .entries = larger_entries},
     "entry with unknown field 100"},
};

/* What a newer program says beside what is known changes nothing. */
static void unknown_fields_of_a_message_are_passed_over(void **state)
{
    Kontor__V1__RaftMessage message = KONTOR__V1__RAFT_MESSAGE__INIT;
    struct raft_message out;
    struct error why;

    (void)state;
    message.kind = RAFT_VOTE;
    message.term = 7;
    message.base.n_unknown_fields = 1;
    message.base.unknown_fields = &unknown_field;
    assert_int_equal(codec_decode(&message, &out, &why), 0);
    assert_int_equal(out.term, 7);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    kontor__v1__raft_entry__init(&unknown_entry);
    unknown_entry.kind = 9;
    kontor__v1__raft_entry__init(&larger_entry);
    larger_entry.base.n_unknown_fields = 1;
    larger_entry.base.unknown_fields = &unknown_field;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct raft_message out = {.term = 77};
        struct error why = {0};

        assert_int_equal(codec_decode(&refused[i].message, &out, &why),
                         ERROR_INVALID_ARGUMENT);
        if (!strstr(why.message, refused[i].text))
            fail_msg("%s: %s", refused[i].rule, why.message);
        assert_int_equal(out.term, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_arrives),
        cmocka_unit_test(frame_is_used_again),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(unknown_fields_of_a_message_are_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
