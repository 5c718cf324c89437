#include "test/sim/stack/process.h"

#include "base/memory.h"
#include "test/sim/disk/disk.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/uv.h"
#include "test/sim/stack/world.h"

#include <assert.h>

/* A loop that does not come to rest in so many rounds never will. */
enum { ROUNDS_MAX = 2000 };

struct process *process_now;

struct process *process_new(struct host *host)
{
    struct process *process = memory_new(sizeof *process);

    process->host = host;
    process->tls.identity = host->identity;
    process->random.state = random_next(&world.random);
    process->turn_at_us = UINT64_MAX;
    process->time_ms = host_local_us(host) / 1000;
    list_init(&process->ends);
    list_init(&process->tasks);
    list_init(&process->inbox);
    list_init(&process->prepares);
    list_init(&process->checks);
    list_init(&process->closing);
    list_init(&process->under_way);
    list_append(&world.processes, &process->link);
    host->life = process;
    host->lives++;
    return process;
}

void process_free(struct process *process)
{
    list_remove(&process->link);
    deadlines_fini(&process->timers);
    free(process);
}

bool process_is_mute(const struct process *process)
{
    const struct disk *disk = process->host->disk;

    return process->dead || process->doomed || (disk && disk_is_off(disk));
}

struct process *process_of(const uv_loop_t *loop)
{
    return container_of(without_const(loop), struct process, loop);
}

/* ---- a turn ---- */

static void update_time(struct process *process)
{
    process->time_ms = host_local_us(process->host) / 1000;
}

static void run_timers(struct process *process)
{
    struct deadline *first;

    while ((first = deadlines_first(&process->timers)) &&
           first->at_ms <= process->time_ms) {
        deadlines_remove(&process->timers, first);
        first->expired(first);
    }
}

/* `list` becomes empty; returns what stood on it through `taken`. */
static void take_all(struct list *list, struct list *taken)
{
    list_init(taken);
    if (list_empty(list))
        return;
    *taken = *list;
    taken->next->prev = taken;
    taken->prev->next = taken;
    list_init(list);
}

/* What is posted meanwhile waits for the next round. */
static void run_tasks(struct process *process)
{
    struct list taken;

    take_all(&process->tasks, &taken);
    while (!list_empty(&taken)) {
        struct task *task = list_first(&taken, struct task, link);

        list_remove(&task->link);
        task->run(task);
    }
}

/* Which of the sockets that have something is read first is the kernel's
 * choice: one of them comes before all others. */
static void prefer_one(struct list *inbox)
{
    const void *source = NULL;
    struct list preferred;
    uint64_t chosen = world_between(0, 3);

    list_init(&preferred);
    list_for_each(link, next, inbox)
    {
        source = container_of(link, struct parcel, link)->source;
        if (chosen-- == 0)
            break;
    }
    list_for_each(link, next, inbox)
    {
        if (container_of(link, struct parcel, link)->source != source)
            continue;
        list_remove(link);
        list_append(&preferred, link);
    }
    while (!list_empty(&preferred)) {
        struct list *last = preferred.prev;

        list_remove(last);
        list_append(inbox->next, last);
    }
}

static void open_parcels(struct process *process)
{
    if (process->inbox.next != process->inbox.prev)
        prefer_one(&process->inbox);
    while (!list_empty(&process->inbox)) {
        struct parcel *parcel =
            list_first(&process->inbox, struct parcel, link);

        list_remove(&parcel->link);
        parcel->open(parcel);
    }
}

static bool is_restless(const struct process *process)
{
    const struct deadline *first = deadlines_first(&process->timers);

    return !list_empty(&process->tasks) || !list_empty(&process->inbox) ||
           !list_empty(&process->closing) ||
           (first && first->at_ms <= process->time_ms);
}

static void run_round(struct process *process)
{
    run_timers(process);
    run_tasks(process);
    uv_run_watchers(&process->prepares);
    open_parcels(process);
    uv_run_watchers(&process->checks);
    uv_run_closing(&process->closing);
}

static void plan_turn(struct process *process, uint64_t at_us);

static void run_turn(struct process *process)
{
    const struct deadline *first;
    unsigned rounds = 0;

    update_time(process);
    do
        run_round(process);
    while (is_restless(process) && !process->dead && ++rounds < ROUNDS_MAX);
    if (rounds == ROUNDS_MAX)
        FAIL("%s: its loop does not come to rest",
             process->host->identity.name);
    first = deadlines_first(&process->timers);
    if (first && !process->dead)
        plan_turn(process, host_world_us(process->host, first->at_ms * 1000));
}

/* What comes while a turn goes on waits for the next, and is then together. */
static void end_turn(struct process *process)
{
    process->stopped = process->lag_us > 0;
    if (world.traits.turn_us)
        process->lag_us += world_between(0, world.traits.turn_us);
    if (process->lag_us > 0)
        process->stalled_until_us = world.now_us + process->lag_us;
    process->lag_us = 0;
    if (process_is_mute(process))
        kmaster_die_soon(process);
}

