/* test_escape.c - ways out of a container that were found in other engines,
 * tried from inside of real pods. Each names what it was there. As root. */
#include "base/fd.h"
#include "base/memory.h"
#include "test/unit/kpod_story.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- system calls ---------------------------------------------------------
 */

struct attempt {
    const char *what;
    const char *said; /* EPERM: known and refused */
    const char *how;  /* of probe */
    long number;
    uint64_t argument;
};

static const struct attempt attempts[] = {
    {"sockets are to be had", "ok", "call", SYS_socket, AF_UNIX},
    {"", "ok", "call", SYS_socket, AF_INET},
    {"", "ESOCKTNOSUPPORT", "call", SYS_socket, AF_NETLINK},
    {"AF_ALG, CVE-2026-31431", "EAFNOSUPPORT", "call", SYS_socket, AF_ALG},
    {"with a bit that the kernel drops", "EAFNOSUPPORT", "call", SYS_socket,
     AF_ALG | UINT64_C(1) << 32},
    {"reaches the host", "EAFNOSUPPORT", "call", SYS_socket, AF_VSOCK},
    {"loads a module", "EAFNOSUPPORT", "call", SYS_socket, AF_CAN},
    {"", "EAFNOSUPPORT", "call", SYS_socketpair, AF_TIPC},
    {"io_uring makes calls unseen", "EPERM", "call", SYS_io_uring_setup, 1},
    {"", "EPERM", "call", SYS_bpf, 0},
    {"", "EPERM", "call", SYS_keyctl, 0},
    {"", "EPERM", "call", SYS_userfaultfd, 0},
    {"", "EPERM", "call", SYS_perf_event_open, 0},
    {"", "EPERM", "call", SYS_open_by_handle_at, 0},
    {"release_agent begins so, CVE-2022-0492", "EPERM", "call", SYS_unshare,
     CLONE_NEWUSER},
    {"", "EPERM", "call", SYS_setns, 0},
    {"", "EPERM", "call", SYS_mount, 0},
    {"", "EPERM", "call", SYS_fsopen, 0},
    {"", "EPERM", "call", SYS_clone, CLONE_NEWUSER},
    {"", "EPERM", "call", SYS_clone, CLONE_NEWNS | CLONE_VFORK},
    {"its flags are not to be seen", "ENOSYS", "call", SYS_clone3, 0},
    {"", "ok", "call", SYS_personality, 0xffffffff},
    {"no ASLR", "ENOSYS", "call", SYS_personality, 0x0040000},
    {"of the future", "ENOSYS", "call", 999, 0},
};

/* The second argument. Where the kernel may have no such family and refuse it,
 * too, this is no type of a socket: it says so first, and loads no module. */
static int second(const struct attempt *attempt)
{
    return strcmp(attempt->said, "EAFNOSUPPORT") == 0 ? 15 : SOCK_STREAM;
}

static void calls_are_refused(void **state)
{
    char script[8192];
    size_t used = 0;
    char *said, *rest;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++)
        used += (size_t)snprintf(
            script + used, sizeof script - used, "probe %s %ld %llu %d\n",
            attempts[i].how, attempts[i].number,
            (unsigned long long)attempts[i].argument, second(&attempts[i]));
    make_probed_pod(script);
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    rest = memory_string(kpod_pod_log(pod, 0));
    said = rest;
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        char *line = strsep(&rest, "\n");

        if (!line || strcmp(line, attempts[i].said) != 0)
            fail_msg("call %ld(%llu) %s: \"%s\", not \"%s\"",
                     attempts[i].number,
                     (unsigned long long)attempts[i].argument, attempts[i].what,
                     line ? line : "", attempts[i].said);
    }
    free(said);
}

/* Calls of another ABI have other numbers: an allow-list of one lets others
 * through of the other (CVE-2026-31431's way round). */
static void other_abis_kill(void **state)
{
    (void)state;
    make_probed_pod("probe i386 20; echo $?; probe x32 39; echo $?");
    kpod_pod_run(pod);
    assert_says("159\n"); /* 128 + SIGSYS */
    assert_null(strstr(kpod_pod_log(pod, 0), "ok"));
}

