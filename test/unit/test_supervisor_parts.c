/* test_supervisor_parts.c - kpod's parts by themselves: the log under torn
 * ends and full disks, users in odd files, paths in a root, false files of
 * /proc. As root. */
#include "base/fd.h"
#include "base/lang.h"
#include "node/supervisor/log_file.h"
#include "node/supervisor/privileges.h"
#include "node/supervisor/procfs.h"
#include "node/supervisor/report.h"
#include "node/supervisor/root_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define must(call)                                  \
    do {                                            \
        if ((call) != 0)                            \
            fail_msg("%s: %s", #call, why.message); \
    } while (0)

static char folder[64];
static pid_t racer; /* a child that has to be ended, or 0 */
static const struct log_source source = {0, LOG_STREAM_STDOUT, 0};

/* Every test's current folder is a fresh one. */
static int enter_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/kontor-test-parts-XXXXXX");
    return mkdtemp(folder) ? chdir(folder) : -1;
}

static void end_racer(void)
{
    if (racer > 0) {
        kill(racer, SIGKILL);
        waitpid(racer, NULL, 0);
    }
    racer = 0;
}

static int leave_folder(void **state)
{
    struct error why;

    (void)state;
    end_racer();
    umount2(folder, MNT_DETACH);
    if (chdir("/") != 0)
        return -1;
    return folder_remove(AT_FDCWD, folder, &why);
}

static off_t size_of(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? info.st_size : -1;
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* ---- log ------------------------------------------------------------------
 */

enum { HEADER = sizeof(struct log_record), RECORD = HEADER + 5 };

static const struct {
    const char *rule;
    off_t cut;         /* the file's length after the crash */
    unsigned zeros_at; /* or where zeros begin, as ext4 may leave them */
    off_t left;
} torn[] = {
    {"a whole file is left alone", 3 * RECORD, 0, 3 * RECORD},
    {"a header without its bytes goes", 2 * RECORD + HEADER, 0, 2 * RECORD},
    {"a part of the bytes goes", 3 * RECORD - 1, 0, 2 * RECORD},
    {"a part of a header goes", 2 * RECORD + 3, 0, 2 * RECORD},
    {"zeros are no record", 3 * RECORD, RECORD, RECORD},
    {"an empty file is a log", 0, 0, 0},
};

static void torn_ends_are_cut_off(void **state)
{
    struct log_file log;
    struct error why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(torn); i++) {
        unlink("log");
        must(log_file_open(&log, 0, &why));
        for (int k = 0; k < 3; k++)
            log_file_append(&log, source, "hello", 5);
        assert_int_equal(size_of("log"), 3 * RECORD);
        assert_int_equal(ftruncate(log.fd, torn[i].cut), 0);
        if (torn[i].zeros_at) {
            assert_int_equal(ftruncate(log.fd, torn[i].zeros_at), 0);
            assert_int_equal(ftruncate(log.fd, torn[i].cut), 0);
        }
        log_file_close(&log);
        must(log_file_open(&log, 0, &why));
        if (size_of("log") != torn[i].left)
            fail_msg("%s: %ld bytes", torn[i].rule, (long)size_of("log"));
        log_file_append(&log, source, "again", 5);
        assert_int_equal(size_of("log"), torn[i].left + RECORD);
        log_file_close(&log);
    }
}

/* More than is read at a time, so that records lie across the edges. */
static void long_logs_are_checked_whole(void **state)
{
    static char bytes[LOG_RECORD_MAX_BYTES];
    struct log_file log;
    struct error why;

    (void)state;
    must(log_file_open(&log, 0, &why));
    for (size_t i = 1; i < 200; i++)
        log_file_append(&log, source, bytes, i * 37);
    log_file_append(&log, source, bytes, sizeof bytes);
    off_t whole = size_of("log");
    assert_int_equal(write(log.fd, "torn", 4), 4);
    log_file_close(&log);
    must(log_file_open(&log, 0, &why));
    assert_int_equal(size_of("log"), whole);
    assert_int_equal(log.size, whole);
    log_file_close(&log);
}

