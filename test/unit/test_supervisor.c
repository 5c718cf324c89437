/* test_supervisor.c - kpod as it is, with real pods. As root. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "node/cgroup/cgroup.h"
#include "node/pod/folder.h"
#include "node/supervisor/supervisor.h"
#include "test/unit/kpod_story.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define POLICY(name) KONTOR__V1__RESTART_POLICY__RESTART_##name

static void assert_reason(const Kontor__V1__PodStatus *status, const char *text)
{
    if (!strstr(status->reason, text))
        fail_msg("reason is \"%s\", not \"%s\"", status->reason, text);
}

/* ---- how it ends ----------------------------------------------------------
 */

static void output_is_logged(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("echo out; echo err >&2; printf half");
    status = kpod_pod_run(pod);
    assert_int_equal(status->phase, PHASE(SUCCEEDED));
    assert_int_equal(status->exit_code, 0);
    assert_int_equal(status->pod_id, 17);
    assert_int_equal(status->generation, 3);
    assert_string_equal(status->address, "10.42.2.7");
    assert_true(status->started_at_ms > 0);
    assert_true(status->finished_at_ms >= status->started_at_ms);
    assert_string_equal(kpod_pod_log(pod, LOG_STREAM_STDOUT), "out\nhalf");
    assert_string_equal(kpod_pod_log(pod, LOG_STREAM_STDERR), "err\n");
    assert_true(WIFEXITED(pod->exited) && WEXITSTATUS(pod->exited) == 0);
}

static const struct {
    const char *script;
    Kontor__V1__PodPhase phase;
    int exit_code, signal;
    const char *reason;
} ends[] = {
    {"exit 3", PHASE(FAILED), 3, 0, "exit code 3"},
    {"kill -KILL $$", PHASE(FAILED), -1, SIGKILL, "killed by signal 9"},
    {"sleep 1000 & exit 0", PHASE(SUCCEEDED), 0, 0, ""},
};

static void ends_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        const Kontor__V1__PodStatus *status;

        pod = kpod_pod_new(ends[i].script);
        status = kpod_pod_run(pod);
        assert_int_equal(status->phase, ends[i].phase);
        assert_int_equal(status->exit_code, ends[i].exit_code);
        assert_int_equal(status->signal, ends[i].signal);
        assert_string_equal(status->reason, ends[i].reason);
        assert_false(status->oom_killed);
        clean_up(NULL);
    }
}

