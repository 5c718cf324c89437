/* What a drill makes of what it saw: gaps, writes lost and done twice, pods
 * that did not stay; and whether a master that is cut off is. */
#include "base/fd.h"
#include "client/dev_net.h"
#include "client/drill.h"

#include <setjmp.h>
#include <stdarg.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- time -----------------------------------------------------------------
 */

static struct drill_operation write_seen[] = {
    {.result = DRILL_OK, .invoked_ns = 10, .returned_ns = 20, .value = 1},
    /* Under way at the fault, at 30, and acknowledged by who survives. */
    {.result = DRILL_OK, .invoked_ns = 25, .returned_ns = 34, .value = 2},
    {.result = DRILL_FAIL, .invoked_ns = 31, .returned_ns = 35, .value = 3},
    {.result = DRILL_UNKNOWN, .invoked_ns = 32, .returned_ns = 36, .value = 4},
    {.result = DRILL_OK, .is_read = true, .invoked_ns = 33, .returned_ns = 37},
    {.result = DRILL_OK, .invoked_ns = 33, .returned_ns = 90, .value = 5},
    {.result = DRILL_OK, .invoked_ns = 40, .returned_ns = 70, .value = 6},
    {.result = DRILL_OK, .invoked_ns = 80, .returned_ns = 95, .value = 7},
};

static const struct drill_history seen = {.operations = write_seen,
                                          .count = ARRAY_LEN(write_seen)};

static void a_gap_ends_with_a_later_write(void **state)
{
    (void)state;
    assert_int_equal(drill_history_recovered_ns(&seen, 30), 70);
    assert_int_equal(drill_history_recovered_ns(&seen, 0), 20);
    assert_int_equal(drill_history_recovered_ns(&seen, 80), 0);
}

static void silence_begins_before_the_fault(void **state)
{
    (void)state;
    assert_int_equal(drill_history_silence_ns(&seen, 30, 100), 70 - 34);
    assert_int_equal(drill_history_silence_ns(&seen, 60, 100), 70 - 34);
    /* Nothing to its end. */
    assert_int_equal(drill_history_silence_ns(&seen, 80, 200), 200 - 95);
}

/* ---- writes ---------------------------------------------------------------
 */

static struct drill_operation written(enum drill_result result, uint64_t value,
                                      const char *pod)
{
    struct drill_operation operation = {.result = result, .value = value};

    strcpy(operation.pod, pod);
    return operation;
}

static struct drill_pod pod(uint64_t id, uint64_t value, const char *name)
{
    struct drill_pod pod = {.id = id, .value = value};

    strcpy(pod.name, name);
    return pod;
}

static void writes_are_there_once(void **state)
{
    struct drill_operation operations[] = {
        written(DRILL_OK, 9, "a-1"),
        written(DRILL_OK, 2, "a-2"),
        written(DRILL_OK, 3, "a-3"),
        written(DRILL_OK, 4, "a-4"),
        written(DRILL_UNKNOWN, 5, ""),
        written(DRILL_UNKNOWN, 6, ""),
        written(DRILL_UNKNOWN, 7, "b-1"),
        written(DRILL_FAIL, 8, ""),
        {.is_read = true, .result = DRILL_OK},
        {.is_read = true, .result = DRILL_FAIL},
    };
    /* 3 is lost, 4 became another pod than was said; 2 and 6 are twice. */
    struct drill_pod pods[] = {
        pod(1, 0, "web-1"), pod(2, 9, "a-1"), pod(3, 2, "a-2"),
        pod(4, 2, "a-7"),   pod(5, 4, "a-8"), pod(6, 6, "a-9"),
        pod(7, 6, "a-10"),  pod(8, 7, "b-1"),
    };
    struct drill_history history = {.operations = operations,
                                    .count = ARRAY_LEN(operations)};
    struct drill_pods after = {pods, ARRAY_LEN(pods)};
    struct drill_counts counts = {0};

    (void)state;
    drill_count_writes(&counts, &history, &after);
    assert_int_equal(counts.acknowledged, 4);
    assert_int_equal(counts.unknown, 3);
    assert_int_equal(counts.refused, 1);
    assert_int_equal(counts.reads, 1);
    assert_int_equal(counts.lost, 2);
    assert_int_equal(counts.duplicated, 2);
}

static void pods_stay(void **state)
{
    struct drill_pod old[] = {
        {.id = 1, .running = true, .generation = 1},
        {.id = 2, .running = false},
        {.id = 3, .running = true, .generation = 1, .restarts = 2},
        {.id = 4, .running = true, .generation = 1},
        {.id = 5, .running = true, .generation = 1},
        {.id = 6, .running = true, .generation = 1},
    };
    struct drill_pod now[] = {
        {.id = 1, .running = true, .generation = 1},
        {.id = 3, .running = true, .generation = 1, .restarts = 3},
        {.id = 4, .running = true, .generation = 2},
        {.id = 5, .running = false, .generation = 1},
        {.id = 7, .running = true, .generation = 1},
    };
    struct drill_counts counts = {0};

    (void)state;
    drill_count_pods(&counts, &(struct drill_pods){old, ARRAY_LEN(old)},
                     &(struct drill_pods){now, ARRAY_LEN(now)});
    assert_int_equal(counts.pods, 5);
    assert_int_equal(counts.restarted, 4);
}

