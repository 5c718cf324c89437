/* Reading a backup: what it holds, and that anything else is refused. */
#include "backup_made.h"
#include "base/fd.h"
#include "base/memory.h"
#include "client/backup_file.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char kind[] = "kontor-backup 1\n";

struct bytes {
    uint8_t *at; /* owned */
    size_t length;
};

static struct bytes read_all(int fd)
{
    struct stat info;
    struct bytes all = {NULL, 0};

    assert_int_equal(fstat(fd, &info), 0);
    all.length = (size_t)info.st_size;
    all.at = memory_new(all.length + 1);
    assert_int_equal(pread(fd, all.at, all.length, 0), all.length);
    return all;
}

static struct bytes a_header(void)
{
    Kontor__V1__BackupHeader header = KONTOR__V1__BACKUP_HEADER__INIT;
    Kontor__V1__RaftConfiguration members =
        KONTOR__V1__RAFT_CONFIGURATION__INIT;
    struct bytes packed;

    header.index = 42;
    header.term = 7;
    header.members = &members;
    packed.length = kontor__v1__backup_header__get_packed_size(&header);
    packed.at = memory_new(packed.length + 1);
    kontor__v1__backup_header__pack(&header, packed.at);
    return packed;
}

/* Two nodes; pods: one running, one that succeeded, two that wait. */
static struct bytes a_state(void)
{
    struct cluster *c = cluster_new();
    CLEANUP(fd_close) int fd = -1;

    do_register(c, "n1", (struct wanted){4000, 8 << 20, 8 << 20, 8000});
    do_register(c, "n2", (struct wanted){4000, 8 << 20, 8 << 20, 8000});
    do_create(c, (struct create){.node_id = 1, .request = 1});
    do_create(c, (struct create){.node_id = 2, .request = 2});
    do_create(c, (struct create){.app = "db", .request = 3});
    do_create(c, (struct create){.app = "db"});
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    do_report(c, 2, 2, 1, KONTOR__V1__POD_PHASE__POD_SUCCEEDED);
    fd = save_to_file(c);
    cluster_free(c);
    return read_all(fd);
}

/* A backup of that, of which `change` may change the state's bytes. */
static int a_backup(const char *of_kind, void (*change)(struct bytes *state))
{
    struct bytes header = a_header();
    struct bytes state = a_state();
    int fd;

    if (change)
        change(&state);
    fd = backup_made(of_kind, header.at, header.length, state.at, state.length);
    free(header.at);
    free(state.at);
    return fd;
}

static void it_says_what_it_holds(void **state)
{
    CLEANUP(fd_close) int fd = a_backup(kind, NULL);
    struct backup_content content;
    struct error why;

    (void)state;
    if (backup_file_read(fd, &content, &why) != 0)
        fail_msg("%s", why.message);
    assert_int_equal(content.header->index, 42);
    assert_int_equal(content.header->term, 7);
    assert_int_equal(content.nodes, 2);
    assert_int_equal(content.pods[KONTOR__V1__POD_PHASE__POD_RUNNING], 1);
    assert_int_equal(content.pods[KONTOR__V1__POD_PHASE__POD_SUCCEEDED], 1);
    assert_int_equal(content.pods[KONTOR__V1__POD_PHASE__POD_PENDING], 2);
    assert_int_equal(content.requests, 3);
    assert_true(content.events > 0);
    backup_content_fini(&content);
}

static void expect_refused(int fd, enum error_code code, const char *text)
{
    struct backup_content content;
    struct error why;

    assert_int_equal(backup_file_read(fd, &content, &why), code);
    if (!strstr(why.message, text))
        fail_msg("\"%s\" does not say \"%s\"", why.message, text);
}

/* ---- what is not whole ---- */

static void a_cut_one_is_refused(void **state)
{
    CLEANUP(fd_close) int fd = a_backup(kind, NULL);
    struct bytes all = read_all(fd);

    (void)state;
    while (all.length-- > 0) {
        assert_int_equal(ftruncate(fd, (off_t)all.length), 0);
        expect_refused(fd, ERROR_DATA_LOSS, "");
    }
    free(all.at);
}

static void one_with_more_behind_it_is_refused(void **state)
{
    CLEANUP(fd_close) int fd = a_backup(kind, NULL);

    (void)state;
    lseek(fd, 0, SEEK_END);
    assert_int_equal(write(fd, "x", 1), 1);
    expect_refused(fd, ERROR_DATA_LOSS, "it is not whole");
}

static void any_byte_counts(void **state)
{
    CLEANUP(fd_close) int fd = a_backup(kind, NULL);
    struct bytes all = read_all(fd);
    struct backup_content content;
    struct error why;

    (void)state;
    for (size_t i = 0; i < all.length; i++) {
        uint8_t other = all.at[i] ^ 0x10;

        assert_int_equal(pwrite(fd, &other, 1, (off_t)i), 1);
        if (backup_file_read(fd, &content, &why) == 0)
            fail_msg("byte %zu may be changed", i);
        assert_int_equal(pwrite(fd, &all.at[i], 1, (off_t)i), 1);
    }
    assert_int_equal(backup_file_read(fd, &content, &why), 0);
    backup_content_fini(&content);
    free(all.at);
}

/* ---- what is sealed, and nonsense all the same ---- */

static void drop_the_last(struct bytes *state)
{
    state->length--;
}

static void drop_all(struct bytes *state)
{
    state->length = 0;
}

static void repeat_the_header(struct bytes *state)
{
    size_t first = state->at[0] + 1u; /* its length is one byte */

    assert_true(state->at[0] < 0x80);
    state->at = memory_resize(state->at, state->length + first);
    memcpy(state->at + state->length, state->at, first);
    state->length += first;
}

static void drop_the_header(struct bytes *state)
{
    size_t first = state->at[0] + 1u;

    state->length -= first;
    memmove(state->at, state->at + first, state->length);
}

static void add_an_empty_record(struct bytes *state)
{
    state->at = memory_resize(state->at, state->length + 1);
    state->at[state->length++] = 0;
}

static void claim_too_much(struct bytes *state)
{
    state->at[0] = 0xff;
    state->at[1] = 0xff;
    state->at[2] = 0xff;
}

static const struct {
    const char *what;
    const char *kind;
    void (*change)(struct bytes *state);
    enum error_code code;
    const char *text;
} odd[] = {
    {"another form", "kontor-backup 2\n", NULL, ERROR_FAILED_PRECONDITION,
     "its form is not kontor-backup 1"},
    {"another file", "somebody's file\n", NULL, ERROR_INVALID_ARGUMENT,
     "this is no kontor-backup"},
    {"an end within a record", kind, drop_the_last, ERROR_DATA_LOSS,
     "no record is at byte"},
    {"no state", kind, drop_all, ERROR_DATA_LOSS, "other records"},
    {"two headers", kind, repeat_the_header, ERROR_DATA_LOSS, "no record"},
    {"no header", kind, drop_the_header, ERROR_DATA_LOSS, "no record"},
    {"a record of nothing", kind, add_an_empty_record, ERROR_DATA_LOSS,
     "no record"},
    {"a record without end", kind, claim_too_much, ERROR_DATA_LOSS,
     "no record is at byte 0"},
};

static void nonsense_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        CLEANUP(fd_close) int fd = a_backup(odd[i].kind, odd[i].change);

        expect_refused(fd, odd[i].code, odd[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_it_holds),
        cmocka_unit_test(a_cut_one_is_refused),
        cmocka_unit_test(one_with_more_behind_it_is_refused),
        cmocka_unit_test(any_byte_counts),
        cmocka_unit_test(nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
