/* test_cgroup.c - groups on the hierarchies of this machine (v1 or v2), and
 * the v2 backend on a folder that looks like one. As root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "node/cgroup/backend.h"
#include "node/disk/disk.h"
#include "test/unit/cgroup_group.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, AWAIT_MS = 5000, NAMES_MAX = 256 };

static void child_pauses(void)
{
    for (;;)
        pause();
}

static void child_forks(void)
{
    int status;

    if (fork() == 0)
        child_pauses();
    wait(&status);
}

static void child_eats(void)
{
    volatile char *bytes = mmap(NULL, 256 * MIB, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t i = 0; i < 256 * (size_t)MIB; i += 4096)
        bytes[i] = 1;
}

/* Exits with the number of forks that went well. */
static void child_multiplies(void)
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();

        if (pid < 0)
            _exit(i);
        if (pid == 0)
            child_pauses();
    }
    _exit(20);
}

static void limits_are_set_and_changed(void **state)
{
    struct cgroup_limits limits = {
        .cpu_milli = 500, .memory_bytes = 64 * MIB, .pids = 32};
    struct cgroup_mounts mounts;
    struct error why;

    (void)state;
    must(cgroup_mounts_find(&mounts, "/proc/self/mountinfo", &why));
    must(cgroup_create(group, &limits, &why));
    limits.memory_bytes = 128 * MIB; /* up and down again: the order matters */
    must(cgroup_create(group, &limits, &why));
    limits.memory_bytes = 32 * MIB;
    must(cgroup_create(group, &limits, &why));
    if (mounts.backend == &cgroup_v1) {
        char text[64];

        assert_true(cgroup_file_read(mounts.roots[CGROUP_CPU], group,
                                     "cpu.cfs_quota_us", text, sizeof text));
        assert_string_equal(text, "50000\n");
        assert_true(cgroup_file_read(mounts.roots[CGROUP_CPU], group,
                                     "cpu.shares", text, sizeof text));
        assert_string_equal(text, "512\n");
        assert_true(cgroup_file_read(mounts.roots[CGROUP_MEMORY], group,
                                     "memory.limit_in_bytes", text,
                                     sizeof text));
        assert_string_equal(text, "33554432\n");
        assert_true(cgroup_file_read(mounts.roots[CGROUP_PIDS], group,
                                     "pids.max", text, sizeof text));
        assert_string_equal(text, "32\n");
    }
    limits = (struct cgroup_limits){0};
    must(cgroup_create(group, &limits, &why));
    if (mounts.backend == &cgroup_v1) {
        char text[64];

        assert_true(cgroup_file_read(mounts.roots[CGROUP_PIDS], group,
                                     "pids.max", text, sizeof text));
        assert_string_equal(text, "max\n");
    }
}

static void kill_reaches_children(void **state)
{
    struct cgroup_limits limits = {0};
    struct error why;
    char child[80];
    int status;
    pid_t first, second;

    (void)state;
    snprintf(child, sizeof child, "%s/c0", group);
    must(cgroup_create(group, &limits, &why));
    must(cgroup_create(child, NULL, &why));
    assert_true(cgroup_empty(group));
    first = run_in_group(group, child_pauses);
    second = run_in_group(child, child_forks);
    assert_false(cgroup_empty(child));

    assert_int_equal(cgroup_remove(group, &why), ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, group));

    kill_group(child);
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(waitpid(first, &status, WNOHANG), 0); /* lives */
    assert_false(cgroup_empty(group));

    kill_group(group);
    assert_int_equal(waitpid(first, &status, 0), first);
    must(cgroup_remove(group, &why));
    must(cgroup_remove(group, &why)); /* once more is success */
    must(cgroup_kill(group, &why));
    assert_true(cgroup_empty(group));
}

/* Who kills by freezing first may itself be killed in between: what it left
 * frozen, a child group perhaps, dies with the next kill all the same. */
