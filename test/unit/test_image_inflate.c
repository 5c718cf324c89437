#include "base/buffer.h"
#include "base/memory.h"
#include "image_archive.h"
#include "node/image/inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

enum {
    PLAIN_BYTES = 300000,
    STREAM_MAX_BYTES = 2 << 20,
    ROOM_BYTES = 128 << 10,
};

/* The plain bytes, and streams that unpack to them. */
struct streams {
    uint8_t plain[PLAIN_BYTES];
    struct buffer stream;
};

static int streams_open(void **state)
{
    struct streams *streams = memory_new(sizeof *streams);

    /* Half of it repeats: long matches, literals, both sides of a block. */
    for (size_t i = 0; i < PLAIN_BYTES; i++)
        streams->plain[i] = i % 8192 < 4096 ? (uint8_t)(i * 2654435761u >> 15)
                                            : (uint8_t)(i % 64);
    buffer_init(&streams->stream, STREAM_MAX_BYTES);
    *state = streams;
    return 0;
}

static int streams_close(void **state)
{
    struct streams *streams = *state;

    buffer_fini(&streams->stream);
    free(streams);
    return 0;
}

static void add_gzip(struct streams *streams, size_t from, size_t to)
{
    struct error why;
    size_t length;
    uint8_t *bytes = gzip_bytes(streams->plain + from, to - from, &length);

    assert_int_equal(buffer_append(&streams->stream, bytes, length, &why), 0);
    free(bytes);
}

static void add_zstd(struct streams *streams, size_t from, size_t to)
{
    size_t room = ZSTD_compressBound(to - from);
    uint8_t *out = buffer_reserve(&streams->stream, room);
    size_t length =
        ZSTD_compress(out, room, streams->plain + from, to - from, 3);

    assert_false(ZSTD_isError(length));
    buffer_extend(&streams->stream, length);
}

struct collector {
    const uint8_t *expected;
    size_t length; /* that came so far; all as expected */
    bool differs;
    bool steady; /* ROOM_BYTES each time */
};

static uint8_t room[ROOM_BYTES];

/* Now little, now much. */
static size_t collector_on_room(void *data, uint8_t **at)
{
    const struct collector *collector = data;

    *at = room;
    return collector->steady || collector->length % 2 ? ROOM_BYTES : 509;
}

static int collector_on_bytes(void *data, const uint8_t *bytes, size_t length,
                              struct error *why)
{
    struct collector *collector = data;

    (void)why;
    if (collector->length + length > PLAIN_BYTES ||
        memcmp(collector->expected + collector->length, bytes, length) != 0)
        collector->differs = true;
    collector->length += length;
    return 0;
}

/* Unpack `length` bytes given in pieces of `step`. */
static int run(struct streams *streams, size_t length, size_t step,
               struct collector *collector, struct error *why)
{
    const struct inflate_out out = {collector_on_room, collector_on_bytes,
                                    collector};
    struct inflate *inflate = inflate_new(&out);
    const uint8_t *bytes = buffer_data(&streams->stream);
    int failed = 0;

    collector->expected = streams->plain;
    for (size_t at = 0; at < length && !failed; at += step)
        failed = inflate_add(inflate, bytes + at,
                             length - at < step ? length - at : step, why);
    if (!failed)
        failed = inflate_end(inflate, why);
    inflate_free(inflate);
    return failed;
}

static void unpacks_in_pieces_of_any_size(struct streams *streams)
{
    static const size_t steps[] = {1, 2, 3, 7, 511, 4096, 65537, 1 << 20};

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct collector collector = {0};
        struct error why = {0};

        if (run(streams, buffer_length(&streams->stream), steps[i], &collector,
                &why) != 0)
            fail_msg("pieces of %zu: %s", steps[i], why.message);
        assert_false(collector.differs);
        assert_int_equal(collector.length, PLAIN_BYTES);
    }
}

static void gzip_is_unpacked(void **state)
{
    add_gzip(*state, 0, PLAIN_BYTES);
    unpacks_in_pieces_of_any_size(*state);
}

/* As eStargz and parallel compressors write it. */
static void gzip_of_many_members_is_unpacked(void **state)
{
    enum { MEMBER_BYTES = 29999 };

    add_gzip(*state, 0, 1);
    add_gzip(*state, 1, 1); /* of nothing */
    for (size_t at = 1; at < PLAIN_BYTES; at += MEMBER_BYTES)
        add_gzip(*state, at,
                 PLAIN_BYTES - at < MEMBER_BYTES ? PLAIN_BYTES
                                                 : at + MEMBER_BYTES);
    unpacks_in_pieces_of_any_size(*state);
}

static void zstd_is_unpacked(void **state)
{
    add_zstd(*state, 0, PLAIN_BYTES);
    unpacks_in_pieces_of_any_size(*state);
}

static void zstd_of_many_frames_is_unpacked(void **state)
{
    static const uint8_t skippable[] = {0x5a, 0x2a, 0x4d, 0x18, 2,
                                        0,    0,    0,    'h',  'i'};
    struct streams *streams = *state;
    struct error why;

    buffer_append(&streams->stream, skippable, sizeof skippable, &why);
    /* The second frame's content ends where a block of output does. */
    add_zstd(streams, 0, 1);
    add_zstd(streams, 1, 1 + (256 << 10));
    add_zstd(streams, 1 + (256 << 10), PLAIN_BYTES);
    buffer_append(&streams->stream, skippable, sizeof skippable, &why);
    unpacks_in_pieces_of_any_size(streams);
}

