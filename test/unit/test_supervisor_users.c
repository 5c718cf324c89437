/* test_supervisor_users.c - pods with a user namespace: who is root inside is
 * nobody outside. The real kpod; as root. */
#include "base/fd.h"
#include "base/memory.h"
#include "node/pod/id_range.h"
#include "test/unit/kpod_story.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIRST = 77 * SUPERVISOR_IDS, WWW = 33, CHILDREN_MAX = 8 };

static void make_pod(const char *script)
{
    pod = kpod_pod_new(script);
    pod->bundle->first_id = FIRST;
}

static struct stat look(const char *name)
{
    struct stat info;
    char path[160];

    snprintf(path, sizeof path, "%s/%s", pod->folder, name);
    if (lstat(path, &info) != 0)
        fail_msg("there is no %s", name);
    return info;
}

static void give(const char *name, uid_t owner, mode_t mode)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", pod->folder, name);
    fd_close(&(int){open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)});
    assert_int_equal(chown(path, owner, owner), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* ---- who ------------------------------------------------------------------
 */

/* Of the pod: its pid 1, and its containers' programs. */
static int children(int pids[CHILDREN_MAX])
{
    char path[64];
    FILE *file;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pod->kpod,
             (int)pod->kpod);
    file = fopen(path, "re");
    assert_non_null(file);
    while (count < CHILDREN_MAX && fscanf(file, "%d", &pids[count]) == 1)
        count++;
    fclose(file);
    return count;
}

static void assert_uid(int pid, unsigned uid)
{
    char path[64], line[128];
    unsigned found = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Uid: %*u %*u %*u %u", &found) == 1)
            break;
    fclose(file);
    assert_int_equal(found, uid);
}

static void assert_owned(int pid, const char *kind)
{
    char path[64];
    struct stat owner, own;
    int fd, users;

    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    assert_int_equal(stat(path, &own), 0);
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    users = ioctl(fd, NS_GET_USERNS);
    assert_int_equal(fstat(users, &owner), 0);
    if (owner.st_ino != own.st_ino)
        fail_msg("%s namespace of %d is another user namespace's", kind, pid);
    close(users);
    close(fd);
}

static void its_root_is_nobody_outside(void **state)
{
    static const char *const kinds[] = {"ipc", "mnt", "net", "pid", "uts"};
    int pids[CHILDREN_MAX];

    (void)state;
    make_pod("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; "
             "grep CapEff /proc/self/status; echo up; sleep 1000");
    kpod_pod_start(pod);
    kpod_pod_await_log(pod, "up");
    assert_says(" 0 5046272 65536\n 0 5046272 65536\n0\n");
    assert_says("00000000a00405fb\n"); /* of the namespace's */
    assert_int_equal(children(pids), 2);
    for (int i = 0; i < 2; i++) {
        assert_uid(pids[i], FIRST);
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            assert_owned(pids[i], kinds[k]);
    }
    assert_owned(pids[1], "cgroup");
    kpod_pod_stop(pod, 0);
    kpod_pod_end(pod);
}

static void another_user_is_another_one_outside(void **state)
{
    int pids[CHILDREN_MAX];

    (void)state;
    make_pod("id -u; id -G; touch /tmp/made; echo a >/dev/stderr; echo up; "
             "sleep 1000");
    kpod_pod_set(&pod->bundle->containers[0]->user, "www");
    kpod_pod_start(pod);
    kpod_pod_await_log(pod, "up");
    assert_says("33\n34 50 60\n");
    assert_says("a\n");
    assert_int_equal(children(pids), 2);
    assert_uid(pids[1], FIRST + WWW);
    assert_int_equal(look("upper/main/tmp/made").st_uid, FIRST + WWW);
    kpod_pod_stop(pod, 0);
    kpod_pod_end(pod);
}

static void users_it_has_not_are_refused(void **state)
{
    static const char *const users[] = {"65536", "0:70000", "5046272"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        make_pod("echo there");
        kpod_pod_set(&pod->bundle->containers[0]->user, users[i]);
        assert_int_equal(kpod_pod_run(pod)->exit_code, 125);
        assert_non_null(
            strstr(pod->status->reason, "user namespace has 65536"));
        clean_up(NULL);
    }
    make_pod("id -u");
    kpod_pod_set(&pod->bundle->containers[0]->user, "65535");
    kpod_pod_run(pod);
    assert_says("65535\n");
}