static void what_is_frozen_can_be_killed(void **state)
{
    struct cgroup_mounts mounts;
    struct error why;
    char child[80];
    pid_t pid;

    (void)state;
    snprintf(child, sizeof child, "%s/c0", group);
    must(cgroup_mounts_find(&mounts, "/proc/self/mountinfo", &why));
    must(cgroup_create(child, NULL, &why));
    pid = run_in_group(child, child_forks);
    if (mounts.backend == &cgroup_v1)
        must(cgroup_file_write(mounts.roots[CGROUP_FREEZER], child,
                               "freezer.state", "FROZEN", &why));
    else
        must(cgroup_file_write(mounts.roots[CGROUP_FREEZER], child,
                               "cgroup.freeze", "1", &why));
    kill_group(group);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void memory_limit_kills_and_is_counted(void **state)
{
    struct cgroup_limits limits = {.memory_bytes = 16 * MIB};
    struct error why;
    char child[80];
    int status;
    pid_t pid;

    (void)state;
    snprintf(child, sizeof child, "%s/c0", group);
    must(cgroup_create(group, &limits, &why));
    must(cgroup_create(child, NULL, &why));
    assert_int_equal(cgroup_oom_kills(child), 0);
    pid = run_in_group(child, child_eats);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(cgroup_oom_kills(child), 1); /* whoever's limit it was */
}

static void pids_limit_holds(void **state)
{
    struct cgroup_limits limits = {.pids = 8};
    struct error why;
    int status;
    pid_t pid;

    (void)state;
    must(cgroup_create(group, &limits, &why));
    pid = run_in_group(group, child_multiplies);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7); /* itself is the eighth */
}

/* ---- io ------------------------------------------------------------------ */

static char file_name[80];

static void child_writes(void)
{
    void *bytes = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = open(file_name, O_RDWR | O_DIRECT);

    for (int i = 0; i < 4; i++)
        if (pwrite(file, bytes, MIB, (off_t)i * MIB) != MIB)
            _exit(1);
}

static void child_reads(void)
{
    void *bytes = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = open(file_name, O_RDWR | O_DIRECT);

    for (int i = 0; i < 4; i++)
        if (pread(file, bytes, MIB, (off_t)i * MIB) != MIB)
            _exit(1);
}

static char process_state(pid_t pid)
{
    char path[32];
    char text[64] = "";
    char state = '?';

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
        sscanf(text, "%*d %*s %c", &state);
    return state;
}

/* A group with this limit and two beneath it, and a file of 4 MiB. False: the
 * files here are on no disk. */
static bool limit_io(uint64_t bytes, char child[2][80])
{
    struct cgroup_limits limits = {.io_bytes = bytes};
    struct error why;
    int file;

    if (disk_device("/var/tmp", &limits.io_device, &why) != 0)
        return false;
    snprintf(file_name, sizeof file_name, "/var/tmp/%s", group);
    file = open(file_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(file, 0, 4 * MIB), 0);
    assert_int_equal(fsync(file), 0);
    close(file);
    must(cgroup_create(group, &limits, &why));
    for (int i = 0; i < 2; i++) {
        snprintf(child[i], 80, "%s/c%d", group, i);
        must(cgroup_create(child[i], NULL, &why));
    }
    return true;
}

static int clean_io(void **state)
{
    unlink(file_name);
    return clean_group(state);
}

/* For both of a pod's containers together. */
static void io_limit_holds(void **state)
{
    void (*const does[])(void) = {child_writes, child_reads};
    char child[2][80];

    (void)state;
    if (!limit_io(8 * MIB, child))
        skip();
    for (size_t i = 0; i < ARRAY_LEN(does); i++) {
        uint64_t began_ms = clock_monotonic_ms();
        int status[2];

        pid_t first = run_in_group(child[0], does[i]);
        pid_t second = run_in_group(child[1], does[i]);
        assert_int_equal(waitpid(first, &status[0], 0), first);
        assert_int_equal(waitpid(second, &status[1], 0), second);
        assert_int_equal(status[0] | status[1], 0);
        assert_in_range(clock_monotonic_ms() - began_ms, 900, 1200);
    }
}

/* Its requests need not be waited for. */
static void who_waits_for_io_can_be_killed(void **state)
{
    uint64_t began_ms;
    char child[2][80];
    pid_t pid;

    (void)state;
    if (!limit_io(64 << 10, child)) /* a request waits for 16 s */
        skip();
    pid = run_in_group(child[0], child_writes);
    began_ms = clock_monotonic_ms();
    while (process_state(pid) != 'D' && clock_monotonic_ms() < began_ms + 1000)
        usleep(1000);
    kill_group(group);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_in_range(clock_monotonic_ms() - began_ms, 0, AWAIT_MS);
}

static void take_name(void *data, const char *child)
{
    char *names = data;
    size_t used = strlen(names);

    snprintf(names + used, NAMES_MAX - used, "%s", child + strlen(group));
}

