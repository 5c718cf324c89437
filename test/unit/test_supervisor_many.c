/* test_supervisor_many.c - kpod with several containers in a pod. As root. */
#include "base/memory.h"
#include "node/supervisor/supervisor.h"
#include "test/unit/kpod_story.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <cmocka.h>

#define POLICY(name) KONTOR__V1__RESTART_POLICY__RESTART_##name

static const Kontor__V1__ContainerStatus *container_of_pod(const char *name)
{
    for (size_t i = 0; i < pod->status->n_containers; i++)
        if (strcmp(pod->status->containers[i]->name, name) == 0)
            return pod->status->containers[i];
    fail_msg("nothing is said of container %s", name);
    return NULL;
}

#define STATE(name) KONTOR__V1__CONTAINER_STATE__CONTAINER_##name

/* They see and signal each other, and share what programs share memory by. */
static void several_containers_share_a_pod(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("hostname; echo told > /dev/shm/x; exec sleep 1000");
    kpod_pod_add(pod, "side",
                 "until ps | grep -q '[s]leep 1000' && [ -s /dev/shm/x ]; "
                 "do sleep 0.02; done; "
                 "echo shm $(cat /dev/shm/x) $(readlink /proc/self/ns/cgroup); "
                 "touch /only-here; exit 4");
    kpod_pod_start(pod);
    kpod_pod_await_log(pod, "shm told");
    do
        kpod_pod_next(pod);
    while (pod->status->n_containers == 0 ||
           container_of_pod("side")->state != STATE(FAILED));
    assert_int_equal(pod->status->phase, PHASE(RUNNING));
    assert_false(pod->status->ready);
    assert_int_equal(container_of_pod("side")->exit_code, 4);
    assert_string_equal(container_of_pod("side")->reason, "exit code 4");
    assert_true(container_of_pod("main")->ready);
    kpod_pod_stop(pod, 5000);
    status = kpod_pod_end(pod);
    assert_int_equal(status->phase, PHASE(STOPPED));
    assert_says("web-1");
}

/* What one says on localhost, and the queues and memory that it makes, are the
 * other's; nothing of them is of the host. */
static void they_share_network_and_ipc(void **state)
{
    char main_script[256], side_script[512];
    int escaped;

    (void)state;
    snprintf(main_script, sizeof main_script,
             "probe call %d 4711 4096 %d; touch /dev/mqueue/q; "
             "echo heard | nc -l -p 7001",
             SYS_shmget, IPC_CREAT | IPC_EXCL | 0600);
    snprintf(side_script, sizeof side_script,
             "mkfifo /open; " /* a standard input that does not end */
             "until nc 127.0.0.1 7001 <>/open 2>/dev/null | grep heard; "
             "do sleep 0.02; done; probe call %d 4711 4096 0; ls /dev/mqueue",
             SYS_shmget);
    make_probed_pod(main_script);
    kpod_pod_add(pod, "side", side_script);
    kpod_pod_run(pod);
    escaped = shmget(4711, 4096, 0);
    if (escaped >= 0)
        shmctl(escaped, IPC_RMID, NULL);
    assert_int_equal(pod->status->phase, PHASE(SUCCEEDED));
    assert_says("heard\nok\nq\n");
    assert_int_equal(escaped, -1);
}

static void each_has_its_own_restart_policy(void **state)
{
    (void)state;
    pod = kpod_pod_new("until [ -e /dev/shm/done ]; do sleep 0.02; done");
    kpod_pod_add(pod, "side",
                 "echo x >> /dev/shm/n; "
                 "[ $(wc -l < /dev/shm/n) -lt 3 ] && exit 1; "
                 "touch /dev/shm/done");
    pod->bundle->containers[1]->restart =
        KONTOR__V1__CONTAINER_RESTART__CONTAINER_RESTART_ON_FAILURE;
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    assert_int_equal(container_of_pod("side")->restarts, 2);
    assert_int_equal(container_of_pod("main")->restarts, 0);
    assert_int_equal(pod->status->restarts, 2);
    assert_int_equal(container_of_pod("side")->state, STATE(SUCCEEDED));
}

/* One after the other, tried again until they succeed, and then the rest. */
static void init_containers_come_first(void **state)
{
    (void)state;
    pod = kpod_pod_new("echo main; cat /dev/shm/n");
    kpod_pod_add(pod, "first",
                 "echo first; sleep 0.1; echo a > /dev/shm/n; "
                 "mkdir /dev/shm/once || exit 0; exit 3");
    kpod_pod_add(pod, "second", "echo second; cat /dev/shm/n");
    pod->bundle->restart = POLICY(ON_FAILURE);
    pod->bundle->containers[1]->init = true;
    pod->bundle->containers[2]->init = true;
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    assert_string_equal(kpod_pod_log(pod, LOG_STREAM_STDOUT),
                        "first\nfirst\nsecond\na\nmain\na\n");
    assert_int_equal(container_of_pod("first")->restarts, 1);
}

static void a_failed_init_container_ends_the_pod(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("echo main");
    kpod_pod_add(pod, "first", "exit 3");
    pod->bundle->containers[1]->init = true;
    status = kpod_pod_run(pod);
    assert_int_equal(status->phase, PHASE(FAILED));
    assert_int_equal(status->exit_code, 3);
    assert_string_equal(status->reason, "first: exit code 3");
    assert_int_equal(container_of_pod("main")->state, STATE(WAITING));
    assert_string_equal(kpod_pod_log(pod, 0), "");
}

/* What kills one is told of that one; another's end is no matter of its. */
static void a_container_has_limits_of_its_own(void **state)
{
    Kontor__V1__Resources *limits = memory_new(sizeof *limits);

    (void)state;
    pod = kpod_pod_new("until [ -e /dev/shm/x ]; do sleep 0.02; done; exit 5");
    kpod_pod_add(pod, "eater",
                 "dd if=/dev/zero of=/dev/null bs=64M count=1; "
                 "touch /dev/shm/x; kill -9 $$");
    kontor__v1__resources__init(limits);
    limits->memory_bytes = 16 << 20;
    pod->bundle->containers[1]->limits = limits;
    kpod_pod_run(pod);
    assert_true(container_of_pod("eater")->oom_killed);
    assert_string_equal(container_of_pod("eater")->reason,
                        "out of memory: killed at 16Mi");
    assert_false(container_of_pod("main")->oom_killed);
    assert_string_equal(container_of_pod("main")->reason, "exit code 5");
}

#define story(test) cmocka_unit_test_teardown(test, clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(several_containers_share_a_pod),
        story(they_share_network_and_ipc),
        story(each_has_its_own_restart_policy),
        story(init_containers_come_first),
        story(a_failed_init_container_ends_the_pod),
        story(a_container_has_limits_of_its_own),
    };

    /* The pods'. */
    if (unshare(CLONE_NEWNET) != 0 || system("ip link set lo up") != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