static void logs_are_rotated(void **state)
{
    static char bytes[LOG_RECORD_MAX_BYTES];
    struct log_file log;
    struct error why;

    (void)state;
    must(log_file_open(&log, 3 * LOG_RECORD_MAX_BYTES, &why));
    log_file_append(&log, source, "first", 5);
    for (int i = 0; i < 2; i++)
        log_file_append(&log, source, bytes, sizeof bytes);
    assert_int_equal(size_of("log.1"), -1);
    log_file_append(&log, source, bytes, sizeof bytes);
    assert_int_equal(size_of("log.1"), RECORD + 2 * (HEADER + sizeof bytes));
    assert_int_equal(size_of("log"), HEADER + sizeof bytes);
    log_file_close(&log);
}

/* The pod goes on; what was lost is said when there is room again. */
static void a_full_disk_costs_only_output(void **state)
{
    static char bytes[LOG_RECORD_MAX_BYTES];
    struct log_file log;
    struct error why;
    char text[512] = "";

    (void)state;
    assert_int_equal(mount("tmpfs", folder, "tmpfs", 0, "size=256k"), 0);
    assert_int_equal(chdir(folder), 0);
    put_file("log.1", "old");
    must(log_file_open(&log, 10 << 20, &why));
    for (int i = 0; i < 6; i++)
        log_file_append(&log, source, bytes, sizeof bytes);
    assert_int_equal(size_of("log.1"), -1); /* given up for room */
    assert_int_equal(log.lost_bytes, 3 * sizeof bytes);
    assert_int_equal(size_of("log"), 3 * (HEADER + sizeof bytes));
    assert_int_equal(mount(NULL, folder, NULL, MS_REMOUNT, "size=1m"), 0);
    log_file_append(&log, source, "hello", 5);
    assert_int_equal(log.lost_bytes, 0);
    assert_true(pread(log.fd, text, sizeof text - 1,
                      3 * (HEADER + (off_t)sizeof bytes) + HEADER) > 0);
    assert_non_null(strstr(text, "196608 bytes of output are lost"));
    log_file_close(&log);
}

/* The last word on a pod is kept, though the pod itself filled the disk. */
static void a_full_disk_takes_a_status(void **state)
{
    static char bytes[LOG_RECORD_MAX_BYTES];
    Kontor__V1__PodStatus *status;
    struct report report;
    struct buffer file;
    struct error why;
    int fill;

    (void)state;
    assert_int_equal(mount("tmpfs", folder, "tmpfs", 0, "size=256k"), 0);
    assert_int_equal(chdir(folder), 0);
    report_init(&report, -1);
    report_enter(&report, KONTOR__V1__POD_PHASE__POD_RUNNING, "%s",
                 "a reason that is longer than the next");
    must(report_publish(&report, false, &why));
    fill = open("fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fill, bytes, sizeof bytes) > 0)
        continue;
    close(fill);
    report_enter(&report, KONTOR__V1__POD_PHASE__POD_FAILED, "%s", "short");
    must(report_publish(&report, true, &why));
    buffer_init(&file, SUPERVISOR_FILE_MAX_BYTES);
    must(file_read(AT_FDCWD, SUPERVISOR_STATUS, &file, &why));
    status = kontor__v1__pod_status__unpack(NULL, buffer_length(&file),
                                            buffer_data(&file));
    assert_non_null(status);
    assert_int_equal(status->phase, KONTOR__V1__POD_PHASE__POD_FAILED);
    assert_string_equal(status->reason, "short");
    kontor__v1__pod_status__free_unpacked(status, NULL);
    buffer_fini(&file);
}

/* ---- users ----------------------------------------------------------------
 */

static const char passwd[] = "\n"
                             "::::\n"
                             "bad:x:-1:0::/:\n"
                             "huge:x:99999999999999999999:0::/:\n"
                             "minus:x:4294967295:0::/:\n"
                             "short:x:7\n"
                             "twice:x:11:12::/first:\n"
                             "twice:x:21:22::/second:\n"
                             "empty:x:31:32:::\n"
                             "last:x:41:42::/last:/bin/sh"; /* no newline */
static const char group[] = "a:x:1:last,twice\n"
                            "b:x:2:lasting,xlast\n"
                            "c:x:3:twice,last\n"
                            "d:x:x:last\n"
                            "42:x:9:last";

static const struct {
    const char *user;
    int code;
    unsigned uid, gid, groups;
    const char *home;
} lookups[] = {
    {"", 0, 0, 0, 0, "/"},
    {"last", 0, 41, 42, 3, "/last"},
    {"last:c", 0, 41, 3, 0, "/last"},
    {"last:", 0, 41, 42, 3, "/last"},
    {"41:77", 0, 41, 77, 0, "/last"},
    {"twice", 0, 11, 12, 2, "/first"},
    {"empty", 0, 31, 32, 0, "/"},
    {"12345", 0, 12345, 0, 0, "/"},
    {"bad", ERROR_NOT_FOUND, 0, 0, 0, NULL},
    {"huge", ERROR_NOT_FOUND, 0, 0, 0, NULL},
    {"minus", ERROR_NOT_FOUND, 0, 0, 0, NULL},
    {"short", ERROR_NOT_FOUND, 0, 0, 0, NULL},
    {"4294967295", ERROR_INVALID_ARGUMENT, 0, 0, 0, NULL},
    {"last:nogroup", ERROR_NOT_FOUND, 0, 0, 0, NULL},
    {"-1", ERROR_NOT_FOUND, 0, 0, 0, NULL},
};

/* In a root of its own; the exit code is the number of the first row that
 * is wrong, from 1. */
static int look_up_all(void)
{
    struct identity identity;
    struct error why;

    if (chroot(folder) != 0)
        return 100;
    for (size_t i = 0; i < ARRAY_LEN(lookups); i++) {
        int code = identity_resolve(lookups[i].user, &identity, &why);

        if (code != lookups[i].code)
            return (int)i + 1;
        if (code == 0 &&
            (identity.uid != lookups[i].uid || identity.gid != lookups[i].gid ||
             identity.group_count != lookups[i].groups ||
             strcmp(identity.home, lookups[i].home) != 0))
            return (int)i + 1;
    }
    return 0;
}

static void users_are_resolved(void **state)
{
    int status;

    (void)state;
    assert_int_equal(mkdir("etc", 0755), 0);
    put_file("etc/passwd", passwd);
    put_file("etc/group", group);
    if (fork() == 0)
        _exit(look_up_all());
    wait(&status);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0)
        fail_msg("user \"%s\"", lookups[WEXITSTATUS(status) - 1].user);
}