static void what_passes(void **state)
{
    struct drill_round rounds[] = {{.gap_ns = 5000000, .silent_ns = 10000000}};
    const struct drill good = {
        .count = 1, .done = 1, .budget_ms = 10, .rounds = rounds};
    struct drill drill = good;

    (void)state;
    assert_true(drill_passed(&good));
    drill.budget_ms = 9; /* silence counts, too */
    assert_false(drill_passed(&drill));
    drill = good;
    drill.count = 2;
    assert_false(drill_passed(&drill));
    drill = good;
    drill.counts.lost = 1;
    assert_false(drill_passed(&drill));
    drill = good;
    drill.counts.duplicated = 1;
    assert_false(drill_passed(&drill));
    drill = good;
    drill.counts.restarted = 1;
    assert_false(drill_passed(&drill));
    drill = good;
    drill.counts.nodes = 1;
    assert_false(drill_passed(&drill));
}

/* ---- cut off --------------------------------------------------------------
 *
 * A master is who listens on 7400 and runs as that group: `in` are the ends of
 * a connection to it, `out` those of one that it made; [0] is its own.
 */

enum { MASTER = 7400, OTHER = 7410, SILENCE_MS = 150, PATIENCE_MS = 10000 };

static struct sockaddr_in address_of(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port)};

    assert_int_equal(inet_pton(AF_INET, DEV_HOST, &address.sin_addr), 1);
    return address;
}

static int socket_of(unsigned group)
{
    int fd;

    assert_int_equal(setegid(group), 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setegid(0), 0);
    assert_true(fd >= 0);
    return fd;
}

static int listen_on(unsigned port, unsigned group)
{
    struct sockaddr_in address = address_of(port);
    int fd = socket_of(group);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* ends[0] belongs to `group`, as accept() gives it to its process. */
static void connect_to(int listener, unsigned port, unsigned group, int *made,
                       int *taken)
{
    struct sockaddr_in address = address_of(port);

    *made = socket_of(group);
    assert_int_equal(
        connect(*made, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(setegid(port == MASTER ? MASTER : 0), 0);
    *taken = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(setegid(0), 0);
    assert_true(*taken >= 0);
}

static bool arrives(int from, int to, int timeout_ms)
{
    struct pollfd ready = {.fd = to, .events = POLLIN};
    char byte;

    assert_int_equal(send(from, "x", 1, MSG_NOSIGNAL), 1);
    if (poll(&ready, 1, timeout_ms) == 0)
        return false;
    assert_int_equal(recv(to, &byte, 1, 0), 1);
    return true;
}

static bool comes_late(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char byte;

    return poll(&ready, 1, PATIENCE_MS) == 1 && recv(fd, &byte, 1, 0) == 1;
}

static bool connects(unsigned port, unsigned group)
{
    struct sockaddr_in address = address_of(port);
    int fd = socket_of(group);
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int flags = fcntl(fd, F_GETFL);
    bool done;

    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    done = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
           (errno == EINPROGRESS && poll(&ready, 1, SILENCE_MS) == 1);
    close(fd);
    return done;
}

static void cut_and_mend(void)
{
    int master = listen_on(MASTER, MASTER);
    int other = listen_on(OTHER, 0);
    struct error why;
    int in[2];
    int out[2];
    int apart[2];

    assert_int_equal(dev_net_masquerade(&why), 0); /* as dev up does */
    connect_to(master, MASTER, 0, &in[1], &in[0]);
    connect_to(other, OTHER, MASTER, &out[0], &out[1]);
    connect_to(other, OTHER, 0, &apart[0], &apart[1]);
    assert_true(arrives(in[1], in[0], PATIENCE_MS));
    assert_true(arrives(out[1], out[0], PATIENCE_MS));

    assert_int_equal(dev_net_cut(MASTER, &why), 0);
    assert_false(arrives(in[0], in[1], SILENCE_MS));
    assert_false(arrives(in[1], in[0], SILENCE_MS));
    assert_false(arrives(out[0], out[1], SILENCE_MS));
    assert_false(arrives(out[1], out[0], SILENCE_MS));
    assert_false(connects(MASTER, 0));
    assert_false(connects(OTHER, MASTER));
    assert_true(arrives(apart[0], apart[1], PATIENCE_MS));
    assert_true(connects(OTHER, 0));

    assert_int_equal(dev_net_uncut(&why), 0);
    assert_int_equal(dev_net_uncut(&why), 0); /* as it is already */
    assert_true(comes_late(in[0]) && comes_late(in[1]));
    assert_true(comes_late(out[0]) && comes_late(out[1]));
    assert_true(connects(MASTER, 0) && connects(OTHER, MASTER));
}

/* In a process of its own, whose network is its own. */
static void who_is_cut_off(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        if (unshare(CLONE_NEWNET) != 0 ||
            system("ip link set lo up && ip addr add " DEV_HOST "/32 dev lo") !=
                0)
            _exit(2);
        cut_and_mend();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gap_ends_with_a_later_write),
        cmocka_unit_test(silence_begins_before_the_fault),
        cmocka_unit_test(writes_are_there_once),
        cmocka_unit_test(pods_stay),
        cmocka_unit_test(what_passes),
        cmocka_unit_test(who_is_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