/* Who is trusted with more gets more, and only that container. */
static void what_is_added_opens_calls(void **state)
{
    (void)state;
    make_probed_pod("probe call "
                    "272 0x20000; probe call 321 0"); /* unshare, bpf */
    pod->bundle->containers[0]->cap_add = 1ull << CAP_SYS_ADMIN;
    kpod_pod_run(pod);
    assert_says("ok\n");
}

/* ---- what it may -----------------------------------------------------------
 */

static void capabilities_are_as_asked(void **state)
{
    static const struct {
        uint64_t add, drop;
        const char *set;
    } sets[] = {
        {0, 0, "00000000a00405fb"},
        {1ull << CAP_NET_RAW, 0, "00000000a00425fb"},
        {0, 1ull << CAP_CHOWN, "00000000a00405fa"},
        {0, ~0ull, "0000000000000000"},
        {1ull << CAP_CHOWN, ~0ull, "0000000000000001"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        char line[64];

        make_probed_pod("grep ^Cap /proc/self/status");
        pod->bundle->containers[0]->cap_add = sets[i].add;
        pod->bundle->containers[0]->cap_drop = sets[i].drop;
        kpod_pod_run(pod);
        for (int k = 0; k < 3; k++) {
            static const char *const names[] = {"CapPrm", "CapEff", "CapBnd"};

            snprintf(line, sizeof line, "%s:\t%s\n", names[k], sets[i].set);
            assert_says(line);
        }
        /* CVE-2022-24769 */
        assert_says("CapInh:\t0000000000000000\n");
        assert_says("CapAmb:\t0000000000000000\n");
        clean_up(NULL);
    }
}

/* A user of the image whose name is a number (CVE-2026-30892 and before). */
static void numbers_are_no_names(void **state)
{
    static const char passwd[] = "1000:x:0:0::/:/bin/sh\n"
                                 "4294967296:x:0:0::/:/bin/sh\n"
                                 "+5:x:0:0::/:/bin/sh\n";
    static const struct {
        const char *user;
        const char *said; /* NULL: refused */
    } users[] = {
        {"1000", "1000 0\n"}, {"4294967296", NULL}, {"1000:4294967296", NULL},
        {"4294967295", NULL}, {"0x0", NULL},        {"-1", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        char path[128];
        FILE *file;

        make_probed_pod("echo $(id -u) $(id -g)");
        snprintf(path, sizeof path, "%s/layer/etc/passwd", pod->folder);
        file = fopen(path, "w");
        fputs(passwd, file);
        fclose(file);
        kpod_pod_set(&pod->bundle->containers[0]->user, users[i].user);
        if (users[i].said) {
            kpod_pod_run(pod);
            assert_says(users[i].said);
        } else {
            assert_int_equal(kpod_pod_run(pod)->exit_code, 125);
        }
        clean_up(NULL);
    }
}

static void groups_are_added(void **state)
{
    Kontor__V1__BundleContainer *container;

    (void)state;
    make_probed_pod("id -G");
    container = pod->bundle->containers[0];
    kpod_pod_set(&container->user, "www");
    container->groups = memory_array(2, sizeof *container->groups);
    container->groups[0] = 1234;
    container->groups[1] = 99;
    container->n_groups = 2;
    kpod_pod_run(pod);
    assert_says("34 50 60 99 1234\n");
}

static Kontor__V1__BundleRlimit *limit(uint32_t resource, uint64_t soft,
                                       uint64_t hard)
{
    Kontor__V1__BundleRlimit *made = memory_new(sizeof *made);

    kontor__v1__bundle_rlimit__init(made);
    made->resource = resource;
    made->soft = soft;
    made->hard = hard;
    return made;
}

static void limits_are_set(void **state)
{
    Kontor__V1__BundleContainer *container;

    (void)state;
    make_probed_pod(
        "grep -E 'open files|core file' /proc/self/limits | tr -s ' '");
    container = pod->bundle->containers[0];
    container->rlimits = memory_array(2, sizeof *container->rlimits);
    container->rlimits[0] = limit(/* RLIMIT_NOFILE */ 7, 77, 88);
    container->rlimits[1] = limit(/* RLIMIT_CORE */ 4, 5, UINT64_MAX);
    container->n_rlimits = 2;
    kpod_pod_run(pod);
    assert_says("Max core file size 5 unlimited bytes");
    assert_says("Max open files 77 88 files");
}

/* ---- what it sees ---------------------------------------------------------
 */

static void fill_pipe(int ends[2])
{
    static const char bytes[65536];

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(ends[1], bytes, sizeof bytes) > 0)
        continue;
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
}

static void add_tmpfs(uint64_t size_bytes)
{
    Kontor__V1__BundleContainer *container = pod->bundle->containers[0];
    Kontor__V1__Tmpfs *tmpfs = memory_new(sizeof *tmpfs);

    kontor__v1__tmpfs__init(tmpfs);
    tmpfs->path = memory_string("/data");
    tmpfs->size_bytes = size_bytes;
    container->tmpfs = memory_array(1, sizeof *container->tmpfs);
    container->tmpfs[0] = tmpfs;
    container->n_tmpfs = 1;
}

static void a_read_only_root_stays_so(void **state)
{
    (void)state;
    make_probed_pod(
        "touch /x 2>&1; touch /etc/x 2>&1; mount -o remount,rw / 2>&1; "
        "echo y > /data/y && echo data; touch /dev/shm/z && echo shm; "
        "df -k /data /dev/shm | awk '{print $2}' | tr '\\n' ' '; "
        "grep -E ' /data ' /proc/self/mounts");
    add_tmpfs(2 << 20);
    pod->bundle->containers[0]->read_only = true;
    pod->bundle->shm_bytes = 3 << 20;
    kpod_pod_run(pod);
    assert_says("touch: /x: Read-only file system");
    assert_says("touch: /etc/x: Read-only file system");
    assert_says("mount: permission denied");
    assert_says("data\nshm\n");
    assert_says("2048 3072");
    assert_says("rw,nosuid,nodev,noexec");
}

/* kpod's program, which may be had by having it executed in the container, is
 * not written to (CVE-2019-5736): the mount that it runs from is read-only
 * (sealed.h). That of the pod's pid 1 is not to be had at all. */
static void nobody_writes_to_kpod(void **state)
{
    static char program[] = "/proc/self/exe";
    char *argv[] = {program};
    Kontor__V1__StartExec asked = KONTOR__V1__START_EXEC__INIT;
    int notes[2], full[2];

    (void)state;
    if (kpod_pod_sanitized())
        skip(); /* it needs libraries, which the image has not */
    make_probed_pod(
        "probe overwrite /proc/1/exe; "
        "until grep -qx exe /proc/[0-9]*/comm; do :; done; "
        "for p in /proc/[0-9]*; do "
        "[ \"$(cat $p/comm)\" = exe ] && probe overwrite $p/exe; done");
    kpod_pod_start(pod);
    kpod_pod_await_log(pod, "EACCES\n");
    asked.argv = argv;
    asked.n_argv = 1;
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, notes), 0);
    fill_pipe(full); /* where it would say how it is used, and has to wait */
    kpod_pod_send_exec(pod, &asked, (int[]){notes[1], full[1], full[1]}, 3);
    kpod_pod_end(pod);
    assert_says("EACCES\nEROFS\n");
    for (int i = 0; i < 2; i++) {
        close(notes[i]);
        close(full[i]);
    }
}