static void zstd_that_fills_a_block_exactly_ends_well(void **state)
{
    struct streams *streams = *state;
    struct collector collector = {.steady = true};
    struct error why = {0};

    add_zstd(streams, 0, ROOM_BYTES);
    assert_int_equal(run(streams, buffer_length(&streams->stream), 1 << 20,
                         &collector, &why),
                     0);
    assert_int_equal(collector.length, ROOM_BYTES);
}

static void what_is_not_compressed_is_passed_on(void **state)
{
    struct streams *streams = *state;
    struct error why;

    buffer_append(&streams->stream, streams->plain, PLAIN_BYTES, &why);
    unpacks_in_pieces_of_any_size(streams);
    for (size_t length = 0; length < 6; length++) {
        struct collector collector = {0};

        assert_int_equal(run(streams, length, 1, &collector, &why), 0);
        assert_int_equal(collector.length, length);
    }
}

static void every_cut_is_noticed(struct streams *streams)
{
    size_t length = buffer_length(&streams->stream);

    /* The last bytes one by one, the rest in strides. */
    for (size_t less = 1; less + 8 < length; less += less < 40 ? 1 : 9973) {
        struct collector collector = {0};
        struct error why = {0};

        assert_int_equal(run(streams, length - less, 4096, &collector, &why),
                         ERROR_DATA_LOSS);
    }
}

static void cut_gzip_is_noticed(void **state)
{
    add_gzip(*state, 0, PLAIN_BYTES);
    every_cut_is_noticed(*state);
}

static void cut_zstd_is_noticed(void **state)
{
    add_zstd(*state, 0, PLAIN_BYTES);
    every_cut_is_noticed(*state);
}

static void damaged_gzip_is_noticed(void **state)
{
    struct streams *streams = *state;
    size_t length;

    add_gzip(streams, 0, PLAIN_BYTES);
    length = buffer_length(&streams->stream);
    for (size_t at = 20; at < length; at += length / 50) {
        uint8_t *bytes = buffer_data(&streams->stream);
        struct collector collector = {0};
        struct error why = {0};

        bytes[at] ^= 0x10;
        assert_int_equal(run(streams, length, 4096, &collector, &why),
                         ERROR_DATA_LOSS);
        bytes[at] ^= 0x10;
    }
}

static void bytes_after_gzip_are_refused(void **state)
{
    struct streams *streams = *state;
    struct collector collector = {0};
    struct error why;

    add_gzip(streams, 0, PLAIN_BYTES);
    buffer_append(&streams->stream, "junk junk junk", 14, &why);
    assert_int_equal(
        run(streams, buffer_length(&streams->stream), 4096, &collector, &why),
        ERROR_DATA_LOSS);
}

static size_t sink_on_room(void *data, uint8_t **at)
{
    (void)data;
    *at = room;
    return sizeof room;
}

static int sink_on_bytes(void *data, const uint8_t *bytes, size_t length,
                         struct error *why)
{
    (void)bytes;
    (void)why;
    *(uint64_t *)data += length;
    return 0;
}

static void a_bomb_is_stopped(void **state)
{
    enum { FRAMES = 4096, FRAME_BYTES = 1 << 20 };
    uint8_t *zeros = memory_new(FRAME_BYTES);
    uint8_t frame[1024];
    size_t length = ZSTD_compress(frame, sizeof frame, zeros, FRAME_BYTES, 1);
    uint64_t total = 0;
    const struct inflate_out out = {sink_on_room, sink_on_bytes, &total};
    struct inflate *inflate = inflate_new(&out);
    struct error why = {0};
    int failed = 0;

    (void)state;
    free(zeros);
    for (int i = 0; i < FRAMES && !failed; i++)
        failed = inflate_add(inflate, frame, length, &why);
    inflate_free(inflate);
    assert_int_equal(failed, ERROR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(why.message, "200 times"));
    assert_true(total <= INFLATE_FREE_BYTES);
}

/* However well it is compressed, or not at all: to the byte. */
static void what_is_too_large_is_stopped(void **state)
{
    enum { PIECE_BYTES = sizeof room };
    uint8_t *piece = memory_new(PIECE_BYTES); /* a tar of zeros */
    uint64_t total = 0;
    const struct inflate_out out = {sink_on_room, sink_on_bytes, &total};
    struct inflate *inflate = inflate_new(&out);
    struct error why = {0};

    (void)state;
    for (uint64_t i = 0; i < INFLATE_MAX_BYTES / PIECE_BYTES; i++)
        assert_int_equal(inflate_add(inflate, piece, PIECE_BYTES, &why), 0);
    assert_int_equal(total, INFLATE_MAX_BYTES);
    assert_int_equal(inflate_add(inflate, piece, 1, &why),
                     ERROR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(why.message, "more than 64 GiB"));
    assert_int_equal(total, INFLATE_MAX_BYTES);
    inflate_free(inflate);
    free(piece);
}

#define STREAM_TEST(function) \
    cmocka_unit_test_setup_teardown(function, streams_open, streams_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(gzip_is_unpacked),
        STREAM_TEST(gzip_of_many_members_is_unpacked),
        STREAM_TEST(zstd_is_unpacked),
        STREAM_TEST(zstd_of_many_frames_is_unpacked),
        STREAM_TEST(zstd_that_fills_a_block_exactly_ends_well),
        STREAM_TEST(what_is_not_compressed_is_passed_on),
        STREAM_TEST(cut_gzip_is_noticed),
        STREAM_TEST(cut_zstd_is_noticed),
        STREAM_TEST(damaged_gzip_is_noticed),
        STREAM_TEST(bytes_after_gzip_are_refused),
        STREAM_TEST(a_bomb_is_stopped),
        cmocka_unit_test(what_is_too_large_is_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