static void oom_kill_is_told(void **state)
{
    Kontor__V1__Resources *limits = memory_new(sizeof *limits);
    const Kontor__V1__PodStatus *status;

    (void)state;
    kontor__v1__resources__init(limits);
    limits->memory_bytes = 16 << 20;
    pod = kpod_pod_new("exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    pod->bundle->resources = limits;
    status = kpod_pod_run(pod);
    assert_int_equal(status->phase, PHASE(FAILED));
    assert_true(status->oom_killed);
    assert_int_equal(status->signal, SIGKILL);
    assert_reason(status, "out of memory: killed at 16Mi");
}

static void a_pod_that_cannot_start_fails_at_once(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("");
    pod->bundle->restart = POLICY(ALWAYS);
    kpod_pod_set_argv(pod, "/bin/nope", "x", NULL);
    status = kpod_pod_run(pod);
    assert_int_equal(status->phase, PHASE(FAILED));
    assert_int_equal(status->exit_code, 127);
    assert_reason(status, "exec /bin/nope: no such file");
    clean_up(NULL);

    pod = kpod_pod_new("");
    kpod_pod_set_argv(pod, "nope", NULL);
    status = kpod_pod_run(pod);
    assert_int_equal(status->exit_code, 127);
    assert_reason(status, "exec nope: no such file");
    clean_up(NULL);

    pod = kpod_pod_new("");
    pod->bundle->restart = POLICY(ALWAYS);
    kpod_pod_set_argv(pod, "/etc/passwd", NULL);
    status = kpod_pod_run(pod);
    assert_int_equal(status->exit_code, 126);
    assert_reason(status, "exec /etc/passwd: Permission denied");
    clean_up(NULL);

    pod = kpod_pod_new("true");
    kpod_pod_set(&pod->bundle->containers[0]->user, "nobody-there");
    status = kpod_pod_run(pod);
    assert_int_equal(status->exit_code, 125);
    assert_reason(status, "user nobody-there: not in the image's /etc/passwd");
    clean_up(NULL);

    pod = kpod_pod_new("true");
    kpod_pod_set(&pod->bundle->containers[0]->layers[0], "/nowhere/at/all");
    status = kpod_pod_run(pod);
    assert_int_equal(status->exit_code, 125);
    assert_reason(status, "/nowhere/at/all");
}

static void a_missing_interpreter_is_named(void **state)
{
    const Kontor__V1__PodStatus *status;
    char path[128];
    FILE *file;

    (void)state;
    pod = kpod_pod_new("");
    snprintf(path, sizeof path, "%s/layer/bin/tool", pod->folder);
    file = fopen(path, "w");
    fputs("#!/usr/bin/python9\n", file);
    fchmod(fileno(file), 0755);
    fclose(file);
    kpod_pod_set_argv(pod, "tool", NULL);
    status = kpod_pod_run(pod);
    assert_int_equal(status->exit_code, 126);
    assert_reason(status, "exec tool: the interpreter it needs is not in");
}

static void a_damaged_bundle_is_refused(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("true");
    kpod_pod_set(&pod->bundle->containers[0]->name, "../x");
    status = kpod_pod_run(pod);
    assert_int_equal(status->phase, PHASE(FAILED));
    assert_reason(status, "../x");
    assert_int_equal(WEXITSTATUS(pod->exited), 1);
    clean_up(NULL);
    pod = kpod_pod_new("true");
    pod->bundle->first_id = KPOD_POD_FIRST_ID + 1;
    assert_reason(kpod_pod_run(pod), "no multiple of 65536");
}

/* ---- stop and restart -----------------------------------------------------
 */

static void stop_signals_and_waits(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("trap 'echo bye; exit 7' USR1; echo up; "
                       "while true; do sleep 0.02; done");
    pod->bundle->containers[0]->stop_signal = SIGUSR1;
    pod->bundle->restart = POLICY(ALWAYS);
    kpod_pod_start(pod);
    status = kpod_pod_await(pod, PHASE(RUNNING));
    assert_true(status->pid > 0);
    assert_int_equal(status->finished_at_ms, 0);
    kpod_pod_await_log(pod, "up");
    kpod_pod_stop(pod, 10000);
    kpod_pod_await(pod, PHASE(STOPPING));
    status = kpod_pod_end(pod);
    assert_int_equal(status->phase, PHASE(STOPPED));
    assert_int_equal(status->exit_code, 7);
    assert_int_equal(status->restarts, 0);
    assert_says("bye");
}

static void stop_kills_when_grace_is_over(void **state)
{
    const Kontor__V1__PodStatus *status;
    uint64_t asked_ms;

    (void)state;
    pod = kpod_pod_new("trap '' TERM; echo up; while true; do sleep 1; done");
    kpod_pod_start(pod);
    kpod_pod_await_log(pod, "up");
    asked_ms = clock_monotonic_ms();
    kpod_pod_stop(pod, 300);
    status = kpod_pod_end(pod);
    assert_in_range(clock_monotonic_ms() - asked_ms, 300, 3000);
    assert_int_equal(status->phase, PHASE(STOPPED));
    assert_int_equal(status->signal, SIGKILL);
    assert_reason(status, "grace");
}

static void sigterm_is_a_stop(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("sleep 1000");
    kpod_pod_start(pod);
    kpod_pod_await(pod, PHASE(RUNNING));
    kill(pod->kpod, SIGTERM);
    status = kpod_pod_end(pod);
    assert_int_equal(status->phase, PHASE(STOPPED));
    assert_int_equal(status->signal, SIGTERM);
}

/* Whatever moment a stop comes at, it ends the pod. */
static void stop_while_starting_ends_it(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        pod = kpod_pod_new("sleep 1000");
        kpod_pod_start(pod);
        usleep((useconds_t)i * 700);
        kpod_pod_stop(pod, 5000);
        assert_int_equal(kpod_pod_end(pod)->phase, PHASE(STOPPED));
        clean_up(NULL);
    }
}

