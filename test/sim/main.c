/* main.c - run seeds: `sim --seeds 1-2000`, `sim --seed 42 --story`; with
 * --topologies those of topology.c. */
#include "base/options.h"
#include "test/sim/seeds.h"
#include "test/sim/sim.h"
#include "test/sim/speed.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* The command line. */
struct wish {
    const char *program;
    bool topologies;
    const char *seeds;
    uint64_t seed; /* 0: all of `seeds` */
    bool story;
    const char *until; /* end at a failure that begins so, and tell no other;
                          NULL: go on and explain the first few */
    bool verbose;      /* a line for every seed */
};

/* A failed assert of the core is a failed check of its seed. */
static sigjmp_buf aborted;

static void on_abort(int number)
{
    (void)number;
    siglongjmp(aborted, 1);
}

/* Times real time; it does seven times as much. */
enum { SPEED_LEAST = 1000 };

/* What the run found stays in `sim`, what it owned does not. */
static bool run(struct sim *sim, uint64_t seed, enum story_telling telling,
                const struct wish *wish)
{
    bool passed = false;
    sim_cb scenario = wish->topologies ? topology_run : sim_run;

    if (sigsetjmp(aborted, 1)) {
        story_fail(&sim->story, "the core's own assert failed");
        story_print_tail(&sim->story);
        return false; /* left as it was: it cannot be trusted */
    }
    passed = scenario(sim, seed, telling, &machine_ledger);
    story_print_tail(&sim->story);
    sim_fini(sim);
    return passed;
}

static void add(struct checks *sum, const struct checks *checks)
{
    sum->elections += checks->elections;
    sum->commits += checks->commits;
    sum->reads += checks->reads;
    sum->installs += checks->installs;
    sum->truncations += checks->truncations;
    sum->crashes += checks->crashes;
    sum->changes += checks->changes;
    sum->transfers += checks->transfers;
}

/* A seed is a run: the same again, to the last message and to the same end. */
static bool replays(uint64_t seed, const struct story *before,
                    enum story_telling telling, const struct wish *wish)
{
    struct sim sim;

    run(&sim, seed, telling, wish);
    if (sim.story.hash == before->hash &&
        strcmp(sim.story.failure, before->failure) == 0)
        return true;
    printf("seed %" PRIu64 " does not replay: hash %016" PRIx64
           ", then %016" PRIx64 " %s\n",
           seed, before->hash, sim.story.hash, sim.story.failure);
    return false;
}

static void tell_failure(uint64_t seed, const struct sim *sim)
{
    printf("seed %" PRIu64 " failed at %" PRIu64 " ms: %s\n", seed,
           sim->now_us / 1000, sim->story.failure);
}

static void explain(uint64_t seed, const struct sim *sim,
                    const struct wish *wish)
{
    replays(seed, &sim->story, STORY_TAIL, wish);
    tell_failure(seed, sim);
    printf("replay: %s %s--seed %" PRIu64 " --story\n", wish->program,
           wish->topologies ? "--topologies " : "", seed);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool run_all(struct seeds range, const struct wish *wish)
{
    enum { EXPLAINED_MAX = 3, REPLAYED_EVERY = 50 };
    struct checks sum = {0};
    uint64_t failed = 0;
    uint64_t virtual_ms = 0;
    bool fast;

    for (uint64_t seed = range.from; seed <= range.to; seed++) {
        struct sim sim;
        bool passed = run(&sim, seed, STORY_SILENT, wish);

        if (wish->verbose)
            printf("seed %" PRIu64 " hash %016" PRIx64 " %s\n", seed,
                   sim.story.hash, passed ? "passed" : sim.story.failure);
        add(&sum, &sim.checks);
        virtual_ms += sim.now_us / 1000;
        failed += !passed;
        if (!passed && wish->until) {
            if (!begins(sim.story.failure, wish->until))
                continue;
            tell_failure(seed, &sim);
            return false;
        }
        if (!passed && failed <= EXPLAINED_MAX)
            explain(seed, &sim, wish);
        if (passed && seed % REPLAYED_EVERY == 0 &&
            !replays(seed, &sim.story, STORY_SILENT, wish))
            failed++;
    }
    printf("%" PRIu64 " elections, %" PRIu64 " crashes, %" PRIu64
           " entries committed, %" PRIu64 " overwritten, %" PRIu64
           " reads, %" PRIu64 " snapshots installed, %" PRIu64
           " changes of members, %" PRIu64 " transfers\n",
           sum.elections, sum.crashes, sum.commits, sum.truncations, sum.reads,
           sum.installs, sum.changes, sum.transfers);
    fast = speed_suffices(virtual_ms, 1, SPEED_LEAST);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n",
           range.to - range.from + 1 - failed, failed);
    return failed == 0 && fast;
}

static int run_one(const struct wish *wish)
{
    struct sim sim;
    bool passed =
        run(&sim, wish->seed, wish->story ? STORY_ALL : STORY_SILENT, wish);

    printf("seed %" PRIu64 " hash %016" PRIx64 " at %" PRIu64 " ms: %s\n",
           wish->seed, sim.story.hash, sim.now_us / 1000,
           passed ? "passed" : sim.story.failure);
    printf("%d passed, %d failed\n", passed, !passed);
    return passed ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct wish wish = {.program = argv[0]};
    bool help = false;
    struct operands operands;
    struct seeds range;
    struct error why;
    const struct option table[] = {
        {"seeds", OPTION_STRING, &wish.seeds, "FROM-TO", "which seeds to run"},
        {"seed", OPTION_NUMBER, &wish.seed, "SEED", "run this one only"},
        {"story", OPTION_FLAG, &wish.story, NULL,
         "tell all that happens in it"},
        {"topologies", OPTION_FLAG, &wish.topologies, NULL,
         "three masters, with any of their links up or down"},
        {"until", OPTION_STRING, &wish.until, "TEXT",
         "end at the first failure that begins so"},
        {"v|verbose", OPTION_FLAG, &wish.verbose, NULL,
         "a line for every seed"},
        {NULL, OPTION_FLAG, NULL, NULL, NULL},
    };

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0) {
        fprintf(stderr, "sim: %s\n", why.message);
        return 2;
    }
    if (help) {
        options_print(table, stdout);
        return 0;
    }
    signal(SIGABRT, on_abort);
    if (wish.seed)
        return run_one(&wish);
    if (!wish.seeds)
        wish.seeds = wish.topologies ? "1-1280" : "1-2000";
    if (!seeds_parse(wish.seeds, &range)) {
        fprintf(stderr, "sim: --seeds %s: want FROM-TO or a number\n",
                wish.seeds);
        return 2;
    }
    return run_all(range, &wish) ? 0 : 1;
}
