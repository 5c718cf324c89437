/* main.c - run seeds: `stack --seeds 1-200`, `stack --seed 42 --story`; with
 * --topologies those of run_topology(). */
#include "base/options.h"
#include "test/sim/disk/disk.h"
#include "test/sim/speed.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/run.h"
#include "test/sim/stack/workers.h"

#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct {
    const char *program;
    bool topologies;
    bool verbose;
    uint64_t failed;
} session;

/* A failed assert, or worse, is a failed check of its seed. */
static sigjmp_buf aborted;

static void on_abort(int number)
{
    siglongjmp(aborted, number);
}

static void run(uint64_t seed, enum story_telling telling,
                struct outcome *outcome)
{
    volatile bool whole = false;
    int signal = sigsetjmp(aborted, 1);

    if (signal == 0) {
        if (session.topologies)
            run_topology(seed, telling);
        else
            run_seed(seed, telling);
        whole = true;
    } else {
        story_fail(&world.story, "an assert failed, or worse: %s",
                   strsignal(signal));
    }
    outcome->seed = seed;
    outcome->passed = !story_failed(&world.story);
    outcome->hash = world.story.hash;
    outcome->at_ms = world.now_us / 1000;
    memcpy(outcome->failure, world.story.failure, sizeof outcome->failure);
    story_print_tail(&world.story);
    story_fini(&world.story);
    if (whole) /* else left as it was: it cannot be trusted */
        run_fini();
    process_now = NULL;
}

/* ---- many ---- */

/* Now and then the same again, to the last frame and to the same end. */
static void run_silent(uint64_t seed, struct outcome *outcome)
{
    enum { REPLAYED_EVERY = 50 };
    struct outcome again;

    run(seed, STORY_SILENT, outcome);
    if (!outcome->passed || seed % REPLAYED_EVERY != 0)
        return;
    run(seed, STORY_SILENT, &again);
    outcome->passed = again.passed && again.hash == outcome->hash;
    if (!outcome->passed)
        snprintf(outcome->failure, sizeof outcome->failure,
                 "does not replay: hash %016" PRIx64 ", then %016" PRIx64
                 " %.300s",
                 outcome->hash, again.hash, again.failure);
}

static void explain(const struct outcome *outcome)
{
    struct outcome again;

    run(outcome->seed, STORY_TAIL, &again);
    if (again.hash != outcome->hash)
        printf("seed %" PRIu64 " does not replay: hash %016" PRIx64
               ", then %016" PRIx64 " %s\n",
               outcome->seed, outcome->hash, again.hash, again.failure);
    printf("seed %" PRIu64 " failed at %" PRIu64 " ms: %s\n", outcome->seed,
           outcome->at_ms, outcome->failure);
    printf("replay: %s %s--seed %" PRIu64 " --story\n", session.program,
           session.topologies ? "--topologies " : "", outcome->seed);
}

/* The first few that fail tell why. */
static void on_done(const struct outcome *outcome)
{
    enum { EXPLAINED_MAX = 3 };
    struct tally kept = tally;

    if (session.verbose)
        printf("seed %" PRIu64 " hash %016" PRIx64 " %s\n", outcome->seed,
               outcome->hash, outcome->passed ? "passed" : outcome->failure);
    if (outcome->passed || ++session.failed > EXPLAINED_MAX)
        return;
    explain(outcome);
    tally = kept;
}

