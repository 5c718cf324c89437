/* Rings of shared memory, both ends in one process; the writer does not
 * wait. */
#include "base/lang.h"
#include "base/memory.h"
#include "node/image/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct both {
    struct ring_writer writer;
    struct ring_reader reader;
    size_t put;
    size_t read;
};

static int both_open(void **state)
{
    struct both *both = memory_new(sizeof *both);
    struct ring_end writer = RING_END_NONE;
    struct ring_end reader = RING_END_NONE;
    struct error why;

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(ring_make(&writer, &reader, &why), 0);
    assert_int_equal(fcntl(writer.credits, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(ring_writer_open(&both->writer, &writer, &why), 0);
    assert_int_equal(ring_reader_open(&both->reader, &reader, &why), 0);
    *state = both;
    return 0;
}

static void end_reader(struct both *both)
{
    munmap(without_const(both->reader.memory), RING_BYTES);
    ring_end_close(&both->reader.end);
}

static int both_close(void **state)
{
    struct both *both = *state;

    ring_writer_close(&both->writer);
    end_reader(both);
    free(both);
    return 0;
}

static uint8_t byte_at(size_t number)
{
    return (uint8_t)(number * 2654435761u >> 13);
}

/* Put at most `most` bytes; returns how many had room. */
static size_t put(struct both *both, size_t most)
{
    uint8_t *at;
    size_t room = ring_room(&both->writer, &at);
    size_t length = most < room ? most : room;

    for (size_t i = 0; i < length; i++)
        at[i] = byte_at(both->put++);
    if (length > 0)
        ring_fill(&both->writer, length);
    return length;
}

static void fill_up(struct both *both)
{
    while (put(both, SIZE_MAX) > 0)
        continue;
}

static void read_one(struct both *both)
{
    const uint8_t *at;
    ssize_t length = ring_read(&both->reader, &at);

    assert_true(length > 0);
    for (ssize_t i = 0; i < length; i++)
        assert_int_equal(at[i], byte_at(both->read++));
}

static void what_was_put_is_read(void **state)
{
    struct both *both = *state;
    const uint8_t *at;

    for (size_t length = 1; length < 3 * RING_BYTES; length = length * 7 + 1) {
        for (size_t left = length; left > 0;) {
            left -= put(both, left);
            if (both->put - both->read > RING_BYTES / 2)
                read_one(both);
        }
        ring_flush(&both->writer);
        while (both->read < both->put)
            read_one(both);
    }
    ring_writer_close(&both->writer);
    assert_int_equal(ring_read(&both->reader, &at), 0);
}

/* A block is held until the next one is asked for. */
static void a_full_ring_has_room_when_a_block_was_read(void **state)
{
    struct both *both = *state;

    fill_up(both);
    assert_int_equal(both->put, RING_BYTES);
    assert_false(ring_fits(&both->writer, 1));
    read_one(both);
    assert_int_equal(put(both, SIZE_MAX), 0);
    read_one(both);
    assert_true(ring_fits(&both->writer, RING_BLOCK_BYTES));
    assert_false(ring_fits(&both->writer, RING_BLOCK_BYTES + 1));
    fill_up(both);
    assert_int_equal(both->put, RING_BYTES + RING_BLOCK_BYTES);
}

/* A reader that has enough to do is not sent little. */
static void a_part_of_a_block_is_passed_on_when_it_is_waited_for(void **state)
{
    struct both *both = *state;

    for (unsigned i = 0; i < 3; i++) {
        put(both, 1);
        ring_hurry(&both->writer);
    }
    assert_int_equal(both->writer.lent, 2);
    assert_int_equal(both->writer.filled, 1);
    read_one(both);
    read_one(both);
    ring_hurry(&both->writer);
    assert_int_equal(both->writer.filled, 0);
    read_one(both);
    assert_int_equal(both->read, 3);
}

static void a_reader_cannot_write(void **state)
{
    struct both *both = *state;
    int fd = both->reader.end.memory;

    assert_int_equal(write(fd, "x", 1), -1);
    assert_true(mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                     0) == MAP_FAILED);
    assert_int_equal(errno, EACCES);
    assert_int_equal(mprotect(without_const(both->reader.memory), RING_BYTES,
                              PROT_READ | PROT_WRITE),
                     -1);
    assert_int_equal(errno, EACCES);
}

static void a_writer_without_a_reader_goes_on(void **state)
{
    struct both *both = *state;

    fill_up(both);
    end_reader(both);
    for (int i = 0; i < 3 * RING_BLOCKS; i++)
        assert_int_equal(put(both, SIZE_MAX), RING_BLOCK_BYTES);
    assert_true(both->writer.broken);
    assert_true(ring_fits(&both->writer, RING_BYTES));
    assert_int_equal(ring_wait_fd(&both->writer), -1);
}

static void a_reader_that_gives_back_too_much_is_not_heard(void **state)
{
    static const char credits[RING_BLOCKS];
    struct both *both = *state;

    put(both, RING_BLOCK_BYTES);
    assert_int_equal(write(both->reader.end.credits, credits, 2), 2);
    assert_true(ring_fits(&both->writer, RING_BYTES));
    assert_true(both->writer.broken);
}

static void lengths_that_no_block_has_are_refused(void **state)
{
    static const uint32_t lengths[] = {0, RING_BLOCK_BYTES + 1, UINT32_MAX};
    struct both *both = *state;
    const uint8_t *at;

    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        assert_int_equal(write(both->writer.end.lengths, &lengths[i], 4), 4);
        assert_int_equal(ring_read(&both->reader, &at), -1);
        assert_int_equal(errno, EPROTO);
    }
}

#define RING_TEST(function) \
    cmocka_unit_test_setup_teardown(function, both_open, both_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(what_was_put_is_read),
        RING_TEST(a_full_ring_has_room_when_a_block_was_read),
        RING_TEST(a_part_of_a_block_is_passed_on_when_it_is_waited_for),
        RING_TEST(a_reader_cannot_write),
        RING_TEST(a_writer_without_a_reader_goes_on),
        RING_TEST(a_reader_that_gives_back_too_much_is_not_heard),
        RING_TEST(lengths_that_no_block_has_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