/* Leaked descriptors, one of which becomes the working folder by
 * /proc/self/fd/N (CVE-2024-21626). */
static void no_descriptor_leads_out(void **state)
{
    (void)state;
    make_probed_pod("probe fds");
    kpod_pod_run(pod);
    assert_says("descriptors 0\n");
    clean_up(NULL);
    for (int fd = 3; fd < 32; fd++) {
        char path[64];

        make_probed_pod(
            "ls ../../../home ../../../root 2>&1; cat ../../../etc/passwd");
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        kpod_pod_set(&pod->bundle->containers[0]->working_dir, path);
        if (kpod_pod_run(pod)->exit_code == 0)
            assert_says("www:x:33"); /* the image's own */
        clean_up(NULL);
    }
}

/* Devices are made, not taken from the image: one that calls something else
 * /dev/null would have it bound over what is to be hidden (CVE-2025-31133),
 * and a /dev that is a link leads nowhere else (CVE-2026-41579). */
static void an_image_has_no_devices(void **state)
{
    char path[128];

    (void)state;
    make_probed_pod("stat -c '%t:%T %F' /dev/null /dev/zero; "
                    "wc -c < /proc/interrupts; wc -c < /proc/keys");
    snprintf(path, sizeof path, "%s/layer/dev", pod->folder);
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof path, "%s/layer/etc/null", pod->folder);
    assert_int_equal(symlink("/proc/sys/kernel/core_pattern", path), 0);
    snprintf(path, sizeof path, "%s/layer/etc/console", pod->folder);
    assert_int_equal(symlink("/proc/sysrq-trigger", path), 0);
    kpod_pod_run(pod);
    assert_says("1:3 character special file\n1:5 character special file\n");
    assert_says("\n0\n0\n");
}

