#include "test/sim/stack/workers.h"

#include "base/fd.h"
#include "base/memory.h"
#include "test/sim/stack/check.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Masters that could not start leave memory behind (kmaster.c): a process runs
 * so many seeds and then another takes its place. */
enum { JOBS_MAX = 64, SEEDS_EACH = 250 };

/* What all processes see. */
struct shared {
    _Atomic uint64_t next; /* seed that nobody has begun */
    _Atomic bool failed;   /* a process ended otherwise than well */
    struct tally tallies[JOBS_MAX];
};

/* What comes out of order waits for those before it. */
struct results {
    const struct work *work;
    struct outcome **waiting; /* owned; by seed - work->seeds.from */
    uint64_t next;            /* seed to be told of */
};

static _Noreturn void give_up(const char *what)
{
    perror(what);
    exit(2);
}

/* An outcome is smaller than PIPE_BUF: those of two do not mix. */
static _Noreturn void run_some(const struct work *work, struct shared *shared,
                               struct tally *sum, int out)
{
    struct outcome outcome;
    struct error why;
    unsigned left = SEEDS_EACH;
    uint64_t seed;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    tally = *sum;
    while (left-- > 0 &&
           (seed = atomic_fetch_add(&shared->next, 1)) <= work->seeds.to) {
        memset(&outcome, 0, sizeof outcome);
        work->run(seed, &outcome);
        outcome.seed = seed;
        *sum = tally;
        if (fd_write_all(out, &outcome, sizeof outcome, &why) != 0)
            _exit(2);
    }
    exit(0); /* the sanitizers look for what was left behind */
}

static _Noreturn void run_worker(const struct work *work, struct shared *shared,
                                 unsigned number, int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (atomic_load(&shared->next) <= work->seeds.to) {
        pid_t child = fork();
        int status = 0;

        if (child < 0)
            give_up("fork");
        if (child == 0)
            run_some(work, shared, &shared->tallies[number], out);
        waitpid(child, &status, 0);
        if (status != 0)
            shared->failed = true;
    }
    _exit(0);
}

static void hand_over(struct results *results)
{
    const struct work *work = results->work;

    while (results->next <= work->seeds.to) {
        struct outcome **at =
            &results->waiting[results->next - work->seeds.from];

        if (!*at)
            return;
        work->done(*at);
        free(*at);
        *at = NULL;
        results->next++;
    }
}

static void add(struct results *results, const struct outcome *outcome)
{
    results->waiting[outcome->seed - results->work->seeds.from] =
        memory_copy(outcome, sizeof *outcome);
    hand_over(results);
}

/* All workers have ended; what they have not told of they died of. */
static void add_missing(struct results *results)
{
    while (results->next <= results->work->seeds.to) {
        struct outcome lost = {.seed = results->next};

        snprintf(lost.failure, sizeof lost.failure,
                 "its process died with it, or before it");
        add(results, &lost);
    }
}

static void add_tally(const struct tally *other)
{
    uint64_t sums[sizeof tally / sizeof(uint64_t)];
    uint64_t others[sizeof tally / sizeof(uint64_t)];

    memcpy(sums, &tally, sizeof tally);
    memcpy(others, other, sizeof tally);
    for (size_t i = 0; i < ARRAY_LEN(sums); i++)
        sums[i] += others[i];
    memcpy(&tally, sums, sizeof tally);
}

unsigned workers_count(const struct work *work)
{
    uint64_t jobs = work->jobs;

    if (jobs == 0)
        jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    return jobs < JOBS_MAX ? (unsigned)jobs : JOBS_MAX;
}

/* Returns where they tell. */
static int start(const struct work *work, struct shared *shared, unsigned jobs)
{
    int ends[2];

    if (pipe(ends) != 0)
        give_up("make a pipe");
    for (unsigned i = 0; i < jobs; i++) {
        pid_t child = fork();

        if (child < 0)
            give_up("fork");
        if (child > 0)
            continue;
        close(ends[0]);
        run_worker(work, shared, i, ends[1]);
    }
    close(ends[1]);
    return ends[0];
}

bool workers_run(const struct work *work)
{
    unsigned jobs = workers_count(work);
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct results results = {.work = work, .next = work->seeds.from};
    struct outcome outcome;
    struct error why;
    bool failed;
    int in;

    if (shared == MAP_FAILED)
        give_up("share memory");
    shared->next = work->seeds.from;
    results.waiting = memory_array(work->seeds.to - work->seeds.from + 1,
                                   sizeof *results.waiting);
    fflush(stdout);
    in = start(work, shared, jobs);
    while (fd_read_exact(in, &outcome, sizeof outcome, &why) == 0)
        add(&results, &outcome);
    while (wait(NULL) > 0 || errno == EINTR)
        continue;
    add_missing(&results);
    for (unsigned i = 0; i < jobs; i++)
        add_tally(&shared->tallies[i]);
    close(in);
    free(results.waiting);
    failed = shared->failed;
    munmap(shared, sizeof *shared);
    return !failed;
}