static void print_tally(void)
{
    printf("%" PRIu64 " elections, %" PRIu64 " crashes, %" PRIu64
           " starts on what was there, %" PRIu64 " entries and %" PRIu64
           " joined commands committed, %" PRIu64 " snapshots, %" PRIu64
           " installed, %" PRIu64 " changes of members, %" PRIu64
           " transfers\n",
           tally.elections, tally.crashes, tally.restarts, tally.commits,
           tally.joined, tally.snapshots, tally.installs, tally.changes,
           tally.transfers);
    printf("%" PRIu64 " writes acknowledged, %" PRIu64 " reads, %" PRIu64
           " events, %" PRIu64 " sent again, %" PRIu64 " pods started, %" PRIu64
           " moved, %" PRIu64 " logs, %" PRIu64 " cordons, %" PRIu64
           " labels, %" PRIu64 " drains that moved %" PRIu64 " pods, %" PRIu64
           " rebalances that moved %" PRIu64 ", %" PRIu64
           " of them for evenness, %" PRIu64 " refused, %" PRIu64
           " scales, %" PRIu64 " gangs, %" PRIu64 " preempted, %" PRIu64
           " turns with room kept\n",
           tally.acknowledged, tally.reads, tally.events, tally.retries,
           tally.pods_started, tally.pods_moved, tally.logs, tally.cordons,
           tally.labels, tally.drains, tally.drained, tally.rebalances,
           tally.rebalanced, tally.evenings, tally.moves_refused, tally.scales,
           tally.gangs, tally.preemptions, tally.turns_kept);
    printf("%" PRIu64 " power cuts, %" PRIu64 " disks about to fail, %" PRIu64
           " times without room, %" PRIu64 " bits rotted, %" PRIu64
           " masters refused to start, %" PRIu64 " replaced, %" PRIu64
           " of another program, %" PRIu64 " asked too early for theirs\n",
           tally.cuts, tally.faults, tally.full, tally.rots, tally.refusals,
           tally.replaced, tally.upgrades, tally.early);
}

/* Half of what it does on two cores of 2026: one of them is enough for that. */
enum { SPEED_LEAST = 500 };

static bool run_all(struct seeds range, uint64_t jobs)
{
    const struct work work = {
        .seeds = range,
        .jobs = jobs,
        .run = run_silent,
        .done = on_done,
    };
    bool fast;

    if (!workers_run(&work) && session.failed == 0)
        session.failed++; /* a sanitizer says why */
    print_tally();
    fast = speed_suffices(tally.virtual_ms, workers_count(&work), SPEED_LEAST);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n",
           range.to - range.from + 1 - session.failed, session.failed);
    return session.failed == 0 && fast;
}

static int run_one(uint64_t seed, bool story)
{
    struct outcome outcome;

    run(seed, story ? STORY_ALL : STORY_SILENT, &outcome);
    printf("seed %" PRIu64 " hash %016" PRIx64 " at %" PRIu64 " ms: %s\n", seed,
           outcome.hash, outcome.at_ms,
           outcome.passed ? "passed" : outcome.failure);
    printf("%d passed, %d failed\n", outcome.passed, !outcome.passed);
    return outcome.passed ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *seeds = NULL;
    uint64_t seed = 0;
    bool story = false;
    uint64_t jobs = 0;
    bool help = false;
    struct operands operands;
    struct seeds range;
    struct error why;
    const struct option table[] = {
        {"seeds", OPTION_STRING, &seeds, "FROM-TO", "which seeds to run"},
        {"seed", OPTION_NUMBER, &seed, "SEED", "run this one only"},
        {"story", OPTION_FLAG, &story, NULL, "tell all that happens in it"},
        {"topologies", OPTION_FLAG, &session.topologies, NULL,
         "three masters, every way of not reaching each other"},
        {"jobs", OPTION_NUMBER, &jobs, "N",
         "processes that share the seeds; else one for each core"},
        {"v|verbose", OPTION_FLAG, &session.verbose, NULL,
         "a line for every seed"},
        {NULL, OPTION_FLAG, NULL, NULL, NULL},
    };

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0) {
        fprintf(stderr, "stack: %s\n", why.message);
        return 2;
    }
    if (help) {
        options_print(table, stdout);
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* who waits for many sees some */
    disk_register();
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    /* The large and mostly empty tables of the state cost nothing as pages
     * that are never touched. */
    mallopt(M_MMAP_THRESHOLD, 512 << 10);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    if (seed)
        return run_one(seed, story);
    if (!seeds)
        seeds = session.topologies ? "1-640" : "1-200";
    if (!seeds_parse(seeds, &range)) {
        fprintf(stderr, "stack: --seeds %s: want FROM-TO or a number\n", seeds);
        return 2;
    }
    session.program = argv[0];
    return run_all(range, jobs) ? 0 : 1;
}
