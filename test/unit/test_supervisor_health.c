/* test_supervisor_health.c - is a container well, is it ready. As root. */
#include "base/memory.h"
#include "node/supervisor/supervisor.h"
#include "test/unit/kpod_story.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static Kontor__V1__HealthCheck *make_check(const char *script)
{
    Kontor__V1__HealthCheck *check = memory_new(sizeof *check);

    kontor__v1__health_check__init(check);
    check->interval_ms = 20;
    check->timeout_ms = 2000;
    if (!script)
        return check;
    check->command = memory_array(3, sizeof(char *));
    check->command[check->n_command++] = memory_string("sh");
    check->command[check->n_command++] = memory_string("-c");
    check->command[check->n_command++] = memory_string(script);
    return check;
}

static void the_unhealthy_is_restarted(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("rm -f /tmp/sick; echo up; exec sleep 1000");
    pod->bundle->restart = KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS;
    pod->bundle->containers[0]->health =
        make_check("echo x >> /tmp/asked; [ ! -e /tmp/sick ]");
    kpod_pod_start(pod);
    do
        kpod_pod_next(pod);
    while (!pod->status->ready);
    kpod_pod_exec(pod, "touch /tmp/sick");
    status = kpod_pod_await(pod, PHASE(BACKOFF));
    assert_string_equal(status->reason,
                        "unhealthy: 3 checks failed; again in 100 ms");
    assert_false(status->ready);
    do
        kpod_pod_next(pod);
    while (!pod->status->ready);
    assert_int_equal(pod->status->restarts, 1);
    kpod_pod_stop(pod, 0);
    kpod_pod_end(pod);
}

static void failures_of_the_start_do_not_count(void **state)
{
    (void)state;
    pod = kpod_pod_new("sleep 0.5; touch /tmp/well; exec sleep 1000");
    pod->bundle->containers[0]->health = make_check("[ -e /tmp/well ]");
    pod->bundle->containers[0]->health->retries = 1;
    pod->bundle->containers[0]->health->start_period_ms = 60000;
    kpod_pod_start(pod);
    do
        kpod_pod_next(pod);
    while (!pod->status->ready);
    assert_int_equal(pod->status->restarts, 0);
    kpod_pod_stop(pod, 0);
    kpod_pod_end(pod);
}

static void what_hangs_is_a_failure(void **state)
{
    const Kontor__V1__PodStatus *status;

    (void)state;
    pod = kpod_pod_new("exec sleep 1000");
    pod->bundle->containers[0]->health = make_check("exec sleep 2000");
    pod->bundle->containers[0]->health->timeout_ms = 50;
    pod->bundle->containers[0]->health->retries = 2;
    status = kpod_pod_run(pod);
    assert_int_equal(status->phase, PHASE(FAILED));
    assert_string_equal(status->reason, "unhealthy: 2 checks failed");
}

/* Not ready is not unhealthy. */
static void readiness_comes_and_goes(void **state)
{
    (void)state;
    pod = kpod_pod_new("exec sleep 1000");
    pod->bundle->containers[0]->ready = make_check("[ -e /tmp/ready ]");
    kpod_pod_start(pod);
    assert_false(kpod_pod_await(pod, PHASE(RUNNING))->ready);
    kpod_pod_exec(pod, "touch /tmp/ready");
    do
        kpod_pod_next(pod);
    while (!pod->status->ready);
    kpod_pod_exec(pod, "rm /tmp/ready");
    do
        kpod_pod_next(pod);
    while (pod->status->ready);
    assert_int_equal(pod->status->phase, PHASE(RUNNING));
    assert_int_equal(pod->status->restarts, 0);
    kpod_pod_stop(pod, 0);
    kpod_pod_end(pod);
}

/* On the loopback of the pod, which the host does not reach. */
static void ports_are_asked(void **state)
{
    static const struct {
        const char *answer;
        bool http, ready;
    } rows[] = {
        {"HTTP/1.1 200 OK", true, true},
        {"HTTP/1.0 302 Found", true, true},
        {"HTTP/1.1 500 Sorry", true, false},
        {"SSH-2.0-OpenSSH_9.2", true, false},
        {"", true, false},
        {"", false, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char script[256];
        Kontor__V1__HealthCheck *check = make_check(NULL);

        snprintf(script, sizeof script,
                 "ip link set lo up; mkdir -p /tmp/w; echo '%s' > /tmp/a; "
                 "while true; do nc -l -p 8080 < /tmp/a > /dev/null; done",
                 rows[i].answer);
        pod = kpod_pod_new(script);
        check->retries = 5;
        check->interval_ms = 100;
        *(rows[i].http ? &check->http_port : &check->tcp_port) = 8080;
        pod->bundle->containers[0]->cap_add = 1 << 12; /* NET_ADMIN: lo */
        pod->bundle->containers[0]->health = check;
        kpod_pod_start(pod);
        do
            kpod_pod_next(pod);
        while (!pod->status->ready && pod->status->phase != PHASE(FAILED));
        if (pod->status->ready != rows[i].ready)
            fail_msg("\"%s\": %s", rows[i].answer, pod->status->reason);
        clean_up(NULL);
    }
}

#define story(test) cmocka_unit_test_teardown(test, clean_up)

int main(void)
{
    int failed;
    const struct CMUnitTest tests[] = {
        story(the_unhealthy_is_restarted),
        story(failures_of_the_start_do_not_count),
        story(what_hangs_is_a_failure),
        story(readiness_comes_and_goes),
        story(ports_are_asked),
    };

    if (unshare(CLONE_NEWNET) != 0) /* the pods' */
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    kpod_pod_first_id = KPOD_POD_FIRST_ID;
    return failed + cmocka_run_group_tests_name("in a user namespace", tests,
                                                NULL, NULL);
}