/* Which the namespace's root alone could not do. */
static void limits_may_be_raised(void **state)
{
    Kontor__V1__BundleContainer *container;
    Kontor__V1__BundleRlimit *limit;

    (void)state;
    if (prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) != 1)
        skip(); /* a machine whose own root may not */
    limit = memory_new(sizeof *limit);
    kontor__v1__bundle_rlimit__init(limit);
    limit->resource = RLIMIT_MEMLOCK;
    limit->soft = limit->hard = UINT64_MAX;
    make_pod("ulimit -l; ulimit -n");
    container = pod->bundle->containers[0];
    container->rlimits = memory_array(1, sizeof *container->rlimits);
    container->rlimits[container->n_rlimits++] = limit;
    kpod_pod_run(pod);
    assert_says("unlimited\n1024\n");
}

/* ---- what it sees ---------------------------------------------------------
 */

static void the_image_looks_as_it_was_made(void **state)
{
    (void)state;
    make_pod("stat -c '%u:%g %a' /bin/sh /of-www /of-many; "
             "cat /of-www && echo more >> /of-www && chmod 640 /of-www; "
             "rm /etc/group && rm -r /tmp && mkdir /tmp && ls /tmp; "
             "stat -c '%u:%g' /of-www / /tmp /dev/null /dev/shm /etc/hosts; "
             "echo x >> /etc/hosts && echo hosts; echo > /dev/null; "
             "echo > /dev/shm/x && echo shm; ls -n /dev/mqueue; ls / | wc -l");
    give("layer/of-www", WWW, 0600);
    give("layer/of-many", SUPERVISOR_IDS, 0644); /* is nobody's in here */
    kpod_pod_run(pod);
    assert_says("0:0 755\n33:33 600\n65534:65534 644\n");
    assert_says("33:33\n0:0\n0:0\n0:0\n0:0\n0:0\nhosts\nshm\n");
    assert_int_equal(look("layer/of-www").st_uid, WWW);
    assert_int_equal(look("layer/of-www").st_size, 0);
    assert_int_equal(look("upper/main/of-www").st_uid, FIRST + WWW);
    assert_int_equal(look("upper/main/etc").st_uid, FIRST);
    assert_true(S_ISCHR(look("upper/main/etc/group").st_mode));
}

/* A set-uid program of the pod's is none of the host's root. */
static void what_it_writes_is_of_its_range(void **state)
{
    struct stat info;

    (void)state;
    make_pod("cp /bin/busybox /trap && chmod 4755 /trap; mknod /pipe p; "
             "ln -s x /link; mkdir -p /deep/er; chown 65535:65535 /pipe");
    kpod_pod_run(pod);
    info = look("upper/main/trap");
    assert_true(info.st_mode & S_ISUID);
    assert_int_equal(info.st_uid, FIRST);
    assert_int_equal(look("upper/main/link").st_uid, FIRST);
    assert_int_equal(look("upper/main/deep/er").st_gid, FIRST);
    assert_int_equal(look("upper/main/pipe").st_gid, FIRST + 65535);
}

/* With several layers, of which a file system in a file is the lowest. */
static void runs_from(const char *make, bool may_be_refused)
{
    Kontor__V1__BundleContainer *container;
    char command[512];
    char path[128];

    make_pod("stat -c %u /bin/sh /of-www; echo x >> /of-www; cat /above");
    give("layer/of-www", WWW, 0600);
    snprintf(command, sizeof command, "cd %s && %s", pod->folder, make);
    assert_int_equal(system(command), 0);
    container = pod->bundle->containers[0];
    container->layers =
        memory_resize(container->layers, 2 * sizeof *container->layers);
    snprintf(path, sizeof path, "%s/image", pod->folder);
    kpod_pod_set(&container->layers[0], path);
    snprintf(path, sizeof path, "%s/above", pod->folder);
    container->layers[container->n_layers++] = memory_string(path);
    assert_int_equal(mkdir(path, 0755), 0);
    give("above/above", 0, 0600);
    kpod_pod_run(pod);
    if (!may_be_refused || pod->status->phase == PHASE(SUCCEEDED)) {
        assert_string_equal(pod->status->reason, "");
        assert_says("0\n33\n");
        assert_int_equal(look("upper/main/of-www").st_uid, FIRST + WWW);
    } else {
        assert_non_null(strstr(pod->status->reason,
                               "/image: its file system cannot map ids"));
    }
    clean_up(NULL);
}

