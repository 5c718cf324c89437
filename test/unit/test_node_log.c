/* test_node_log.c - a log read while it is written, rotated and damaged; the
 * term; the data folder. */
#include "base/fd.h"
#include "base/memory.h"
#include "node/home.h"
#include "node/log_reader.h"
#include "node/supervisor/supervisor.h"
#include "node/term.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/kontor-node-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct error why;

    (void)state;
    return folder_remove(AT_FDCWD, folder, &why);
}

/* ---- the log ------------------------------------------------------------- */

static void append(const char *file, const void *bytes, size_t length)
{
    char *path = memory_format("%s/%s", folder, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct error why;

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, length, &why), 0);
    close(fd);
    free(path);
}

static void record_as(struct log_record header, const char *text)
{
    header.length = (uint32_t)strlen(text);
    header.stream = LOG_STREAM_STDOUT;
    append("log", &header, sizeof header);
    append("log", text, strlen(text));
}

static void record(const char *file, enum log_stream stream, const char *text)
{
    struct log_record header = {.length = (uint32_t)strlen(text),
                                .stream = (uint8_t)stream};

    append(file, &header, sizeof header);
    append(file, text, strlen(text));
}

static void rotate(void)
{
    char *from = memory_format("%s/log", folder);
    char *to = memory_format("%s/log.1", folder);

    assert_int_equal(rename(from, to), 0);
    free(from);
    free(to);
}

/* Everything there is now: "out" and "[err]" as one text. */
static void expect(struct log_reader *reader, const char *text)
{
    char seen[4096] = "";
    size_t length;
    struct error why;

    do {
        if (log_reader_next(reader, &length, &why) != 0)
            fail_msg("%s", why.message);
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen),
                 reader->is_stderr && length ? "[%.*s]" : "%.*s", (int)length,
                 (const char *)buffer_data(&reader->out));
    } while (length > 0);
    assert_string_equal(seen, text);
}

static void a_log_is_followed_through_rotations(void **state)
{
    struct log_reader reader;

    (void)state;
    log_reader_init(&reader, folder);
    expect(&reader, "");
    record("log", LOG_STREAM_STDOUT, "one ");
    record("log", LOG_STREAM_STDOUT, "two ");
    record("log", LOG_STREAM_STDERR, "oops");
    record("log", LOG_STREAM_STDOUT, "three");
    expect(&reader, "one two [oops]three");
    expect(&reader, "");
    record("log", LOG_STREAM_STDOUT, "four");
    rotate();
    expect(&reader, "four");
    record("log", LOG_STREAM_STDOUT, "five");
    expect(&reader, "five");
    /* Two rotations while nobody reads: the oldest that is left. */
    record("log", LOG_STREAM_STDOUT, "six");
    rotate();
    record("log", LOG_STREAM_STDOUT, "seven");
    rotate();
    record("log", LOG_STREAM_STDOUT, "eight");
    expect(&reader, "sixseveneight");
    log_reader_fini(&reader);
}

static const struct {
    struct log_filter filter;
    uint64_t tail_lines;
    const char *text;
} filters[] = {
    {{-1, -1, 0}, 0, "a0\nb0\na1\nb1\na2\n"},
    {{0, -1, 0}, 0, "a0\na1\na2\n"},
    {{1, -1, 0}, 0, "b0\nb1\n"},
    {{0, 1, 0}, 0, "a1\n"},
    {{0, 1 << 16 | 2, 0}, 0, "a2\n"}, /* low bits are kept */
    {{-1, -1, 40}, 0, "b1\na2\n"},
    {{1, -1, 40}, 0, "b1\n"},
    {{0, -1, 0}, 2, "a1\na2\n"},
    {{1, -1, 0}, 1, "b1\n"},
    {{1, 7, 0}, 5, ""},
};