static void failures_are_tried_again_with_back_off(void **state)
{
    const Kontor__V1__PodStatus *status;
    uint64_t started_ms = clock_monotonic_ms();

    (void)state;
    pod = kpod_pod_new("echo x >> /tmp/n; [ $(wc -l < /tmp/n) -ge 3 ]");
    pod->bundle->restart = POLICY(ON_FAILURE);
    pod->bundle->restarts = 5;
    kpod_pod_start(pod);
    status = kpod_pod_await(pod, PHASE(BACKOFF));
    assert_string_equal(status->reason, "exit code 1; again in 100 ms");
    assert_int_equal(status->exit_code, 1);
    kpod_pod_await(pod, PHASE(RUNNING));
    status = kpod_pod_await(pod, PHASE(BACKOFF));
    assert_string_equal(status->reason, "exit code 1; again in 200 ms");
    status = kpod_pod_end(pod);
    assert_int_equal(status->phase, PHASE(SUCCEEDED));
    assert_int_equal(status->restarts, 5 + 2);
    assert_true(clock_monotonic_ms() - started_ms >= 300);
}

/* What a run leaves behind must not be there in the next. */
static void strays_are_killed_before_the_next_run(void **state)
{
    (void)state;
    pod = kpod_pod_new("[ -e /tmp/n ] && { ps -o comm | grep -c '^sleep'; "
                       "exit 0; }; touch /tmp/n; setsid sleep 1000 & exit 1");
    pod->bundle->restart = POLICY(ON_FAILURE);
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    assert_string_equal(kpod_pod_log(pod, 0), "0\n");
}

/* Its pid 1 going is the end of all in the pod, but not of the pod. */
static void a_lost_pid_1_is_replaced(void **state)
{
    const Kontor__V1__PodStatus *status;
    int first;

    (void)state;
    pod = kpod_pod_new("sleep 1000");
    pod->bundle->restart = POLICY(ALWAYS);
    kpod_pod_start(pod);
    first = kpod_pod_await(pod, PHASE(RUNNING))->pid;
    kill(first, SIGKILL);
    kpod_pod_await(pod, PHASE(BACKOFF));
    status = kpod_pod_await(pod, PHASE(RUNNING));
    assert_int_not_equal(status->pid, first);
    assert_int_equal(status->signal, SIGKILL);
    kpod_pod_stop(pod, 5000);
    kpod_pod_end(pod);
}

static void killing_kpod_ends_the_pod(void **state)
{
    (void)state;
    pod = kpod_pod_new("sleep 1000 & sleep 1000");
    kpod_pod_start(pod);
    kpod_pod_await(pod, PHASE(RUNNING));
    assert_false(cgroup_empty(pod->cgroup));
    kill(pod->kpod, SIGKILL);
    waitpid(pod->kpod, NULL, 0);
    pod->kpod = 0;
    for (int ms = 0; !cgroup_empty(pod->cgroup); ms++) {
        assert_true(ms < KPOD_POD_AWAIT_MS);
        usleep(1000);
    }
}

/* ---- what it sees ---------------------------------------------------------
 */

