/* The log on disk: what was reported durable is there again, and what is
 * damaged is refused by name. */
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "raft/store.h"
#include "raft_members.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static char folder[64];
static uv_loop_t loop;
static unsigned done_count;

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "build/test_raft_store.XXXXXX");
    (void)mkdir("build", 0755);
    done_count = 0;
    return !mkdtemp(folder) || uv_loop_init(&loop) != 0;
}

static int remove_folder(void **state)
{
    struct error why;

    (void)state;
    return uv_loop_close(&loop) != 0 ||
           folder_remove(AT_FDCWD, folder, &why) != 0;
}

static char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- a store and what is written to it ---- */

static int try_open(struct store **store, struct store_content *content,
                    const char *self, struct error *why)
{
    struct store_options options = {
        .folder = folder,
        .self = self,
        .id = 2,
        .configuration = raft_members(3, 0, RAFT_NOBODY),
    };
    int code = store_open(store, &options, content, why);

    raft_payload_drop(options.configuration);
    return code;
}

/* `content` is all zero, or what it was filled with before. */
static struct store *open_store(struct store_content *content)
{
    struct store *store = NULL;
    struct error why = {0};

    store_content_fini(content); /* of the time before */
    if (try_open(&store, content, "m1", &why) != 0)
        fail_msg("%s", why.message);
    store_start(store, &loop);
    return store;
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static void close_store(struct store *store)
{
    bool closed = false;

    store_close(store, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
}

static void on_written(struct store_write *write)
{
    (void)write;
    done_count++;
}

static void on_compacted(struct store_compaction *compaction)
{
    (void)compaction;
    done_count++;
}

static struct raft_entry make_entry(uint64_t term, const char *text)
{
    return (struct raft_entry){
        .term = term,
        .kind = RAFT_ENTRY_COMMAND,
        .payload = raft_payload_new(text, strlen(text)),
    };
}

/* Submit and wait. */
static void put(struct store *store, struct store_write *write)
{
    unsigned before = done_count;

    write->done = on_written;
    store_submit(store, write);
    while (done_count == before)
        uv_run(&loop, UV_RUN_ONCE);
}

/* Entries [from, to] of `term`, with the index and `text` as bytes. */
static void put_entries(struct store *store, uint64_t from, uint64_t to,
                        uint64_t term)
{
    size_t count = (size_t)(to - from + 1);
    struct raft_entry *entries = memory_array(count, sizeof *entries);
    struct store_write write = {.has_state = true,
                                .term = term,
                                .voted_for = 2,
                                .from = from,
                                .entries = entries,
                                .entry_count = count};

    for (size_t i = 0; i < count; i++) {
        char text[32];

        snprintf(text, sizeof text, "entry %zu", (size_t)from + i);
        entries[i] = make_entry(term, text);
    }
    put(store, &write);
    for (size_t i = 0; i < count; i++)
        raft_payload_drop(entries[i].payload);
    free(entries);
}

static void compact(struct store *store, struct store_compaction compaction)
{
    unsigned before = done_count;

    compaction.done = on_compacted;
    compaction.configuration = raft_members(3, 1, RAFT_NOBODY);
    memset(compaction.snapshot_sha256, 7, sizeof compaction.snapshot_sha256);
    store_compact(store, &compaction);
    while (done_count == before)
        uv_run(&loop, UV_RUN_ONCE);
    raft_payload_drop(compaction.configuration);
}

static void expect_entry(const struct store_content *content, uint64_t index,
                         uint64_t term)
{
    const struct raft_entry *entry =
        &content->entries[index - content->first_index];
    char text[32];

    snprintf(text, sizeof text, "entry %llu", (unsigned long long)index);
    assert_int_equal(entry->term, term);
    assert_int_equal(entry->kind, RAFT_ENTRY_COMMAND);
    assert_int_equal(entry->payload->length, strlen(text));
    assert_memory_equal(entry->payload->bytes, text, strlen(text));
}

static void expect_members(const struct store_content *content, size_t count)
{
    Kontor__V1__RaftConfiguration *members =
        raft_configuration_unpack(content->configuration);

    assert_non_null(members);
    assert_int_equal(members->n_members, count);
    kontor__v1__raft_configuration__free_unpacked(members, NULL);
}

/* ---- stories ---- */

static void empty_store_begins_at_one(void **state)
{
    struct store_content content = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct store *store = open_store(&content);

        assert_int_equal(content.term, 0);
        assert_int_equal(content.voted_for, RAFT_NOBODY);
        assert_int_equal(content.first_index, 1);
        assert_int_equal(content.entry_count, 0);
        assert_int_equal(content.id, 2);
        expect_members(&content, 3);
        assert_true(store_free_bytes(store, STORE_RESERVE_BYTES) > 0);
        close_store(store);
        store_content_fini(&content);
    }
}

static void what_is_durable_is_there_again(void **state)
{
    struct store_content content = {0};
    struct store *store = open_store(&content);
    struct store_write vote = {.has_state = true, .term = 9, .voted_for = 3};

    (void)state;
    put_entries(store, 1, 10, 4);
    put_entries(store, 6, 7, 5); /* replaces 6 ... 10 */
    put(store, &vote);
    close_store(store);

    store = open_store(&content);
    assert_int_equal(content.term, 9);
    assert_int_equal(content.voted_for, 3);
    assert_int_equal(content.entry_count, 7);
    expect_entry(&content, 5, 4);
    expect_entry(&content, 6, 5);
    expect_entry(&content, 7, 5);
    close_store(store);
    store_content_fini(&content);
}

/* A noop has no bytes, a command may be larger than a page. */
static void entries_of_all_sizes(void **state)
{
    static char large[100000];
    struct store_content content = {0};
    struct store *store = open_store(&content);
    struct raft_entry entries[2] = {{.term = 1, .kind = RAFT_ENTRY_NOOP}};
    struct store_write write = {
        .has_state = true, .term = 1, .from = 1, .entries = entries};

    (void)state;
    memset(large, 'x', sizeof large - 1);
    entries[1] = make_entry(1, large);
    write.entry_count = 2;
    put(store, &write);
    raft_payload_drop(entries[1].payload);
    close_store(store);

    store = open_store(&content);
    assert_int_equal(content.entry_count, 2);
    assert_int_equal(content.entries[0].kind, RAFT_ENTRY_NOOP);
    assert_null(content.entries[0].payload);
    assert_int_equal(content.entries[1].payload->length, sizeof large - 1);
    close_store(store);
    store_content_fini(&content);
}

static void order_of_completion(struct store_write *write)
{
    const struct store_write *first = write->data;

    assert_ptr_equal(write, first + done_count);
    done_count++;
}

static void many_at_once_finish_in_order(void **state)
{
    enum { WRITES = 1000 };
    struct store_content content = {0};
    struct store *store = open_store(&content);
    struct store_write *writes = memory_array(WRITES, sizeof *writes);
    struct raft_entry entry = make_entry(0, "entry 1");

    (void)state;
    for (unsigned i = 0; i < WRITES; i++) {
        writes[i] = (struct store_write){.from = i + 1,
                                         .entries = &entry,
                                         .entry_count = 1,
                                         .done = order_of_completion,
                                         .data = writes};
        store_submit(store, &writes[i]);
    }
    close_store(store); /* finishes what was submitted */
    assert_int_equal(done_count, WRITES);
    store = open_store(&content);
    assert_int_equal(content.entry_count, WRITES);
    close_store(store);
    store_content_fini(&content);
    raft_payload_drop(entry.payload);
    free(writes);
}

static void compaction_drops_the_prefix(void **state)
{
    struct store_content content = {0};
    struct store *store = open_store(&content);

    (void)state;
    put_entries(store, 1, 3000, 2);
    compact(store, (struct store_compaction){.snapshot_index = 2900,
                                             .snapshot_term = 2,
                                             .keep_from = 2800});
    put_entries(store, 3001, 3001, 3);
    close_store(store); /* before all rows of the prefix are deleted */

    for (int i = 0; i < 2; i++) {
        store = open_store(&content);
        assert_int_equal(content.snapshot_index, 2900);
        assert_int_equal(content.snapshot_term, 2);
        assert_int_equal(content.snapshot_sha256[31], 7);
        assert_int_equal(content.first_index, 2800);
        expect_members(&content, 4);
        assert_int_equal(content.entry_count, 202);
        expect_entry(&content, 2800, 2);
        expect_entry(&content, 3001, 3);
        put_entries(store, 3001, 3001, 3); /* time for the deletion */
        close_store(store);
        store_content_fini(&content);
    }
}

static void installed_snapshot_replaces_the_log(void **state)
{
    struct store_content content = {0};
    struct store *store = open_store(&content);

    (void)state;
    put_entries(store, 1, 20, 2);
    compact(store, (struct store_compaction){.snapshot_index = 500,
                                             .snapshot_term = 3,
                                             .replaces_log = true});
    put_entries(store, 501, 502, 3);
    close_store(store);

    store = open_store(&content);
    assert_int_equal(content.snapshot_index, 500);
    assert_int_equal(content.first_index, 501);
    assert_int_equal(content.entry_count, 2);
    expect_entry(&content, 501, 3);
    close_store(store);
    store_content_fini(&content);
}

/* ---- what is refused ---- */

/* Opening fails with `code` and a message that holds `text`. */
static void expect_refused(const char *self, enum error_code code,
                           const char *text)
{
    struct store_content content = {0};
    struct store *store;
    struct error why = {0};

    assert_int_not_equal(try_open(&store, &content, self, &why), 0);
    if (why.code != code || !strstr(why.message, text) ||
        !strstr(why.message, "raft.db"))
        fail_msg("%s: %s", error_name(why.code), why.message);
}

static void fill_store(void)
{
    struct store_content content = {0};
    struct store *store = open_store(&content);

    put_entries(store, 1, 300, 2);
    close_store(store);
    store_content_fini(&content);
}

static void change_rows(const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path_of("raft.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void overwrite(const char *name, off_t at, const void *bytes,
                      size_t length)
{
    int fd = open(path_of(name), O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, at), length);
    close(fd);
}

static void other_masters_store_is_refused(void **state)
{
    (void)state;
    fill_store();
    expect_refused("m2", ERROR_FAILED_PRECONDITION,
                   "belongs to the master m1, not to m2");
}

static void second_process_is_refused(void **state)
{
    struct store_content content = {0};
    struct store *store = open_store(&content);

    (void)state;
    if (fork() == 0) {
        struct store_content ours;
        struct store *second;
        struct error why = {0};
        int code = try_open(&second, &ours, "m1", &why);

        _exit(code == ERROR_FAILED_PRECONDITION &&
                      strstr(why.message, "another process")
                  ? 0
                  : 1);
    }
    int status = -1;

    wait(&status);
    assert_int_equal(status, 0);
    close_store(store);
    store_content_fini(&content);
}

static const struct {
    const char *name;
    const char *sql;
    const char *text;
} rotten[] = {
    {"a bit in an entry",
     "UPDATE entries SET bytes = CAST('entry 43' AS BLOB) WHERE id = 42",
     "entry 42 has a wrong checksum"},
    {"an entry's term", "UPDATE entries SET term = 1 WHERE id = 7",
     "entry 7 has a wrong checksum"},
    {"a lost entry", "DELETE FROM entries WHERE id = 100",
     "entry 100 is missing, 101 stands next"},
    {"a lost prefix", "DELETE FROM entries WHERE id < 3",
     "entry 1 is missing, 3 stands next"},
    {"a vote", "UPDATE state SET voted_for = 1", "wrong checksum"},
    {"the members", "UPDATE state SET configuration = zeroblob(40)",
     "wrong checksum"},
    {"whose it is", "UPDATE identity SET id = 3", "wrong checksum"},
    {"its name", "UPDATE identity SET self = 'm0'", "wrong checksum"},
    {"no state", "DELETE FROM state", "a row is missing"},
    {"no table", "DROP TABLE entries", "entries"},
    {"another program's", "PRAGMA application_id = 5", "not a log"},
};

static void rotten_rows_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rotten); i++) {
        struct error why;

        fill_store();
        change_rows(rotten[i].sql);
        expect_refused("m1", ERROR_DATA_LOSS, rotten[i].text);
        folder_remove(AT_FDCWD, folder, &why);
    }
}

