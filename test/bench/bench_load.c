/* bench_load.c - what taking a snapshot costs a follower.
 *
 *   bench_load [PODS]
 *
 * Prints how long it takes to load a state of PODS (300,000) pods on 300 nodes
 * and to free the former one, which is done on a worker, and to exchange the
 * two, which is all that the loop stands still for. Each is the least of
 * some. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "raft/replica_state.h"
#include "test/unit/master_commands.h"
#include "test/unit/master_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { NODES = 300, PODS = 300000, GROUP = 100, TIMES = 3 };

static struct cluster *make_state(unsigned pods)
{
    struct cluster *cluster = cluster_new();
    uint64_t ids[GROUP];

    for (unsigned i = 1; i <= NODES; i++) {
        char name[16];

        snprintf(name, sizeof name, "n%u", i);
        do_register(cluster, name,
                    (struct wanted){.cpu_milli = 1000000,
                                    .memory_bytes = UINT64_C(1) << 40});
    }
    for (unsigned i = 0; i < pods / GROUP; i++) {
        for (unsigned k = 0; k < GROUP; k++)
            ids[k] = 1 + (i * GROUP + k) % NODES;
        do_create_many(
            cluster,
            (struct create){.want = {.cpu_milli = 1, .memory_bytes = 1 << 20}},
            (struct nodes_chosen){.ids = ids, .count = GROUP}, false);
    }
    return cluster;
}

static double since_ms(uint64_t began_ns)
{
    return (double)(clock_monotonic_ns() - began_ns) / 1e6;
}

static void keep_least(double *least, double some)
{
    if (*least < 0 || some < *least)
        *least = some;
}

static void measure(const struct replica_machine *machine, int fd)
{
    double load_ms = -1, exchange_ms = -1, drop_ms = -1;
    void *own = NULL; /* the master's */

    for (int i = 0; i <= TIMES; i++) {
        uint64_t began_ns = clock_monotonic_ns();
        void *state;
        struct error why;

        lseek(fd, 0, SEEK_SET);
        if (machine->load(machine->data, fd, UINT32_MAX, &state, &why) != 0)
            fail_msg("%s", why.message);
        keep_least(&load_ms, since_ms(began_ns));
        began_ns = clock_monotonic_ns();
        state = machine->exchange(machine->data, state);
        if (i > 0) /* both are large */
            keep_least(&exchange_ms, since_ms(began_ns));
        if (i == 0) {
            own = state;
            continue;
        }
        began_ns = clock_monotonic_ns();
        machine->drop(state);
        keep_least(&drop_ms, since_ms(began_ns));
    }
    machine->drop(machine->exchange(machine->data, own));
    printf("on a worker: load %.1f ms, free %.1f ms; on the loop: exchange "
           "%.3f ms\n",
           load_ms, drop_ms, exchange_ms);
}

int main(int argc, char **argv)
{
    struct cluster *state =
        make_state(argc > 1 ? (unsigned)atoi(argv[1]) : PODS);
    CLEANUP(fd_close) int fd = save_to_file(state);

    printf("%u pods\n", (unsigned)state->next_pod_id - 1);
    cluster_free(state);
    world_start(1, 1);
    measure(&world.masters[0].master->replica->machine, fd);
    uv_update_time(&world.loop); /* it stood still */
    return world_tear_down(NULL);
}