/* Who may make devices makes the host's disks, too, and opens none, wherever
 * they are made; nor those that a file system brings that is an image. */
static void a_device_that_is_made_is_not_opened(void **state)
{
    char path[128];

    (void)state;
    make_probed_pod("for d in / /tmp /dev /dev/shm /data; do "
                    "for kind in 'c 1 3' 'b 7 0'; do "
                    "mknod $d/x $kind && probe open $d/x || echo refused; "
                    "rm -f $d/x; done; done | sort | uniq -c; "
                    "echo image $(probe open /disk)");
    snprintf(path, sizeof path, "%s/layer/disk", pod->folder);
    assert_int_equal(mknod(path, S_IFBLK | 0666, makedev(7, 0)), 0);
    add_tmpfs(1 << 20);
    pod->bundle->containers[0]->cap_add = 1ull << CAP_MKNOD;
    kpod_pod_run(pod);
    assert_says(kpod_pod_first_id ? " 10 refused\n" : " 10 EACCES\n");
    assert_says("image EACCES\n");
}

/* Who may mount has file systems without nodev, and one with all the host's
 * nodes. The pod's control group refuses them all the same, to what is executed
 * in the container, too; and who shows itself the groups is no better off. It
 * is the null device that tells of nodev. */
static void who_may_mount_opens_no_device(void **state)
{
    (void)state;
    make_probed_pod(
        "exec 2>&1; cd /tmp && mkdir t g d m && mkfifo said && "
        "mount -t tmpfs t t && mknod t/disk b 7 0; mknod t/null c 1 3; "
        "{ mount -t cgroup2 g g; mount -t cgroup -o devices d d; "
        "for group in g d; do echo 0 >$group/cgroup.procs; "
        "echo a >$group/devices.allow; "
        "echo 'b *:* rwm' >$group/devices.allow; done; } 2>/dev/null; "
        "echo own $(probe open t/null) $(probe open /dev/null) "
        "$(probe open /dev/ptmx); "
        "echo disk $(probe open t/disk); mount -t ext4 t/disk m; "
        "mount -t devtmpfs t t; echo all $(probe open t/kmsg); "
        "echo executed $(cat said)");
    pod->bundle->containers[0]->cap_add =
        1ull << CAP_SYS_ADMIN | 1ull << CAP_MKNOD;
    kpod_pod_start(pod);
    kpod_pod_await_log(pod, "all ");
    kpod_pod_exec(pod, "cd /tmp; probe open t/kmsg >said");
    kpod_pod_end(pod);
    if (kpod_pod_first_id) { /* no node is made, nothing of the host mounted */
        assert_says("own ENOENT ok ok\ndisk ENOENT\n");
        assert_says("all ENOENT\nexecuted ENOENT\n");
        return;
    }
    assert_says("own ok ok ok\ndisk EPERM\nmount: permission denied");
    assert_says("all EPERM\nexecuted EPERM\n");
}

