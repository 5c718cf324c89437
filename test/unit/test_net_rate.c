/* test_net_rate.c - a pod's --net against what it gets, both ways: a sender
 * that never rests, and the frames that arrive once the bucket's first burst is
 * spent. As root. */
#include "net_world.h"

#include "base/clock.h"
#include "base/compare.h"
#include "base/fd.h"

#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* The limit holds in several windows: a machine that stands still for longer
 * than the bucket holds (52 ms of 10 Mbit/s) spoils the one it falls into, and
 * no other. */
enum {
    WARM_MS = 600,
    WINDOWS = 5,
    WINDOW_BYTES = 7 << 18, /* a bucket at once is 3.6 % of it */
    WINDOW_MIN_MS = 200,
    PERCENT = 5,
};

/* A full frame with its headers, which the limit counts as a wire does. */
enum { FRAME_BYTES = 1514 };

struct count {
    uint64_t ns;
    uint64_t frames; /* that have arrived at a socket, in order or not */
};

/* Anew where others had the core in between. */
static struct count count_now(int socket)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    struct count count;
    uint64_t began_ns;

    do {
        began_ns = clock_monotonic_ns();
        assert_int_equal(
            getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
        count.ns = clock_monotonic_ns();
    } while (count.ns - began_ns > 1000000);
    count.frames = info.tcpi_data_segs_in;
    return count;
}

static void pause_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000,
                                  .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

static pid_t start_copier(int from, int to)
{
    static char bytes[1 << 16];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    for (;;)
        if (from >= 0 ? read(from, bytes, sizeof bytes) <= 0
                      : write(to, bytes, sizeof bytes) <= 0)
            _exit(1);
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Bits a second from one end to the other, in full frames: in each window, the
 * least first. */
static void measure(const int ends[2], uint64_t bits, uint64_t got[WINDOWS])
{
    long window_ms = (long)(UINT64_C(8000) * WINDOW_BYTES / bits);
    pid_t reader = start_copier(ends[1], -1);
    pid_t writer = start_copier(-1, ends[0]);
    struct count before, after;

    if (window_ms < WINDOW_MIN_MS)
        window_ms = WINDOW_MIN_MS;
    pause_ms(WARM_MS);
    after = count_now(ends[1]);
    for (int i = 0; i < WINDOWS; i++) {
        before = after;
        pause_ms(window_ms);
        after = count_now(ends[1]);
        got[i] = (after.frames - before.frames) * FRAME_BYTES * 8 * 1000000000 /
                 (after.ns - before.ns);
    }
    stop(writer);
    stop(reader);
    qsort(got, WINDOWS, sizeof *got, compare_u64);
}

static void measure_rate(uint64_t bits, bool in)
{
    char address[INET_ADDRSTRLEN];
    struct error why;
    struct net *net;
    int pod, listener, ends[2], back[2];
    uint64_t got[WINDOWS];

    must(net_open(&net, &net_world_config, &why));
    pod = start_pod(net, 1, bits, address);
    listener = listen_in(pod);
    join_tcp(-1, listener, address, ends, NULL);
    back[0] = ends[1];
    back[1] = ends[0];
    measure(in ? ends : back, bits, got);
    print_message("--net %" PRIu64 "M %s: %.2f to %.2f M\n", bits / 1000000,
                  in ? "in " : "out", (double)got[0] / 1e6,
                  (double)got[WINDOWS - 1] / 1e6);
    close(ends[0]);
    close(ends[1]);
    close(listener);
    close(pod);
    await_interface_gone("kp1"); /* the next is called so, too */
    remove_net(net);
    /* The slowest may be one in which the machine stood still. */
    assert_in_range(got[1], bits / 100 * (100 - PERCENT),
                    bits / 100 * (100 + PERCENT));
    assert_in_range(got[WINDOWS - 1], bits / 100 * (100 - PERCENT),
                    bits / 100 * (100 + PERCENT));
}

static void what_is_asked_for_comes_in(void **state)
{
    (void)state;
    measure_rate(10000000, true);
    measure_rate(100000000, true);
}

static void what_is_asked_for_goes_out(void **state)
{
    (void)state;
    measure_rate(10000000, false);
    measure_rate(100000000, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_asked_for_comes_in, net_world_make),
        cmocka_unit_test_setup(what_is_asked_for_goes_out, net_world_make),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
