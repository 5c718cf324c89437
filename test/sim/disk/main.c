/* main.c - the store on a disk that fails, seed by seed:
 * `disk --seeds 1-400`, `disk --seed 42 --story`,
 * `disk --seed 1 --fault cut --at 77 --story`. */
#include "base/options.h"
#include "test/sim/disk/torture.h"
#include "test/sim/seeds.h"

#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { EXPLAINED_MAX = 3, REPLAYED_EVERY = 50 };

static const char *const fault_names[] = {
    [DISK_SOUND] = "none", [DISK_WRITE_EIO] = "write", [DISK_SYNC_EIO] = "sync",
    [DISK_FULL] = "full",  [DISK_CUT] = "cut",
};

static const char *const theme_names[] = {
    [TORTURE_DRAWN] = "drawn",
    [TORTURE_RESTART] = "restart",
    [TORTURE_CHECKPOINT] = "checkpoint",
    [TORTURE_TAIL] = "tail",
};

/* Seeds that fail when a mend of the store is taken back, run whatever else
 * is; `make mutants` shows that they do. */
static const struct {
    uint64_t seed;
    const char *mend;
} regressions[] = {
    {26, "a log is written again before it is recovered"},
    {174, "the folder is synced at each opening"},
    {187, "a retired log is not recovered"},
    {1060, "a mark is not written over the only one"},
    {5702, "a mark that was read is written again and synced"},
    {31675, "the first frame is cleared before the log's header"},
};

struct session {
    const char *program;
    bool verbose;
    uint64_t passed;
    uint64_t failed;
    struct torture_counts sum;
};

/* A failed assert of the store is a failed check of its run. */
static sigjmp_buf aborted;

static void on_abort(int number)
{
    (void)number;
    siglongjmp(aborted, 1);
}

static bool run(struct torture *torture, const struct torture_plan *plan,
                enum story_telling telling)
{
    if (sigsetjmp(aborted, 1))
        story_fail(&torture->story, "an assert failed");
    else
        torture_run(torture, plan, telling);
    story_print_tail(&torture->story);
    story_fini(&torture->story);
    return !story_failed(&torture->story);
}

static void add(struct torture_counts *sum, const struct torture_counts *counts)
{
    sum->transactions += counts->transactions;
    sum->openings += counts->openings;
    sum->cuts += counts->cuts;
    sum->deaths += counts->deaths;
    sum->found += counts->found;
    sum->lost += counts->lost;
    sum->rots += counts->rots;
    sum->refused += counts->refused;
    sum->exposed += counts->exposed;
    sum->operations += counts->operations;
}

static void explain(const struct session *session,
                    const struct torture *torture)
{
    const struct torture_plan *plan = &torture->plan;
    struct torture again;

    run(&again, plan, STORY_TAIL);
    printf("seed %" PRIu64 " failed: %s\n", plan->seed, torture->story.failure);
    printf("replay: %s --seed %" PRIu64 " --fault %s --at %" PRIu64
           " --theme %s --story\n",
           session->program, plan->seed, fault_names[plan->only], plan->at,
           theme_names[plan->theme]);
}

/* The same again, to the last operation. */
static bool replays(const struct torture *before)
{
    struct torture again;

    run(&again, &before->plan, STORY_SILENT);
    if (again.story.hash == before->story.hash)
        return true;
    printf("seed %" PRIu64 " does not replay\n", before->plan.seed);
    return false;
}

static bool run_plan(struct session *session, const struct torture_plan *plan,
                     struct torture *torture)
{
    bool passed = run(torture, plan, STORY_SILENT);

    if (session->verbose)
        printf("seed %" PRIu64 " %s at %" PRIu64 " hash %016" PRIx64 " %s\n",
               plan->seed, fault_names[plan->only], plan->at,
               torture->story.hash, passed ? "passed" : torture->story.failure);
    add(&session->sum, &torture->counts);
    if (!passed && session->failed < EXPLAINED_MAX)
        explain(session, torture);
    if (passed && plan->seed % REPLAYED_EVERY == 0)
        passed = replays(torture);
    session->passed += passed;
    session->failed += !passed;
    return passed;
}

/* One run, and every fault at every operation that it had. */
static void run_every_operation(struct session *session, uint64_t seed)
{
    struct torture torture;
    struct torture_plan plan = {.seed = seed, .only = DISK_CUT};
    uint64_t operations;

    if (!run_plan(session, &plan, &torture))
        return;
    operations = torture.counts.operations;
    for (int fault = DISK_WRITE_EIO; fault <= DISK_CUT; fault++)
        for (uint64_t at = 1; at <= operations; at++) {
            plan.only = (enum disk_fault)fault;
            plan.at = at;
            run_plan(session, &plan, &torture);
        }
}