static void children_are_listed_once(void **state)
{
    struct error why;
    char child[80];
    char names[NAMES_MAX] = "";

    (void)state;
    snprintf(child, sizeof child, "%s/one", group);
    must(cgroup_create(child, NULL, &why));
    must(cgroup_children(group, take_name, names, &why));
    assert_string_equal(names, "/one");
    must(cgroup_remove(group, &why));
    must(cgroup_children(group, take_name, names, &why));
    assert_string_equal(names, "/one");
}

static void paths_stay_below(void **state)
{
    static const char *const bad[] = {"", "/a", "a/", "..", "a/../b", "a//b"};
    struct error why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(cgroup_remove(bad[i], &why), ERROR_INVALID_ARGUMENT);
}

/* ---- v2, on a folder ----------------------------------------------------- */

static char folder[64];

static void put(const char *path, const char *text)
{
    char name[128];
    FILE *file;

    snprintf(name, sizeof name, "%s/%s", folder, path);
    file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect(const char *path, const char *text)
{
    char name[128];
    char got[128] = "";
    FILE *file;

    snprintf(name, sizeof name, "%s/%s", folder, path);
    file = fopen(name, "r");
    assert_non_null(file);
    assert_non_null(fgets(got, sizeof got, file));
    fclose(file);
    assert_string_equal(got, text);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/kontor-test-cgroup-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct error why;

    (void)state;
    return folder_remove(AT_FDCWD, folder, &why);
}

static void make_group(const char *path)
{
    static const char *const files[] = {"cgroup.subtree_control",
                                        "cgroup.procs",
                                        "cgroup.kill",
                                        "cpu.max",
                                        "cpu.weight",
                                        "memory.max",
                                        "memory.swap.max",
                                        "pids.max",
                                        "io.max"};
    char name[128];

    snprintf(name, sizeof name, "%s/%s", folder, path);
    assert_true(mkdir(name, 0755) == 0 || errno == EEXIST);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(name, sizeof name, "%s/%s", path, files[i]);
        put(name, "");
    }
}

/* What `before` lists, and the folder as a cgroup2 mount. */
static void find_in(struct cgroup_mounts *mounts, const char *before)
{
    struct error why;
    char name[128];
    char text[1024];

    snprintf(text, sizeof text,
             "%s29 23 0:26 / %s rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
             before, folder);
    put("mountinfo", text);
    snprintf(name, sizeof name, "%s/mountinfo", folder);
    must(cgroup_mounts_find(mounts, name, &why));
}

static const char v1_lines[] =
    "32 31 0:29 / /v1/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /v1/memory rw shared:7 master:1 - cgroup cgroup rw,memory\n"
    "34 31 0:31 / /v1/cpuset rw - cgroup cgroup rw,cpuset\n";

static void hierarchies_are_found(void **state)
{
    struct cgroup_mounts mounts;

    (void)state;
    put("cgroup.controllers", "cpuset cpu io memory pids\n");
    find_in(&mounts, v1_lines);
    assert_ptr_equal(mounts.backend, &cgroup_v2);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        assert_string_equal(mounts.roots[i], folder);
    put("cgroup.controllers", "cpu memory pids\n");
    find_in(&mounts, v1_lines);
    assert_ptr_equal(mounts.backend, &cgroup_v2);
    assert_string_equal(mounts.roots[CGROUP_IO], "");

    /* v2 without what is needed is not it; cpuset is not cpu. */
    put("cgroup.controllers", "cpuset hugetlb memory pids\n");
    find_in(&mounts, v1_lines);
    assert_ptr_equal(mounts.backend, &cgroup_v1);
    assert_string_equal(mounts.roots[CGROUP_CPU], "/v1/cpu,cpuacct");
    assert_string_equal(mounts.roots[CGROUP_MEMORY], "/v1/memory");
    assert_string_equal(mounts.roots[CGROUP_PIDS], "");
}