static void the_pod_is_alone(void **state)
{
    char own[64];

    (void)state;
    pod = kpod_pod_new(
        "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; "
        "set -- /proc/[0-9]*; echo pids $#; "
        "ls /home /work 2>&1; echo root $(ls / | tr '\\n' ' '); "
        "echo fds $(ls /proc/self/fd | tr '\\n' ' '); "
        "echo mounts; cat /proc/self/mountinfo; "
        "echo ns $(readlink /proc/self/ns/net); cat /proc/self/cgroup; "
        "pwd; umask; echo HOME=$HOME PATH=$PATH; "
        "cat /proc/self/oom_score_adj");
    kpod_pod_run(pod);
    assert_says("web-1\nweb-1\n");
    assert_says("10.42.2.7\tweb-1");
    assert_says("nameserver 192.0.2.53");
    assert_says("pids 2\n"); /* pid 1 and sh */
    assert_says("root bin dev etc proc sys tmp\n");
    assert_says("fds 0 1 2 3\n"); /* 3: the folder that ls reads */
    assert_null(strstr(kpod_pod_log(pod, 0), pod->folder));
    own[readlink("/proc/self/ns/net", own, sizeof own - 1)] = '\0';
    assert_says(own);
    assert_null(strstr(kpod_pod_log(pod, 0), "kontor-test"));
    assert_says("\n/\n0022\nHOME=/root PATH=/usr/local/sbin:");
    assert_says("\n0\n");
}

static void the_kernel_is_out_of_reach(void **state)
{
    (void)state;
    pod = kpod_pod_new(
        "echo 1 2>&1 > /proc/sys/kernel/panic; "
        "echo f 2>&1 > /proc/irq/default_smp_affinity; "
        "echo hidden $(wc -c < /proc/interrupts) $(ls /proc/acpi | wc -l); "
        "mkdir /sys/x 2>&1; mount -t tmpfs x /tmp 2>&1; "
        "mknod /tmp/sda b 8 0 2>&1; hostname other 2>&1; "
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; "
        "chroot / true && echo chroot; kill -9 1; echo pid1 $?; "
        "cat /proc/1/environ 2>&1; ls /proc/1/root/ 2>&1; "
        "ls -l /dev/null /dev/pts/ptmx; echo x > /dev/null && echo null");
    kpod_pod_run(pod);
    assert_says("can't create /proc/sys/kernel/panic: Read-only");
    assert_says("can't create /proc/irq/default_smp_affinity: Read-only");
    assert_says("hidden 0 0\n");
    assert_says("can't create directory '/sys/x': Read-only");
    assert_says("mount: permission denied");
    assert_says("mknod: /tmp/sda: Operation not permitted");
    assert_says("hostname: sethostname: Operation not permitted");
    assert_says("CapInh:\t0000000000000000\n");
    assert_says("CapPrm:\t00000000a00405fb\n");
    assert_says("CapEff:\t00000000a00405fb\n");
    assert_says("CapBnd:\t00000000a00405fb\n");
    assert_says("CapAmb:\t0000000000000000\n");
    assert_says("NoNewPrivs:\t1\n");
    assert_says("chroot\n");
    assert_says("cat: can't open '/proc/1/environ': Permission denied");
    assert_says("ls: /proc/1/root/: Permission denied");
    assert_says("crw-rw-rw-");
    assert_says("null\n");
}

/* What a container holds or reads from birth is its own: a root in it that
 * changes the mode of its stdin must not change the host's /dev/null, and
 * pid 1 does not say where the pod's folder is. */
static void nothing_of_the_host_comes_along(void **state)
{
    (void)state;
    pod = kpod_pod_new("[ $(stat -L -c %d:%i /dev/stdin) = "
                       "$(stat -c %d:%i /dev/null) ] && echo own null; "
                       "echo [$(tr '\\0' ' ' < /proc/1/cmdline)]; "
                       "cat /proc/1/comm /proc/1/mountinfo /proc/1/cgroup");
    kpod_pod_run(pod);
    assert_says("own null\n");
    assert_says("[kpod-init ]\nkpod-init\n");
    assert_null(strstr(kpod_pod_log(pod, 0), "kontor"));
}

static const struct {
    const char *user;
    const char *id;
} users[] = {
    {"", "uid=0(root) gid=0(root) HOME=/root"},
    {"www", "uid=33(www) gid=34 groups=50(staff),60(log) HOME=/srv/www"},
    {"33", "uid=33(www) gid=34 groups=50(staff),60(log) HOME=/srv/www"},
    {"www:staff", "uid=33(www) gid=50(staff) HOME=/srv/www"},
    {"1000:1001", "uid=1000 gid=1001 HOME=/"},
    {"1000", "uid=1000 gid=0(root) HOME=/"},
};

