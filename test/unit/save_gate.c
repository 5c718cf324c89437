#include "save_gate.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 10 };

struct save_gate {
    sem_t reached;
    sem_t open;
    _Atomic pid_t child;
};

struct save_gate *save_gate_new(void)
{
    struct save_gate *gate = mmap(NULL, sizeof *gate, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (gate == MAP_FAILED || sem_init(&gate->reached, true, 0) != 0 ||
        sem_init(&gate->open, true, 0) != 0)
        abort();
    return gate;
}

void save_gate_free(struct save_gate *gate)
{
    munmap(gate, sizeof *gate);
}

void save_gate_pass(struct save_gate *gate)
{
    gate->child = getpid();
    sem_post(&gate->reached);
    while (sem_wait(&gate->open) != 0 && errno == EINTR)
        continue;
}

pid_t save_gate_child(const struct save_gate *gate)
{
    return gate->child;
}

bool save_gate_await(struct save_gate *gate)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return sem_timedwait(&gate->reached, &until) == 0;
}

void save_gate_open(struct save_gate *gate)
{
    sem_post(&gate->open);
}
