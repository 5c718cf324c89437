/* SQLite's write-ahead log as a crash leaves it, and the mark that says what of
 * it was reported (raft/store_wal.h). A crash's image is a copy of the files.
 */
#include "base/fd.h"
#include "raft/store_file.h"
#include "raft_members.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SALT_AT = 16, SIZE_LAST = 7 }; /* in the log's header, a frame's */
/* Where the log's frame `i` begins, from 1. */
#define FRAME_AT(i) (32 + ((i)-1) * (24 + 4096))

static char folder[64]; /* of the stores */

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "build/test_raft_store_wal.XXXXXX");
    (void)mkdir("build", 0755);
    return !mkdtemp(folder);
}

static int remove_folder(void **state)
{
    struct error why;

    (void)state;
    return folder_remove(AT_FDCWD, folder, &why) != 0;
}

static int try_open(struct store_file *file, const char *name,
                    struct store_content *content, struct error *why)
{
    char path[128];
    struct store_options options = {
        .folder = path,
        .self = "m1",
        .id = 1,
        .configuration = raft_members(3, 0, RAFT_NOBODY),
    };
    int code;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    code = store_file_open(file, &options, content, why);
    raft_payload_drop(options.configuration);
    return code;
}

/* And how many entries it has. */
static size_t open_file(struct store_file *file, const char *name)
{
    struct store_content content = {0};
    struct error why;
    size_t count;

    if (try_open(file, name, &content, &why) != 0)
        fail_msg("%s", why.message);
    count = content.entry_count;
    store_content_fini(&content);
    return count;
}

/* One transaction. */
static void put_entry(struct store_file *file, uint64_t index)
{
    struct raft_entry entry = {.term = 2, .kind = RAFT_ENTRY_COMMAND};
    struct store_write write = {.has_state = true,
                                .term = 2,
                                .from = index,
                                .entries = &entry,
                                .entry_count = 1};
    struct error why;

    assert_int_equal(store_file_begin(file, &why), 0);
    assert_int_equal(store_file_write(file, &write, &why), 0);
    assert_int_equal(store_file_commit(file, &why), 0);
}

static void copy(const char *from, const char *to)
{
    char command[256];

    snprintf(command, sizeof command, "cp -r %s/%s %s/%s", folder, from, folder,
             to);
    assert_int_equal(system(command), 0);
}

/* What the byte is then. */
static uint8_t flip_bits(const char *name, off_t at, uint8_t bits)
{
    char path[128];
    uint8_t byte;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    return byte;
}

/* A power cut may bring back the mark of the log before, which was of no more
 * use: it does not tell what was reported of this one. */
static void a_header_that_rotted_is_told_from_a_torn_one(void **state)
{
    struct store_content content = {0};
    struct store_file file;
    struct error why = {0};

    (void)state;
    open_file(&file, "live");
    put_entry(&file, 1);
    store_file_close(&file);
    copy("live/raft.db-mark", "mark");
    open_file(&file, "live");
    put_entry(&file, 2);
    copy("live", "sound");
    copy("live", "rotten");
    store_file_close(&file);

    copy("mark", "sound/raft.db-mark");
    assert_int_equal(open_file(&file, "sound"), 2);
    store_file_close(&file);

    copy("mark", "rotten/raft.db-mark");
    flip_bits("rotten/raft.db-wal", SALT_AT, 1);
    assert_int_equal(try_open(&file, "rotten", &content, &why),
                     ERROR_DATA_LOSS);
    assert_non_null(strstr(why.message, "raft.db-wal: its header is damaged"));
}

/* Put entries from `index` on until the log has so many frames. */
static uint64_t put_until(struct store_file *file, uint64_t index,
                          unsigned frames)
{
    while (file->wal_pages < frames)
        put_entry(file, index++);
    assert_int_equal(file->wal_pages, frames);
    return index;
}

/* Can a store be opened whose last transaction but one, of which the mark is
 * lost, ends with the log's frame `end`, and has not all of its bytes? */
static bool is_taken_for_torn(const char *name, unsigned end)
{
    struct store_content content = {0};
    struct store_file file;
    struct error why = {0};
    char path[128];
    uint64_t index;
    int code;

    open_file(&file, name);
    index = put_until(&file, 1, end - 1);
    snprintf(path, sizeof path, "%s/raft.db-mark", name);
    copy(path, "mark");
    put_entry(&file, index);
    assert_int_equal(file.wal_pages, end);
    put_entry(&file, index + 1);
    snprintf(path, sizeof path, "%s.torn", name);
    copy(name, path);
    store_file_close(&file);

    snprintf(path, sizeof path, "%s.torn/raft.db-mark", name);
    copy("mark", path);
    snprintf(path, sizeof path, "%s.torn/raft.db-wal", name);
    flip_bits(path, FRAME_AT(end + 1) - 1, 1);
    snprintf(path, sizeof path, "%s.torn", name);
    code = try_open(&file, path, &content, &why);
    if (code) {
        assert_int_equal(code, ERROR_DATA_LOSS);
        return false;
    }
    assert_int_equal(content.entry_count, index - 1);
    store_content_fini(&content);
    store_file_close(&file);
    return true;
}

/* Frame 42's header has its size, which is not 0 where a transaction ends, in
 * one sector and its salt in the next: the size may be of another log. */
static void an_end_that_may_be_of_another_log_is_none(void **state)
{
    (void)state;
    assert_false(is_taken_for_torn("whole", 40));
    assert_true(is_taken_for_torn("split", 42));
}

/* A size is not 0 where a transaction ends, and may have one bit that is set.
 */
static void an_end_whose_only_bit_rotted_is_one(void **state)
{
    enum { ENTRIES = 3, PAGES = 4 };
    struct store_content content = {0};
    struct store_file file;
    struct error why = {0};
    unsigned end = 0;

    (void)state;
    open_file(&file, "live");
    put_entry(&file, 1);
    copy("live/raft.db-mark", "mark");
    put_entry(&file, 2);
    end = file.wal_pages;
    put_entry(&file, ENTRIES);
    copy("live", "rotten");
    store_file_close(&file);

    copy("mark", "rotten/raft.db-mark");
    assert_int_equal(
        flip_bits("rotten/raft.db-wal", FRAME_AT(end) + SIZE_LAST, PAGES), 0);
    assert_int_equal(try_open(&file, "rotten", &content, &why),
                     ERROR_DATA_LOSS);
    assert_non_null(strstr(why.message, "2 transactions stand after it"));
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_header_that_rotted_is_told_from_a_torn_one),
        STORY(an_end_that_may_be_of_another_log_is_none),
        STORY(an_end_whose_only_bit_rotted_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