static void v2_files_are_written(void **state)
{
    struct cgroup_limits limits = {.cpu_milli = 1500,
                                   .memory_bytes = 64 * MIB,
                                   .io_bytes = 5 * MIB,
                                   .io_device = makedev(254, 3)};
    struct cgroup_mounts mounts;
    struct error why;

    (void)state;
    put("cgroup.controllers", "cpu memory pids\n");
    put("cgroup.subtree_control", "");
    make_group("kontor");
    make_group("kontor/pod-1");
    find_in(&mounts, "");
    assert_int_equal(cgroup_create_on(&mounts, "kontor/pod-1", &limits, &why),
                     ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "the io controller"));
    limits.io_bytes = 0;
    must(cgroup_create_on(&mounts, "kontor/pod-1", &limits, &why));
    expect("cgroup.subtree_control", "+cpu +memory +pids");
    put("cgroup.controllers", "cpu io memory pids\n");
    find_in(&mounts, "");
    limits.io_bytes = 5 * MIB;
    must(cgroup_create_on(&mounts, "kontor/pod-1", &limits, &why));
    expect("cgroup.subtree_control", "+cpu +memory +pids +io");
    expect("kontor/cgroup.subtree_control", "+cpu +memory +pids +io");
    expect("kontor/pod-1/io.max", "254:3 rbps=5242880 wbps=5242880");
    expect("kontor/pod-1/cpu.max", "150000 100000");
    expect("kontor/pod-1/cpu.weight", "150");
    expect("kontor/pod-1/memory.max", "67108864");
    expect("kontor/pod-1/memory.swap.max", "0");
    expect("kontor/pod-1/pids.max", "max");

    put("kontor/pod-1/io.max", "254:3 rbps=1\n");
    put("kontor/pod-1/memory.events", "low 0\noom 3\noom_kill 2\n");
    assert_int_equal(mounts.backend->oom_kills(&mounts, "kontor/pod-1"), 2);
    must(mounts.backend->kill(&mounts, "kontor/pod-1", &why));
    expect("kontor/pod-1/cgroup.kill", "1");
    expect("kontor/pod-1/io.max", "254:3 rbps=max wbps=max");
    /* After a machine's restart: the pods' folders are there, groups not. */
    must(mounts.backend->kill(&mounts, "kontor/gone", &why));
    assert_int_equal(why.code, ERROR_OK);
}

/* A unified hierarchy without the controllers will still do for this. */
static void v2_enters_and_kills(void **state)
{
    static const char root[] = "/sys/fs/cgroup/unified";
    struct cgroup_mounts mounts = {.backend = &cgroup_v2};
    struct error why;
    char child[80];
    int status;
    pid_t pid;

    (void)state;
    if (!cgroup_file_exists(root, ".", "cgroup.controllers"))
        skip();
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        strncpy(mounts.roots[i], root, sizeof mounts.roots[i] - 1);
    snprintf(child, sizeof child, "%s/c0", group);
    must(cgroup_create_on(&mounts, child, NULL, &why));
    pid = fork();
    if (pid == 0)
        child_pauses();
    must(cgroup_v2.enter(root, child, pid, &why));
    assert_int_equal(cgroup_remove_on(&mounts, group, &why),
                     ERROR_FAILED_PRECONDITION);
    must(cgroup_v2.kill(&mounts, group, &why));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    must(cgroup_remove_on(&mounts, group, &why));
    assert_false(cgroup_file_exists(root, group, "cgroup.procs"));
}

static void a_limit_nothing_can_keep_is_refused(void **state)
{
    struct cgroup_limits limits = {.pids = 3};
    struct cgroup_mounts mounts;
    struct error why;

    (void)state;
    find_in(&mounts, v1_lines);
    assert_int_equal(cgroup_create_on(&mounts, "a", &limits, &why),
                     ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "pids"));
    limits = (struct cgroup_limits){.deny_devices = true};
    assert_int_equal(cgroup_create_on(&mounts, "a", &limits, &why),
                     ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "the devices controller"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(limits_are_set_and_changed, clean_group),
        cmocka_unit_test_teardown(kill_reaches_children, clean_group),
        cmocka_unit_test_teardown(what_is_frozen_can_be_killed, clean_group),
        cmocka_unit_test_teardown(memory_limit_kills_and_is_counted,
                                  clean_group),
        cmocka_unit_test_teardown(pids_limit_holds, clean_group),
        cmocka_unit_test_teardown(io_limit_holds, clean_io),
        cmocka_unit_test_teardown(who_waits_for_io_can_be_killed, clean_io),
        cmocka_unit_test_teardown(children_are_listed_once, clean_group),
        cmocka_unit_test(paths_stay_below),
        cmocka_unit_test_setup_teardown(hierarchies_are_found, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(v2_files_are_written, make_folder,
                                        remove_folder),
        cmocka_unit_test(v2_enters_and_kills),
        cmocka_unit_test_setup_teardown(a_limit_nothing_can_keep_is_refused,
                                        make_folder, remove_folder),
    };

    name_group();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