static void file_systems_in_files_are_layers(void **state)
{
    (void)state;
    /* Before Linux 6.2. */
    runs_from("mksquashfs layer image -quiet -no-progress", true);
    runs_from("mkfs.erofs image layer >/dev/null", false);
    runs_from("truncate -s 16M image && mkfs.ext4 -q -d layer image", false);
}

/* Never without, where the kernel cannot: ramfs maps no ids. */
static void what_cannot_be_mapped_is_named(void **state)
{
    char path[128];

    (void)state;
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    make_pod("echo there");
    snprintf(path, sizeof path, "%s/layer", pod->folder);
    assert_int_equal(mount("x", path, "ramfs", 0, NULL), 0);
    kpod_pod_run(pod);
    assert_int_equal(umount(path), 0);
    assert_int_equal(pod->status->phase, PHASE(FAILED));
    assert_non_null(strstr(pod->status->reason,
                           "its file system cannot map ids for a user "
                           "namespace on this kernel"));
}

/* ---- the rest of a pod -----------------------------------------------------
 */

static void containers_share_it(void **state)
{
    (void)state;
    make_pod("until [ -e /dev/shm/x ]; do :; done; stat -c %u /dev/shm/x; "
             "[ $(cat /dev/shm/x) = $(readlink /proc/self/ns/user) ] && "
             "echo same; kill -TERM -1; echo end");
    kpod_pod_add(pod, "side",
                 "trap 'echo terminated; exit 0' TERM; "
                 "readlink /proc/self/ns/user > /dev/shm/y; "
                 "mv /dev/shm/y /dev/shm/x; while :; do :; done");
    kpod_pod_run(pod);
    assert_says("0\nsame\n");
    assert_says("terminated\n");
}

static void assert_same_lines(const char *text)
{
    size_t length = strcspn(text, "\n") + 1;

    assert_true(strlen(text) >= 2 * length);
    assert_memory_equal(text, text + length, length);
}

static void so_are_later_runs_and_executed_programs(void **state)
{
    char command[256];

    (void)state;
    make_pod("readlink /proc/self/ns/user | tee -a /tmp/seen; "
             "[ -e /tmp/ran ] || { touch /tmp/ran; exit 1; }; "
             "echo up; exec sleep 1000");
    pod->bundle->restart = KONTOR__V1__RESTART_POLICY__RESTART_ON_FAILURE;
    kpod_pod_start(pod);
    kpod_pod_await_log(pod, "up");
    assert_same_lines(kpod_pod_log(pod, 0));
    kpod_pod_exec(pod, "readlink /proc/self/ns/user >> /tmp/seen; "
                       "id -u > /tmp/id; ls -ln /proc/self/fd > /tmp/fds");
    snprintf(command, sizeof command,
             "cd %s/upper/main/tmp && [ $(uniq seen | wc -l) = 1 ] && "
             "[ $(wc -l < seen) = 3 ] && [ $(cat id) = 0 ]",
             pod->folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(look("upper/main/tmp/id").st_uid, FIRST);
    kpod_pod_stop(pod, 0);
    kpod_pod_end(pod);
}

#define story(test) cmocka_unit_test_teardown(test, clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(its_root_is_nobody_outside),
        story(another_user_is_another_one_outside),
        story(users_it_has_not_are_refused),
        story(limits_may_be_raised),
        story(the_image_looks_as_it_was_made),
        story(what_it_writes_is_of_its_range),
        story(file_systems_in_files_are_layers),
        story(containers_share_it),
        story(so_are_later_runs_and_executed_programs),
        story(what_cannot_be_mapped_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