/* A pipe in the file's place must not hold the pod up. */
static void odd_files_are_no_lists(void **state)
{
    int status;

    (void)state;
    assert_int_equal(mkdir("etc", 0755), 0);
    assert_int_equal(mkfifo("etc/passwd", 0644), 0);
    assert_int_equal(symlink("/etc/group", "etc/group"), 0);
    if (fork() == 0) {
        struct identity identity;
        struct error why;

        _exit(chroot(folder) != 0 ||
              identity_resolve("5:6", &identity, &why) != 0 ||
              identity.uid != 5 || identity.gid != 6);
    }
    wait(&status);
    assert_int_equal(status, 0);
}

/* ---- paths ----------------------------------------------------------------
 */

static void paths_stay_in_the_root(void **state)
{
    struct error why;
    struct stat made, expected;
    int root, fd;

    (void)state;
    assert_int_equal(mkdir("root", 0755), 0);
    assert_int_equal(mkdir("root/real", 0755), 0);
    assert_int_equal(symlink("../../../../real", "root/up"), 0);
    assert_int_equal(symlink("/nowhere", "root/dangling"), 0);
    assert_int_equal(symlink("/tmp", "root/absolute"), 0);
    root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);

    fd = root_path_folder(root, "/up/a/b/c", &why);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &made), 0);
    assert_int_equal(stat("root/real/a/b/c", &expected), 0);
    assert_int_equal(made.st_ino, expected.st_ino);
    close(fd);

    /* There is no /tmp in the root. */
    assert_int_equal(root_path_open(root, "/absolute", 0), -1);
    assert_int_equal(root_path_folder(root, "/dangling/x", &why), -1);
    assert_non_null(strstr(why.message, "/dangling/x"));

    fd = root_path_file(root, "/dangling", &why);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(lstat("root/dangling", &made), 0);
    assert_true(S_ISREG(made.st_mode));
    assert_int_equal(stat("/nowhere", &made), -1);
    close(root);
}

/* In mounts of its own: the message that a write is refused with, "" when it
 * was done. */