static void newer_format_is_refused(void **state)
{
    (void)state;
    fill_store();
    change_rows("PRAGMA user_version = 2");
    expect_refused("m1", ERROR_FAILED_PRECONDITION, "format 2");
}

static void damaged_files_are_refused(void **state)
{
    static const uint8_t garbage[4096] = {0xde, 0xad, 0xbe, 0xef};
    struct error why;

    (void)state;
    fill_store();
    overwrite("raft.db", 0, garbage, 100);
    expect_refused("m1", ERROR_DATA_LOSS, "not a database");
    folder_remove(AT_FDCWD, folder, &why);

    fill_store();
    overwrite("raft.db", 3 * 4096, garbage, sizeof garbage);
    expect_refused("m1", ERROR_DATA_LOSS, "");
    folder_remove(AT_FDCWD, folder, &why);

    fill_store();
    assert_int_equal(truncate(path_of("raft.db"), 2 * 4096), 0);
    expect_refused("m1", ERROR_DATA_LOSS, "");
    folder_remove(AT_FDCWD, folder, &why);

    fill_store();
    assert_int_equal(truncate(path_of("raft.db"), 0), 0);
    expect_refused("m1", ERROR_DATA_LOSS, "is empty");
}

/* A process that dies leaves the write-ahead log as it is. */
static void die_with_a_write_ahead_log(void)
{
    struct error why;
    int status = -1;

    folder_remove(AT_FDCWD, folder, &why);
    if (fork() == 0) {
        struct store_content content = {0};
        struct store *store;

        uv_loop_fork(&loop);
        store = open_store(&content);
        for (uint64_t i = 1; i <= 20; i++)
            put_entries(store, i, i, 2);
        _exit(0);
    }
    wait(&status);
    assert_int_equal(status, 0);
}