static void users_are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        pod = kpod_pod_new("echo $(id) HOME=$HOME; echo direct >/dev/stdout; "
                           "grep -E 'CapEff|CapPrm' /proc/self/status");
        kpod_pod_set(&pod->bundle->containers[0]->user, users[i].user);
        kpod_pod_run(pod);
        assert_says(users[i].id);
        assert_says("direct\n");
        if (i > 0)
            assert_says("CapPrm:\t0000000000000000\n"
                        "CapEff:\t0000000000000000\n");
        clean_up(NULL);
    }
}

static void the_working_folder_is_made(void **state)
{
    (void)state;
    pod = kpod_pod_new("pwd; stat -c %a:%u .");
    kpod_pod_set(&pod->bundle->containers[0]->working_dir, "/srv/app/data");
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    assert_says("/srv/app/data\n755:0\n");
}

/* Links that an image could lay to the host lead nowhere but into it. */
static void links_stay_inside(void **state)
{
    static const struct {
        const char *target, *name;
    } links[] = {{"../../../../../../tmp", "dev"},
                 {"/etc/../../../../../srv", "proc"},
                 {"/run/nowhere/resolv.conf", "etc/resolv.conf"},
                 {"/../../../../etc/kontor-test-hosts", "etc/hosts"}};
    char path[128];
    struct stat info;

    (void)state;
    pod = kpod_pod_new("cat /etc/resolv.conf; ls -l /dev/null; ls /proc/1");
    snprintf(path, sizeof path, "%s/layer/srv", pod->folder);
    assert_int_equal(mkdir(path, 0755), 0);
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        snprintf(path, sizeof path, "%s/layer/%s", pod->folder, links[i].name);
        assert_int_equal(symlink(links[i].target, path), 0);
    }
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    assert_says("nameserver 192.0.2.53");
    assert_says("crw-rw-rw-");
    assert_int_not_equal(stat("/etc/kontor-test-hosts", &info), 0);
}

static void many_layers_are_mounted(void **state)
{
    enum { LAYERS = 300 };
    Kontor__V1__BundleContainer *container;
    char path[128];

    (void)state;
    pod = kpod_pod_new("cat /from; ls / | grep -c only");
    container = pod->bundle->containers[0];
    container->layers =
        memory_resize(container->layers, LAYERS * sizeof(char *));
    for (int i = 1; i < LAYERS; i++) {
        FILE *file;

        snprintf(path, sizeof path, "%s/a-rather-long-name-of-layer-%d",
                 pod->folder, i);
        assert_int_equal(mkdir(path, 0755), 0);
        container->layers[i] = memory_string(path);
        snprintf(path, sizeof path, "%s/from", container->layers[i]);
        file = fopen(path, "w");
        fprintf(file, "layer %d\n", i);
        fclose(file);
        snprintf(path, sizeof path, "%s/only%d", container->layers[i], i);
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    }
    container->n_layers = LAYERS;
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    assert_string_equal(kpod_pod_log(pod, 0), "layer 299\n299\n");
}

/* ---- itself ---------------------------------------------------------------
 */

static unsigned resident_kib(pid_t pid)
{
    char path[64], line[128];
    unsigned kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "VmRSS: %u", &kib);
    if (file)
        fclose(file);
    return kib;
}