static void write_score(const char *from, const char *target, int pipe)
{
    struct error why = {0};

    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        (from && mount(from, target, NULL, MS_BIND, NULL) != 0))
        error_errno(&why, "mount %s on %s", from, target);
    else
        procfs_write("self/oom_score_adj", "77", &why);
    dprintf(pipe, "%s", why.message);
    _exit(0);
}

/* CVE-2025-52881: what should be written to the kernel goes elsewhere, or
 * elsewhere in the kernel. */
static void only_procfs_is_written_to(void **state)
{
    static const struct {
        const char *from, *target, *said;
    } ways[] = {
        {NULL, NULL, ""},
        {"proc", "/proc", "what is mounted on /proc is no procfs"},
        {"proc/self/oom_score_adj", "/proc/self/oom_score_adj",
         "something is mounted upon /proc/self/oom_score_adj"},
        {"/proc/self/comm", "/proc/self/oom_score_adj",
         "something is mounted upon /proc/self/oom_score_adj"},
    };

    (void)state;
    assert_int_equal(mkdir("proc", 0755), 0);
    assert_int_equal(mkdir("proc/self", 0755), 0);
    put_file("proc/self/oom_score_adj", "");
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        char said[ERROR_MESSAGE_MAX] = "";
        int ends[2];

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        if (fork() == 0)
            write_score(ways[i].from, ways[i].target, ends[1]);
        close(ends[1]);
        assert_true(read(ends[0], said, sizeof said - 1) >= 0);
        close(ends[0]);
        wait(NULL);
        assert_string_equal(said, ways[i].said);
    }
    assert_int_equal(size_of("proc/self/oom_score_adj"), 0);
}

/* A folder and a link out of the root, exchanged without end. */
static pid_t exchange_for_ever(void)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        renameat2(AT_FDCWD, "root/vol", AT_FDCWD, "root/link", RENAME_EXCHANGE);
}

/* Which of the two did it lead to? What lies elsewhere fails the test. */
static int where_is(int fd)
{
    static const char *const places[] = {"/root/vol/", "/root/link/",
                                         "/root/outside/"};
    char path[64], at[PATH_MAX];
    ssize_t length;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    length = readlink(path, at, sizeof at - 1);
    assert_true(length > 0);
    at[length] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (strncmp(at, folder, strlen(folder)) == 0 &&
            strncmp(at + strlen(folder), places[i], strlen(places[i])) == 0)
            return i == 2;
    fail_msg("led to %s", at);
    return 0; /* not reached */
}

/* Whoever shares a folder with a container that is being made exchanges it for
 * a link while mounts go there (CVE-2021-30465, CVE-2023-27561): each step is
 * taken by the kernel inside the root, so there is no moment for it. */
static void a_folder_that_becomes_a_link_leads_no_way_out(void **state)
{
    enum { ENOUGH = 20000, TRIES_MAX = 10000000 };
    unsigned seen[2] = {0, 0};
    struct error why;
    int root;

    (void)state;
    assert_int_equal(mkdir("outside", 0755), 0); /* the host's */
    assert_int_equal(mkdir("root", 0755), 0);
    assert_int_equal(mkdir("root/outside", 0755), 0);
    assert_int_equal(mkdir("root/vol", 0755), 0);
    assert_int_equal(symlink("../outside", "root/link"), 0);
    root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    racer = exchange_for_ever();
    for (unsigned i = 0;
         i < TRIES_MAX && (seen[0] < ENOUGH || seen[1] < ENOUGH); i++) {
        int fd = i % 2 ? root_path_folder(root, "/vol/a/b", &why)
                       : root_path_file(root, "/vol/f", &why);

        if (fd < 0)
            continue; /* it was exchanged halfway */
        seen[where_is(fd)]++;
        close(fd);
    }
    end_racer();
    assert_true(seen[0] >= ENOUGH && seen[1] >= ENOUGH);
    assert_int_equal(rmdir("outside"), 0); /* empty */
    close(root);
}

#define story(test) \
    cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(torn_ends_are_cut_off),
        story(long_logs_are_checked_whole),
        story(logs_are_rotated),
        story(a_full_disk_costs_only_output),
        story(a_full_disk_takes_a_status),
        story(users_are_resolved),
        story(odd_files_are_no_lists),
        story(paths_stay_in_the_root),
        story(only_procfs_is_written_to),
        story(a_folder_that_becomes_a_link_leads_no_way_out),
    };

    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