/* What does not count is not there, for the tail neither. */
static void records_are_chosen(void **state)
{
    (void)state;
    record_as((struct log_record){10, 0, 0, 0, 0}, "a0\n");
    record_as((struct log_record){20, 0, 0, 1, 0}, "b0\n");
    record_as((struct log_record){30, 0, 0, 0, 1}, "a1\n");
    rotate();
    record_as((struct log_record){40, 0, 0, 1, 1}, "b1\n");
    record_as((struct log_record){50, 0, 0, 0, 2}, "a2\n");
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        struct log_reader reader;
        struct error why;

        log_reader_init(&reader, folder);
        reader.filter = filters[i].filter;
        assert_int_equal(log_reader_seek(&reader, filters[i].tail_lines, &why),
                         0);
        expect(&reader, filters[i].text);
        log_reader_fini(&reader);
    }
}

static void half_a_record_is_waited_for(void **state)
{
    struct log_record header = {.length = 4, .stream = LOG_STREAM_STDOUT};
    struct log_reader reader;

    (void)state;
    log_reader_init(&reader, folder);
    append("log", &header, 10);
    expect(&reader, "");
    append("log", (const char *)&header + 10, sizeof header - 10);
    append("log", "ab", 2);
    expect(&reader, "");
    append("log", "cd", 2);
    expect(&reader, "abcd");
    log_reader_fini(&reader);
}

/* Lines do not keep to records, and a record may hold many. */
static void a_tail_is_counted_in_lines(void **state)
{
    static const struct {
        uint64_t lines;
        const char *text;
    } tails[] = {
        {0, "one\ntwo\n\nfour\nfive\nsi"},
        {99, "one\ntwo\n\nfour\nfive\nsi"},
        {6, "one\ntwo\n\nfour\nfive\nsi"},
        {5, "two\n\nfour\nfive\nsi"},
        {4, "\nfour\nfive\nsi"},
        {3, "four\nfive\nsi"},
        {2, "five\nsi"},
        {1, "si"},
    };

    (void)state;
    record("log", LOG_STREAM_STDOUT, "one\ntw");
    record("log", LOG_STREAM_STDOUT, "o\n");
    record("log", LOG_STREAM_STDOUT, "");
    record("log", LOG_STREAM_STDOUT, "\nfo");
    rotate();
    record("log", LOG_STREAM_STDOUT, "ur\n");
    record("log", LOG_STREAM_STDOUT, "five\nsi");
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        struct log_reader reader;
        struct error why;

        log_reader_init(&reader, folder);
        assert_int_equal(log_reader_seek(&reader, tails[i].lines, &why), 0);
        expect(&reader, tails[i].text);
        log_reader_fini(&reader);
    }
}

/* Another reader goes on from there. */
static void expect_after(const struct log_position *after, const char *text)
{
    struct log_reader reader;
    struct error why;

    log_reader_init(&reader, folder);
    assert_int_equal(log_reader_resume(&reader, after, &why), 0);
    expect(&reader, text);
    log_reader_fini(&reader);
}

static void a_reader_goes_on_where_another_was_broken_off(void **state)
{
    struct log_position after = {0, 0};
    struct log_reader reader;
    struct error why;
    size_t length;

    (void)state;
    expect_after(&after, "");
    record("log", LOG_STREAM_STDOUT, "one ");
    record("log", LOG_STREAM_STDERR, "oops");
    record("log", LOG_STREAM_STDOUT, "two ");
    log_reader_init(&reader, folder);
    assert_int_equal(log_reader_next(&reader, &length, &why), 0);
    assert_int_equal(log_reader_position(&reader, &after, &why), 0);
    log_reader_fini(&reader);
    expect_after(&after, "[oops]two ");
    rotate();
    expect_after(&after, "[oops]two ");
    record("log", LOG_STREAM_STDOUT, "three ");
    expect_after(&after, "[oops]two three ");
    /* Gone, though what it was read from may have its inode again. */
    rotate();
    record_as((struct log_record){.wall_ms = 7}, "four");
    expect_after(&after, "three four");
}