static uint64_t entries_after_crash(void)
{
    struct store_content content = {0};
    struct store *store = open_store(&content);
    uint64_t count = content.entry_count;

    close_store(store);
    store_content_fini(&content);
    return count;
}

enum { WAL_HEADER = 32, WAL_FRAME = 24 + 4096 };

/* Where the last frame of the write-ahead log begins; after it are zeros. */
static off_t last_frame(void)
{
    int fd = open(path_of("raft.db-wal"), O_RDONLY | O_CLOEXEC);
    uint8_t salt[8];
    uint8_t found[8];
    off_t at = WAL_HEADER;

    assert_int_equal(pread(fd, salt, sizeof salt, 16), sizeof salt);
    while (pread(fd, found, sizeof found, at + 8) == sizeof found &&
           memcmp(found, salt, sizeof salt) == 0)
        at += WAL_FRAME;
    close(fd);
    return at - WAL_FRAME;
}

static const uint8_t garbage[16] = {0xde, 0xad};

static void damaged_write_ahead_logs_are_refused(void **state)
{
    (void)state;
    die_with_a_write_ahead_log();
    assert_int_equal(entries_after_crash(), 20);

    die_with_a_write_ahead_log();
    overwrite("raft.db-wal", WAL_HEADER + 3 * WAL_FRAME + 1000, garbage,
              sizeof garbage);
    expect_refused("m1", ERROR_DATA_LOSS, "frame 4 of");

    overwrite("raft.db-wal", 16, garbage, sizeof garbage);
    expect_refused("m1", ERROR_DATA_LOSS, "raft.db-wal: its header");

    assert_int_equal(unlink(path_of("raft.db-wal")), 0);
    expect_refused("m1", ERROR_DATA_LOSS, "were reported durable");

    die_with_a_write_ahead_log();
    assert_int_equal(unlink(path_of("raft.db")), 0);
    expect_refused("m1", ERROR_DATA_LOSS, "raft.db is missing");
}