static void on_turn(void *data, uint64_t number)
{
    struct process *process = data;

    if (process->dead || number != process->turn_number)
        return;
    process->turn_at_us = UINT64_MAX;
    if (process->stalled_until_us > world.now_us) {
        plan_turn(process, process->stalled_until_us);
        return;
    }
    process->turns++;
    story_mix(&world.story, world.now_us, process->host->position,
              process->turns, process->time_ms);
    process_now = process;
    process->in_turn = true;
    run_turn(process);
    process->in_turn = false;
    process_now = NULL;
    end_turn(process);
    check_turn(process->host);
}

static void plan_turn(struct process *process, uint64_t at_us)
{
    if (at_us < world.now_us)
        at_us = world.now_us;
    if (process->dead || at_us >= process->turn_at_us)
        return;
    process->turn_at_us = at_us;
    world_after(at_us - world.now_us, on_turn, process, ++process->turn_number);
}

void process_enter(struct process *process)
{
    assert(!process_now && !process->dead);
    process_now = process;
    update_time(process);
}

void process_leave(struct process *process)
{
    assert(process_now == process);
    process_now = NULL;
    process_wake(process);
}

void process_wake(struct process *process)
{
    if (process != process_now)
        plan_turn(process, world.now_us);
}

void process_post(struct process *process, struct task *task)
{
    if (!list_empty(&task->link))
        return;
    list_append(&process->tasks, &task->link);
    process_wake(process);
}

void process_deliver(struct process *process, struct parcel *parcel)
{
    list_append(&process->inbox, &parcel->link);
    process_wake(process);
}

void process_set_deadline(struct process *process, struct deadline *deadline,
                          uint64_t at_ms)
{
    deadlines_set(&process->timers, deadline, at_ms);
}

/* ---- death ---- */

void process_interrupt(struct process *process)
{
    enum { STOPPED_MAX_US = 1000000 };

    if (!process->in_turn || process->doomed || world.healed ||
        process->host->position >= MASTERS_MAX ||
        world.traits.interrupt_every == 0 ||
        random_below(&world.random, world.traits.interrupt_every) != 0)
        return;
    if (world_chance(50)) {
        process->lag_us += world_between(1, STOPPED_MAX_US);
        tell(process->host, "is stopped in the midst of a turn, for %u ms",
             (unsigned)(process->lag_us / 1000));
    } else {
        process->doomed = true;
        tell(process->host, "is killed in the midst of a turn");
    }
}

void process_kill(struct process *process)
{
    assert(!process->dead);
    process->dead = true;
    process->host->life = NULL;
}

static void lose_errands(struct process *process)
{
    while (!list_empty(&process->under_way)) {
        struct errand *errand =
            list_first(&process->under_way, struct errand, link);

        errand_cancel(errand);
        errand->run(errand, true);
    }
}

/* The dead do not wait: what their timers are set to comes at once. */
static void skip_waiting(struct process *process)
{
    const struct deadline *first = deadlines_first(&process->timers);

    if (first && !is_restless(process))
        process->time_ms = first->at_ms;
}

void process_drain(struct process *process, const bool *closed)
{
    struct process *kept = process_now;
    unsigned rounds = 0;

    process_now = process;
    do {
        lose_errands(process);
        run_round(process);
        if (closed && !*closed)
            skip_waiting(process);
    } while (((closed && !*closed) || is_restless(process) ||
              !list_empty(&process->under_way)) &&
             ++rounds < ROUNDS_MAX);
    process_now = kept;
    if (rounds == ROUNDS_MAX)
        FAIL("%s: does not close", process->host->identity.name);
}

/* ---- errands ---- */

static void open_errand(struct parcel *parcel)
{
    struct errand *errand = container_of(parcel, struct errand, parcel);

    list_remove(&errand->link);
    errand->run(errand, false);
}

/* The errand itself may be gone with its process: found by its number. */
static void on_errand(void *data, uint64_t number)
{
    struct process *process = data;

    list_for_each(link, next, &process->under_way)
    {
        struct errand *errand = container_of(link, struct errand, link);

        if (errand->number == number) {
            process_deliver(process, &errand->parcel);
            return;
        }
    }
}

void errand_start(struct errand *errand, struct process *process,
                  uint64_t delay_us, void (*run)(struct errand *, bool lost))
{
    static uint64_t number;

    errand->parcel.open = open_errand;
    errand->parcel.source = errand;
    list_init(&errand->parcel.link);
    errand->process = process;
    errand->run = run;
    errand->number = ++number;
    list_append(&process->under_way, &errand->link);
    if (!process->dead)
        world_after(delay_us + process->lag_us, on_errand, process,
                    errand->number);
}

void errand_cancel(struct errand *errand)
{
    list_remove(&errand->link);
    list_remove(&errand->parcel.link);
}