/* No other mount opens devices. What becomes of its own is no matter of the
 * host's; should it be, of one that is missed least. */
static void it_has_six_devices_of_its_own(void **state)
{
    struct stat info;

    (void)state;
    make_probed_pod(
        "for d in zero random urandom; do head -c 3 /dev/$d | wc -c; done "
        "| tr '\n' ' '; echo x > /dev/null && echo null; "
        "{ echo x > /dev/full; } 2>&1; probe open /dev/tty; "
        "chmod 600 /dev/full && stat -c %a /dev/full; "
        "awk '$6 !~ /nodev/ && $5 != \"/dev/pts\" {print $4}' "
        "/proc/self/mountinfo | sort -u | tr '\n' ' '");
    kpod_pod_run(pod);
    assert_says("3 3 3 null\n");
    assert_says("No space left on device\nENXIO\n600\n"
                "/full /null /random /tty /urandom /zero ");
    assert_int_equal(stat("/dev/full", &info), 0);
    assert_int_equal(chmod("/dev/full", 0666), 0);
    assert_int_equal(info.st_mode & 0777, 0666);
}

/* An image whose /proc and /sys are links gets them where the links lead, and
 * what is to be hidden or read-only there is (CVE-2023-27561, CVE-2021-30465).
 */
static void a_proc_that_is_a_link_is_covered_all_the_same(void **state)
{
    char path[128];

    (void)state;
    make_probed_pod(
        "{ true > /proc/sys/kernel/core_pattern && echo opened; } 2>&1; "
        "{ true > /etc/p/sysrq-trigger && echo opened; } 2>&1; "
        "wc -c < /proc/interrupts; wc -c < /etc/p/keys; "
        "ls /etc/s/firmware | wc -l; "
        "grep -c 'sysfs ro,' /proc/self/mounts");
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/layer/%s", pod->folder,
                 i ? "sys" : "proc");
        rmdir(path);
        assert_int_equal(symlink(i ? "/etc/s" : "../../etc/p", path), 0);
        snprintf(path, sizeof path, "%s/layer/etc/%c", pod->folder,
                 i ? 's' : 'p');
        assert_int_equal(mkdir(path, 0755), 0);
    }
    kpod_pod_run(pod);
    assert_null(strstr(kpod_pod_log(pod, 0), "opened"));
    assert_says("\n0\n0\n0\n1\n");
}

/* Files of /proc that write to the kernel are not to be had, by no way
 * (CVE-2025-52881, CVE-2022-0492). They are opened, not written: should it
 * work, it is this machine's kernel. */
static void nothing_writes_to_the_kernel(void **state)
{
    (void)state;
    make_probed_pod(
        "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger "
        "/proc/sys/kernel/modprobe /sys/kernel/uevent_helper "
        "/proc/irq/default_smp_affinity; do "
        "[ -e $f ] && { true > $f && echo opened $f; } 2>&1; done; "
        "find /sys/fs/cgroup -name release_agent 2>/dev/null; "
        "ln -s /proc/sys/kernel/core_pattern /tmp/l; "
        "{ true > /tmp/l && echo opened link; } 2>&1; echo end");
    kpod_pod_run(pod);
    assert_null(strstr(kpod_pod_log(pod, 0), "opened"));
    assert_null(strstr(kpod_pod_log(pod, 0), "release_agent"));
    assert_says("end\n");
}

/* The log is kpod's, opened in a folder that no container sees; a link in
 * its place (CVE-2026-53489) is not followed. */
static void the_log_is_no_link(void **state)
{
    char path[128], target[128];
    struct stat info;

    (void)state;
    make_probed_pod("echo into the log");
    snprintf(target, sizeof target, "%s/target", pod->folder);
    snprintf(path, sizeof path, "%s/log", pod->folder);
    assert_int_equal(symlink(target, path), 0);
    kpod_pod_run(pod);
    assert_int_not_equal(stat(target, &info), 0);
}

