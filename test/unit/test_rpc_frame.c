/* gRPC's framing, split anywhere; and the heap of deadlines. */
#include "base/random.h"
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/arena.h"
#include "rpc/deadline.h"
#include "rpc/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { LIMIT_BYTES = 1000 };

/* Two messages, "abc" and "", then the start of a third. */
static const uint8_t stream[] = {0, 0, 0, 0, 3, 'a', 'b', 'c', 0,
                                 0, 0, 0, 0, 0, 0,   0,   0,   2};

/* However the bytes are cut, the same messages come out. */
static void any_split_gives_the_same(void **state)
{
    (void)state;
    for (size_t cut = 1; cut <= sizeof stream; cut++) {
        struct frame_reader reader;
        char seen[8] = "";
        unsigned count = 0;

        frame_reader_init(&reader, LIMIT_BYTES);
        for (size_t at = 0; at < sizeof stream; at += cut) {
            size_t left = sizeof stream - at;
            struct frame_bytes bytes = {stream + at, left < cut ? left : cut};
            struct frame_bytes message;
            struct error why;

            while (frame_read(&reader, &bytes, &message, &why)) {
                strncat(seen, (const char *)message.bytes, message.length);
                count++;
            }
            assert_int_equal(why.code, 0);
            assert_int_equal(bytes.length, 0);
        }
        assert_int_equal(count, 2);
        assert_string_equal(seen, "abc");
        assert_true(frame_reader_partial(&reader));
        frame_reader_fini(&reader);
    }
}

static void broken_frames_are_refused(void **state)
{
    static const struct {
        uint8_t header[FRAME_HEADER_BYTES];
        enum error_code code;
    } rows[] = {
        {{0, 0, 0, 0x03, 0xe8}, 0},
        {{0, 0, 0, 0x03, 0xe9}, ERROR_RESOURCE_EXHAUSTED},
        {{0, 0xff, 0xff, 0xff, 0xff}, ERROR_RESOURCE_EXHAUSTED},
        {{1, 0, 0, 0, 1}, ERROR_INTERNAL},
        {{255, 0, 0, 0, 1}, ERROR_INTERNAL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct frame_bytes bytes = {rows[i].header, FRAME_HEADER_BYTES};
        struct frame_bytes message;
        struct frame_reader reader;
        struct error why;

        frame_reader_init(&reader, LIMIT_BYTES);
        assert_false(frame_read(&reader, &bytes, &message, &why));
        assert_int_equal(why.code, rows[i].code);
        frame_reader_fini(&reader);
    }
}

/* A header that promises much must not make us allocate it. */
static void memory_follows_what_came(void **state)
{
    static const uint8_t header[] = {0, 0, 0x40, 0, 0, 'x'};
    struct frame_bytes bytes = {header, sizeof header};
    struct frame_bytes message;
    struct frame_reader reader;
    struct error why;

    (void)state;
    frame_reader_init(&reader, 4 << 20);
    assert_false(frame_read(&reader, &bytes, &message, &why));
    assert_int_equal(frame_reader_kept(&reader), 1);
    assert_true(reader.body.capacity < 4096);
    frame_reader_fini(&reader);
}

static void written_frames_are_read(void **state)
{
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    uint8_t payload[LIMIT_BYTES] = {0};
    struct frame_reader reader;
    struct frame_bytes bytes;
    struct frame_bytes message;
    struct buffer out;
    struct error why;

    (void)state;
    buffer_init(&out, 4096);
    chunk.data.data = payload;
    chunk.data.len = LIMIT_BYTES - 3;
    assert_int_equal(frame_write(&out, &chunk.base, LIMIT_BYTES, &why), 0);
    chunk.data.len = LIMIT_BYTES - 2;
    assert_int_equal(frame_write(&out, &chunk.base, LIMIT_BYTES, &why),
                     ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(buffer_length(&out), FRAME_HEADER_BYTES + LIMIT_BYTES);
    frame_reader_init(&reader, LIMIT_BYTES);
    bytes = (struct frame_bytes){buffer_data(&out), buffer_length(&out)};
    assert_true(frame_read(&reader, &bytes, &message, &why));
    assert_int_equal(message.length, LIMIT_BYTES);
    frame_reader_fini(&reader);
    buffer_fini(&out);
}

/* Few bytes can decode into much memory; there is an end to it. */
static void arena_has_an_end(void **state)
{
    enum { PODS = 1 << 20 };
    uint8_t *bytes = malloc(2 * PODS);
    struct arena arena;

    (void)state;
    for (size_t i = 0; i < PODS; i++) {
        bytes[2 * i] = 0x12; /* ListPodsResponse.pods, empty */
        bytes[2 * i + 1] = 0;
    }
    arena_init(&arena);
    assert_null(arena_unpack(&arena,
                             &kontor__v1__list_pods_response__descriptor, bytes,
                             (size_t)2 * PODS));
    arena_fini(&arena);
    arena_init(&arena);
    assert_non_null(arena_unpack(
        &arena, &kontor__v1__list_pods_response__descriptor, bytes, 2000));
    arena_fini(&arena);
    free(bytes);
}

static void deadlines_come_in_order(void **state)
{
    enum { COUNT = 500 };
    static struct deadline rows[COUNT];
    struct deadlines heap = {0};
    struct random random = {.state = 7};
    uint64_t last_ms = 0;
    unsigned left = 0;

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        deadlines_set(&heap, &rows[i], random_below(&random, 1000));
    for (size_t i = 0; i < COUNT; i += 3)
        deadlines_set(&heap, &rows[i], random_below(&random, 1000));
    for (size_t i = 0; i < COUNT; i += 7)
        deadlines_remove(&heap, &rows[i]);
    deadlines_remove(&heap, &rows[0]);
    for (size_t i = 0; i < COUNT; i++)
        left += deadline_is_set(&rows[i]);
    while (deadlines_first(&heap)) {
        struct deadline *first = deadlines_first(&heap);

        assert_true(first->at_ms >= last_ms);
        last_ms = first->at_ms;
        deadlines_remove(&heap, first);
        left--;
    }
    assert_int_equal(left, 0);
    deadlines_fini(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same),
        cmocka_unit_test(broken_frames_are_refused),
        cmocka_unit_test(memory_follows_what_came),
        cmocka_unit_test(written_frames_are_read),
        cmocka_unit_test(arena_has_an_end),
        cmocka_unit_test(deadlines_come_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