/* The power goes while a start judges the log, marks and clears it; within
 * the first operations of a checkpoint, the second of which is past the mark's
 * sync. */
static void run_themes(struct session *session, uint64_t seed)
{
    static const struct {
        enum torture_theme theme;
        unsigned first;
        unsigned operations;
    } themes[] = {
        {TORTURE_RESTART, 3, 4},
        {TORTURE_CHECKPOINT, 2, 8},
        {TORTURE_TAIL, 1, 1},
    };
    struct torture torture;

    for (size_t i = 0; i < ARRAY_LEN(themes); i++) {
        const struct torture_plan plan = {
            .seed = seed,
            .only = DISK_CUT,
            .at = themes[i].first + seed % themes[i].operations,
            .theme = themes[i].theme,
        };

        run_plan(session, &plan, &torture);
    }
}

static void summarise(const struct session *session)
{
    const struct torture_counts *sum = &session->sum;

    printf("%" PRIu64 " disk operations, %" PRIu64 " transactions, %" PRIu64
           " openings, %" PRIu64 " power cuts, %" PRIu64
           " dead processes; under way then: %" PRIu64 " there, %" PRIu64
           " not; %" PRIu64 " bits rotted, %" PRIu64 " refused, %" PRIu64
           " taken for a crash\n",
           sum->operations, sum->transactions, sum->openings, sum->cuts,
           sum->deaths, sum->found, sum->lost, sum->rots, sum->refused,
           sum->exposed);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", session->passed,
           session->failed);
}

/* Where `name` stands in `names`, or -1. */
static int find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return (int)i;
    return -1;
}

static void run_all(struct session *session, const struct seeds *range)
{
    struct torture_plan plan = {0};
    struct torture torture;

    run_every_operation(session, range->from);
    for (size_t i = 0; i < ARRAY_LEN(regressions); i++) {
        plan.seed = regressions[i].seed;
        if (!run_plan(session, &plan, &torture))
            printf("it guards: %s\n", regressions[i].mend);
    }
    for (plan.seed = range->from; plan.seed <= range->to; plan.seed++) {
        run_plan(session, &plan, &torture);
        run_themes(session, plan.seed);
    }
}

static int run_one(const struct torture_plan *plan, bool story)
{
    struct torture torture;
    bool passed = run(&torture, plan, story ? STORY_ALL : STORY_SILENT);

    printf("seed %" PRIu64 " hash %016" PRIx64 ": %s\n", plan->seed,
           torture.story.hash, passed ? "passed" : torture.story.failure);
    printf("%d passed, %d failed\n", passed, !passed);
    return passed ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *seeds = "1-400";
    const char *fault = "none";
    const char *theme = "drawn";
    int only, played;
    struct torture_plan plan = {0};
    struct session session = {.program = argv[0]};
    bool story = false;
    bool help = false;
    struct seeds range;
    struct operands operands;
    struct error why;
    const struct option table[] = {
        {"seeds", OPTION_STRING, &seeds, "FROM-TO", "which seeds to run"},
        {"seed", OPTION_NUMBER, &plan.seed, "SEED", "run this one only"},
        {"fault", OPTION_STRING, &fault, "KIND",
         "one fault and no more: cut, write, sync, full"},
        {"at", OPTION_NUMBER, &plan.at, "N", "at the disk's Nth operation"},
        {"theme", OPTION_STRING, &theme, "NAME",
         "what is played: drawn; restart, checkpoint, tail, where the power "
         "cuts "
         "the Nth operation"},
        {"story", OPTION_FLAG, &story, NULL, "tell all that happens in it"},
        {"v|verbose", OPTION_FLAG, &session.verbose, NULL,
         "a line for every run"},
        {NULL, OPTION_FLAG, NULL, NULL, NULL},
    };

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0) {
        fprintf(stderr, "disk: %s\n", why.message);
        return 2;
    }
    if (help) {
        options_print(table, stdout);
        return 0;
    }
    only = find(fault_names, ARRAY_LEN(fault_names), fault);
    played = find(theme_names, ARRAY_LEN(theme_names), theme);
    if (!seeds_parse(seeds, &range) || only < 0 || played < 0) {
        fprintf(stderr, "disk: --seeds FROM-TO, --fault KIND, --theme NAME\n");
        return 2;
    }
    plan.only = (enum disk_fault)only;
    plan.theme = (enum torture_theme)played;
    /* Whole files come and go with each run: keep the memory. */
    mallopt(M_MMAP_THRESHOLD, 256 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    setvbuf(stdout, NULL, _IOLBF, 0); /* a failed assert keeps the story */
    signal(SIGABRT, on_abort);
    disk_register();
    if (plan.seed)
        return run_one(&plan, story);
    run_all(&session, &range);
    summarise(&session);
    return session.failed ? 1 : 0;
}