static void it_is_small_and_sealed(void **state)
{
    char path[64], name[16] = "";
    struct statvfs mount;
    FILE *file;
    pid_t pid;

    (void)state;
    pod = kpod_pod_new("until [ -e /on ]; do sleep 0.02; done; echo on; "
                       "exec sleep 1000");
    kpod_pod_start(pod);
    kpod_pod_await(pod, PHASE(RUNNING));
    /* What it logs after that, it logs when it has let go of what it took to
     * start the pod, and this. */
    kpod_pod_exec(pod, "touch /on");
    kpod_pod_await_log(pod, "on");
    pid = pod->kpod;
    assert_int_equal(pod_folder_lock_owner(pod->folder), pid);
    if (!kpod_pod_sanitized())
        assert_in_range(resident_kib(pid), 1, 700000 / 1024);
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    file = fopen(path, "re");
    assert_int_equal(fscanf(file, "%15s", name), 1);
    fclose(file);
    assert_string_equal(name, "kpod");
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    assert_int_equal(statvfs(path, &mount), 0);
    assert_true(mount.f_flag & ST_RDONLY);
    kpod_pod_stop(pod, 5000);
    kpod_pod_end(pod);
}

/* /proc/self/exe as a container's program is kpod itself, once. */
static void the_program_cannot_be_written_from_inside(void **state)
{
    (void)state;
    if (kpod_pod_sanitized())
        skip(); /* it is not static then: no image has its libraries */
    pod = kpod_pod_new("");
    kpod_pod_set_argv(pod, "/proc/self/exe", NULL);
    assert_int_equal(kpod_pod_run(pod)->exit_code, 2);
    assert_says("usage: kpod");
}

static void long_output_is_rotated(void **state)
{
    const char *log;

    (void)state;
    pod = kpod_pod_new("i=0; while [ $i -lt 4000 ]; do echo "
                       "line-$i-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                       "xxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done; echo last");
    pod->bundle->containers[0]->log_limit_bytes = 1; /* the least: 128 KiB */
    kpod_pod_run(pod);
    log = kpod_pod_log(pod, 0);
    assert_true(strlen(log) > 40000); /* whole records of up to 16 KiB */
    char path[128];
    struct stat info;

    snprintf(path, sizeof path, "%s/log", pod->folder);
    assert_int_equal(stat(path, &info), 0);
    assert_in_range(info.st_size, 1, 2 * LOG_RECORD_MAX_BYTES);
    snprintf(path, sizeof path, "%s/log.1", pod->folder);
    assert_int_equal(stat(path, &info), 0);
    assert_in_range(info.st_size, 1, 2 * LOG_RECORD_MAX_BYTES);
}

#define story(test) cmocka_unit_test_teardown(test, clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(output_is_logged),
        story(ends_are_told),
        story(oom_kill_is_told),
        story(a_pod_that_cannot_start_fails_at_once),
        story(a_missing_interpreter_is_named),
        story(a_damaged_bundle_is_refused),
        story(stop_signals_and_waits),
        story(stop_kills_when_grace_is_over),
        story(sigterm_is_a_stop),
        story(stop_while_starting_ends_it),
        story(failures_are_tried_again_with_back_off),
        story(strays_are_killed_before_the_next_run),
        story(a_lost_pid_1_is_replaced),
        story(killing_kpod_ends_the_pod),
        story(the_pod_is_alone),
        story(the_kernel_is_out_of_reach),
        story(nothing_of_the_host_comes_along),
        story(users_are_taken),
        story(the_working_folder_is_made),
        story(links_stay_inside),
        story(many_layers_are_mounted),
        story(it_is_small_and_sealed),
        story(the_program_cannot_be_written_from_inside),
        story(long_output_is_rotated),
    };
    const struct CMUnitTest in_users[] = {
        story(ends_are_told),
        story(stop_while_starting_ends_it),
        story(strays_are_killed_before_the_next_run),
        story(a_lost_pid_1_is_replaced),
        story(killing_kpod_ends_the_pod),
        story(the_kernel_is_out_of_reach),
        story(nothing_of_the_host_comes_along),
        story(users_are_taken),
        story(the_working_folder_is_made),
        story(links_stay_inside),
        story(many_layers_are_mounted),
        story(it_is_small_and_sealed),
        story(the_program_cannot_be_written_from_inside),
    };
    int failed;

    if (unshare(CLONE_NEWNET) != 0) /* the pods' */
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    kpod_pod_first_id = KPOD_POD_FIRST_ID;
    return failed + cmocka_run_group_tests_name("in a user namespace", in_users,
                                                NULL, NULL);
}
