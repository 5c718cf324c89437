/* The mark of a log as a crash leaves it (raft/store_mark.h). */
#include "raft/store_mark.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Of a record; two of them, so far apart. */
enum { RECORD_BYTES = 28, APART_BYTES = 4096 };

static const uint8_t SALT[STORE_SALT_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};

static char path[64];

static int make_path(void **state)
{
    int fd;

    (void)state;
    snprintf(path, sizeof path, "build/test_raft_store_mark.XXXXXX");
    (void)mkdir("build", 0755);
    fd = mkstemp(path);
    close(fd);
    return fd < 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static void open_mark(struct store_mark *mark)
{
    struct error why;

    if (store_mark_open(mark, path, &why) != 0)
        fail_msg("%s", why.message);
}

static void set(struct store_mark *mark, uint64_t frames)
{
    struct error why;

    memcpy(mark->salt, SALT, sizeof SALT);
    assert_int_equal(store_mark_set(mark, frames, &why), 0);
}

static void set_and_sync(struct store_mark *mark, uint64_t frames)
{
    struct error why;

    set(mark, frames);
    assert_int_equal(store_mark_sync(mark, &why), 0);
}

static void expect_found(uint64_t frames)
{
    struct store_mark mark;

    open_mark(&mark);
    assert_true(mark.known);
    assert_memory_equal(mark.salt, SALT, sizeof SALT);
    assert_int_equal(mark.frames, frames);
    store_mark_close(&mark);
}

static void flip(off_t at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void what_was_set_is_found(void **state)
{
    struct store_mark mark;

    (void)state;
    open_mark(&mark);
    assert_false(mark.known);
    for (uint64_t frames = 7; frames > 0; frames--) {
        set_and_sync(&mark, frames);
        if (frames % 2)
            set(&mark, frames + 100);
    }
    store_mark_close(&mark);
    expect_found(101);
}

/* A crash may tear what was not synced, wherever. */
static void what_was_synced_stays(void **state)
{
    struct store_mark mark;

    (void)state;
    open_mark(&mark);
    set_and_sync(&mark, 1);
    store_mark_close(&mark);
    for (uint64_t frames = 2; frames < 60; frames++) {
        off_t record;

        open_mark(&mark);
        set(&mark, frames + 1);
        record = (off_t)(mark.number % 2 * APART_BYTES);
        store_mark_close(&mark);
        flip(record + (off_t)(frames % RECORD_BYTES));
        expect_found(frames - 1);

        open_mark(&mark);
        set_and_sync(&mark, frames);
        store_mark_close(&mark);
        expect_found(frames);
    }
}

static void damage_to_both_leaves_none(void **state)
{
    struct store_mark mark;

    (void)state;
    open_mark(&mark);
    set_and_sync(&mark, 1);
    set_and_sync(&mark, 2);
    store_mark_close(&mark);
    flip(0);
    flip(APART_BYTES);
    open_mark(&mark);
    assert_false(mark.known);
    assert_int_equal(mark.frames, 0);
    store_mark_close(&mark);
}

static void write_at(off_t at, const uint8_t *bytes, size_t length)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_int_equal(pwrite(fd, bytes, length, at), (ssize_t)length);
    close(fd);
}

/* A master may be taken back to a program that knows of one record only, which
 * has no number, and forth again. */
static void what_an_older_program_wrote_is_the_newest(void **state)
{
    static const uint8_t of_9_frames[] = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x3b, 0xd0, 0x60};
    struct store_mark mark;

    (void)state;
    write_at(0, of_9_frames, sizeof of_9_frames);
    expect_found(9);
    for (uint64_t frames = 20; frames < 24; frames++) {
        open_mark(&mark);
        set_and_sync(&mark, frames);
        store_mark_close(&mark);
        expect_found(frames);
    }
    write_at(0, of_9_frames, sizeof of_9_frames);
    expect_found(9);
    expect_found(9);
    open_mark(&mark);
    set_and_sync(&mark, 30);
    store_mark_close(&mark);
    expect_found(30);
}

#define MARK(test) cmocka_unit_test_setup_teardown(test, make_path, remove_path)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MARK(what_was_set_is_found),
        MARK(what_was_synced_stays),
        MARK(damage_to_both_leaves_none),
        MARK(what_an_older_program_wrote_is_the_newest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