/* The mark tells, unless a power cut took it: then it is taken for torn. */
static void damage_at_the_end_is_told_from_a_torn_tail(void **state)
{
    (void)state;
    die_with_a_write_ahead_log();
    overwrite("raft.db-wal", last_frame() + 1000, garbage, sizeof garbage);
    expect_refused("m1", ERROR_DATA_LOSS, "were reported durable is damaged");

    assert_int_equal(unlink(path_of("raft.db-mark")), 0);
    assert_int_equal(entries_after_crash(), 19);
}

/* A write that fails ends the process, and what was reported is there. */
static void failed_write_ends_the_process(void **state)
{
    struct store_content content = {0};
    struct store *store;
    int status = -1;
    int reported[2];
    uint64_t last = 0;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(reported), 0);
    child = fork();
    if (child == 0) {
        struct rlimit limit = {256 << 10, 256 << 10};

        uv_loop_fork(&loop);
        log_set_level(LOG_LEVEL_ERROR + 1);
        store = open_store(&content);
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        for (uint64_t i = 1;; i++) {
            put_entries(store, i, i, 2);
            (void)!write(reported[1], &i, sizeof i);
        }
    }
    close(reported[1]);
    for (uint64_t i; read(reported[0], &i, sizeof i) == sizeof i;)
        last = i;
    close(reported[0]);
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
    assert_true(last > 0);
    store = open_store(&content);
    assert_true(content.entry_count >= last);
    close_store(store);
    store_content_fini(&content);
}