static void a_damaged_log_is_said_to_be(void **state)
{
    struct log_record header = {.length = 1, .stream = 9};
    struct log_reader reader;
    struct error why;
    size_t length;

    (void)state;
    record("log", LOG_STREAM_STDOUT, "good");
    append("log", &header, sizeof header);
    log_reader_init(&reader, folder);
    assert_int_equal(log_reader_next(&reader, &length, &why), ERROR_DATA_LOSS);
    log_reader_fini(&reader);
    log_reader_init(&reader, folder);
    assert_int_equal(log_reader_seek(&reader, 3, &why), ERROR_DATA_LOSS);
    log_reader_fini(&reader);
}

/* Another process rotates at every moment of the reader's, but never twice
 * before it has seen all: it keeps up, and must see each record once. */
static void a_reader_that_keeps_up_misses_nothing(void **state)
{
    enum { ROUNDS = 4000 };
    struct log_reader reader;
    char text[16];
    size_t length;
    struct error why;
    int seen[2];
    pid_t writer;

    (void)state;
    assert_int_equal(pipe2(seen, O_CLOEXEC), 0);
    writer = fork();
    if (writer == 0) {
        close(seen[1]); /* should the reader fail */
        for (int i = 0; i < ROUNDS; i++) {
            snprintf(text, sizeof text, "%d", i);
            record("log", LOG_STREAM_STDOUT, text);
            rotate();
            if (read(seen[0], text, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    log_reader_init(&reader, folder);
    for (int i = 0; i < ROUNDS;) {
        if (log_reader_next(&reader, &length, &why) != 0)
            fail_msg("%s", why.message);
        if (length == 0)
            continue;
        snprintf(text, sizeof text, "%d", i++);
        assert_int_equal(length, strlen(text));
        assert_memory_equal(buffer_data(&reader.out), text, length);
        assert_int_equal(write(seen[1], "", 1), 1);
    }
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    close(seen[0]);
    close(seen[1]);
    log_reader_fini(&reader);
}

/* Many records, read in more than one block. */
static void a_long_log_is_whole(void **state)
{
    enum { RECORDS = 700, RECORD_BYTES = 999 };
    struct log_reader reader;
    char text[RECORD_BYTES + 1];
    size_t total = 0;
    size_t length;
    struct error why;

    (void)state;
    memset(text, 'x', RECORD_BYTES);
    text[0] = '\n';
    text[RECORD_BYTES] = '\0';
    for (int i = 0; i < RECORDS; i++)
        record("log", LOG_STREAM_STDOUT, text);
    log_reader_init(&reader, folder);
    assert_int_equal(log_reader_seek(&reader, 500, &why), 0);
    do {
        assert_int_equal(log_reader_next(&reader, &length, &why), 0);
        total += length;
    } while (length > 0);
    assert_int_equal(total, 500 * RECORD_BYTES - 1); /* no first newline */
    log_reader_fini(&reader);
}

/* ---- the term ------------------------------------------------------------ */

static void an_old_leader_is_refused_also_after_a_restart(void **state)
{
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct term term;
    struct error why;

    (void)state;
    assert_int_equal(term_open(&term, dir, &why), 0);
    assert_int_equal(term_check(&term, 7, &why), 0);
    assert_int_equal(term_check(&term, 7, &why), 0);
    assert_int_equal(term_check(&term, 6, &why), ERROR_FAILED_PRECONDITION);
    assert_string_equal(why.message,
                        "term 6 is over, this node has seen term 7");
    assert_int_equal(term_open(&term, dir, &why), 0);
    assert_int_equal(term_check(&term, 6, &why), ERROR_FAILED_PRECONDITION);
    assert_int_equal(term_check(&term, 8, &why), 0);
    assert_int_equal(file_replace(dir, "term", "x", 1, 0600, &why), 0);
    assert_int_equal(term_open(&term, dir, &why), ERROR_DATA_LOSS);
    close(dir);
}

/* Where it cannot be kept it is not taken, and not half remembered. */
static void a_term_that_is_not_on_disk_is_not_seen(void **state)
{
    char *way = memory_format("%s/term.new", folder);
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct term term;
    struct error why;

    (void)state;
    assert_int_equal(term_open(&term, dir, &why), 0);
    assert_int_equal(term_check(&term, 7, &why), 0);
    assert_int_equal(mkdir(way, 0700), 0);
    assert_int_not_equal(term_check(&term, 8, &why), 0);
    assert_non_null(strstr(why.message, "remember term 8"));
    assert_int_equal(term_check(&term, 7, &why), 0);
    assert_int_equal(rmdir(way), 0);
    assert_int_equal(term_check(&term, 8, &why), 0);
    assert_int_equal(term_check(&term, 7, &why), ERROR_FAILED_PRECONDITION);
    close(dir);
    free(way);
}

/* ---- the data folder ----------------------------------------------------- */

static void one_knode_works_in_a_folder(void **state)
{
    struct home_names names = {"kontor/n1", "kontor0", "kontor"};
    struct home_names found;
    struct home home;
    struct home second;
    struct error why;
    char *path = memory_format("%s/data", folder);

    (void)state;
    assert_int_equal(home_open(&home, path, &why), 0);
    assert_int_equal(home_open(&second, path, &why), ERROR_FAILED_PRECONDITION);
    assert_int_equal(home_read_names(&home, &found, &why), ERROR_NOT_FOUND);
    assert_int_equal(home_keep_names(&home, &names, &why), 0);
    assert_int_equal(home_keep_names(&home, &names, &why), 0);
    assert_int_equal(home_read_names(&home, &found, &why), 0);
    assert_string_equal(found.cgroup, "kontor/n1");
    assert_string_equal(found.table, "kontor");
    /* Under another name it would leave what the first one made. */
    strcpy(names.bridge, "kontor1");
    assert_int_equal(home_keep_names(&home, &names, &why),
                     ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "--bridge kontor0, not kontor1"));
    /* Left by a replacement that was cut off. */
    assert_int_equal(file_replace(home.folder, "term.new", "", 0, 0600, &why),
                     0);
    assert_int_equal(home_remove(&home, &why), 0);
    assert_int_equal(access(path, F_OK), -1);
    home_close(&home);
    free(path);
}

/* A volume of its own cannot be removed from inside: it is left, empty. */
static void a_mounted_folder_is_emptied(void **state)
{
    struct home_names names = {"kontor/n1", "kontor0", "kontor"};
    struct home home;
    struct error why;
    int status;

    (void)state;
    if (fork() == 0) {
        if (unshare(CLONE_NEWNS) != 0 ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", folder, "tmpfs", 0, NULL) != 0 ||
            home_open(&home, folder, &why) != 0 ||
            home_keep_names(&home, &names, &why) != 0 ||
            home_remove(&home, &why) != 0 || rmdir(folder) == 0)
            _exit(1);
        _exit(umount2(folder, MNT_DETACH) != 0 || rmdir(folder) != 0 ||
              mkdir(folder, 0700) != 0);
    }
    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
}

#define in_folder(function) \
    cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(a_log_is_followed_through_rotations),
        in_folder(a_reader_that_keeps_up_misses_nothing),
        in_folder(records_are_chosen),
        in_folder(half_a_record_is_waited_for),
        in_folder(a_tail_is_counted_in_lines),
        in_folder(a_reader_goes_on_where_another_was_broken_off),
        in_folder(a_damaged_log_is_said_to_be),
        in_folder(a_long_log_is_whole),
        in_folder(an_old_leader_is_refused_also_after_a_restart),
        in_folder(a_term_that_is_not_on_disk_is_not_seen),
        in_folder(one_knode_works_in_a_folder),
        in_folder(a_mounted_folder_is_emptied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