/* The user namespace is the second defence: for who has these capabilities
 * there only, nothing of this is a way. It is for who has the machine's. */
static void its_capabilities_are_its_own(void **state)
{
    static const char *const ways[] = {
        /* CVE-2025-52881 and others by way of /proc/sys */
        "mount -o remount,bind,rw /proc/sys",
        "umount /proc/keys",
        "mkdir /tmp/p && mount -t proc p /tmp/p",
        "mkdir /tmp/s && mount -t sysfs s /tmp/s",
        "mkdir /tmp/d && mount -t devtmpfs d /tmp/d",
        "mknod /tmp/disk b 7 0",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        char script[256];
        bool found;

        snprintf(script, sizeof script,
                 "{ hostname own && %s && echo found; } 2>&1; hostname",
                 ways[i]);
        make_probed_pod(script);
        pod->bundle->containers[0]->cap_add =
            1ull << CAP_SYS_ADMIN | 1ull << CAP_MKNOD;
        kpod_pod_run(pod);
        assert_says("own\n");
        found = strstr(kpod_pod_log(pod, 0), "found");
        if (found != (kpod_pod_first_id == 0))
            fail_msg("%s: %s", ways[i], kpod_pod_log(pod, 0));
        clean_up(NULL);
    }
}

/* ---- bombs and signals ------------------------------------------------------
 */

static void a_memory_bomb_is_its_own(void **state)
{
    Kontor__V1__Resources *limits = memory_new(sizeof *limits);

    (void)state;
    kontor__v1__resources__init(limits);
    limits->memory_bytes = 32 << 20;
    make_probed_pod("probe memory 256");
    kpod_pod_set_argv(pod, "probe", "memory", "256", NULL);
    pod->bundle->resources = limits;
    assert_true(kpod_pod_run(pod)->oom_killed);
}

static void a_fork_bomb_is_its_own(void **state)
{
    (void)state;
    make_probed_pod("probe forks 1000; exit 0");
    pod->pids = 50;
    kpod_pod_run(pod);
    assert_says("EAGAIN\n");
}

/* Signals from inside do not reach the pod's pid 1, whoever sends them. It has
 * looked when it has reaped an orphan that was made behind them. */
static void pid_1_takes_no_signal(void **state)
{
    (void)state;
    make_probed_pod("for s in $(seq 1 31); do kill -$s 1; done; "
                    "orphan=$(sh -c 'true & echo $!'); "
                    "while [ -d /proc/$orphan ]; do :; done; "
                    "ls /proc/1/fd 2>&1 | head -1; echo alive");
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    assert_says("alive\n");
}

#define story(test) cmocka_unit_test_teardown(test, clean_up)

int main(void)
{
    int failed;
    const struct CMUnitTest tests[] = {
        story(calls_are_refused),
        story(other_abis_kill),
        story(what_is_added_opens_calls),
        story(capabilities_are_as_asked),
        story(numbers_are_no_names),
        story(groups_are_added),
        story(limits_are_set),
        story(a_read_only_root_stays_so),
        story(nobody_writes_to_kpod),
        story(no_descriptor_leads_out),
        story(an_image_has_no_devices),
        story(a_device_that_is_made_is_not_opened),
        story(who_may_mount_opens_no_device),
        story(it_has_six_devices_of_its_own),
        story(a_proc_that_is_a_link_is_covered_all_the_same),
        story(nothing_writes_to_the_kernel),
        story(the_log_is_no_link),
        story(a_memory_bomb_is_its_own),
        story(a_fork_bomb_is_its_own),
        story(pid_1_takes_no_signal),
        story(its_capabilities_are_its_own),
    };

    if (unshare(CLONE_NEWNET) != 0) /* the pods' */
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    kpod_pod_first_id = KPOD_POD_FIRST_ID;
    return failed + cmocka_run_group_tests_name("in a user namespace", tests,
                                                NULL, NULL);
}