/* In a file system of 6 MiB, in a mount namespace of its own. */
static _Noreturn void fill_small_disk(int log_fd)
{
    struct store_content content = {0};
    struct store *store;
    static char large[100000];
    struct raft_entry entry;

    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", folder, "tmpfs", 0, "size=6m") != 0)
        _exit(77);
    dup2(log_fd, STDERR_FILENO);
    uv_loop_fork(&loop);
    memset(large, 'x', sizeof large - 1);
    entry = make_entry(0, large);
    store = open_store(&content);
    for (uint64_t i = 1;; i++) {
        struct store_write write = {
            .from = i, .entries = &entry, .entry_count = 1};

        put(store, &write);
    }
}

static void full_disk_is_named(void **state)
{
    char text[2048];
    size_t length = 0;
    ssize_t got;
    int status = -1;
    int ends[2];
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0)
        fill_small_disk(ends[1]);
    close(ends[1]);
    while ((got = read(ends[0], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* mounting is root's */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
    if (!strstr(text, "raft.db: no space left on the disk"))
        fail_msg("%s", text);
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(empty_store_begins_at_one),
        STORY(what_is_durable_is_there_again),
        STORY(entries_of_all_sizes),
        STORY(many_at_once_finish_in_order),
        STORY(compaction_drops_the_prefix),
        STORY(installed_snapshot_replaces_the_log),
        STORY(other_masters_store_is_refused),
        STORY(second_process_is_refused),
        STORY(rotten_rows_are_refused),
        STORY(newer_format_is_refused),
        STORY(damaged_files_are_refused),
        STORY(damaged_write_ahead_logs_are_refused),
        STORY(damage_at_the_end_is_told_from_a_torn_tail),
        STORY(failed_write_ends_the_process),
        STORY(full_disk_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
