#include "rpc/turn.h"

#include <assert.h>

/* Run what stands on a list now; what is posted meanwhile waits. */
static void run_pass(struct list *head)
{
    struct list batch;

    if (list_empty(head))
        return;
    batch = *head; /* take the whole list over */
    batch.next->prev = &batch;
    batch.prev->next = &batch;
    list_init(head);
    while (!list_empty(&batch)) {
        struct task *task = list_first(&batch, struct task, link);

        list_remove(&task->link);
        task->run(task);
    }
}

/* A pass a turn: tasks that post tasks without end starve nobody. */
static void on_idle(uv_idle_t *idle)
{
    struct turn *turn = container_of(idle, struct turn, idle);

    run_pass(&turn->tasks);
    run_pass(&turn->flushes);
    if (list_empty(&turn->tasks) && list_empty(&turn->flushes))
        uv_idle_stop(&turn->idle);
}

void turn_run_tasks(struct turn *turn)
{
    run_pass(&turn->tasks);
}

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct turn *turn)
{
    const struct deadline *first = deadlines_first(&turn->deadlines);
    uint64_t now_ms = turn_now_ms(turn);

    if (first)
        uv_timer_start(&turn->timer, on_timer,
                       first->at_ms > now_ms ? first->at_ms - now_ms : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct turn *turn = container_of(timer, struct turn, timer);
    uint64_t now_ms = turn_now_ms(turn);
    struct deadline *first;

    while ((first = deadlines_first(&turn->deadlines)) &&
           first->at_ms <= now_ms) {
        deadlines_remove(&turn->deadlines, first);
        first->expired(first);
    }
    arm_timer(turn);
}

void turn_init(struct turn *turn, uv_loop_t *loop,
               void (*unused)(struct turn *turn))
{
    *turn = (struct turn){.users = 1, .unused = unused, .open_handles = 2};
    uv_idle_init(loop, &turn->idle);
    uv_timer_init(loop, &turn->timer);
    list_init(&turn->tasks);
    list_init(&turn->flushes);
}

void turn_release(struct turn *turn)
{
    assert(turn->users > 0);
    if (--turn->users == 0)
        turn->unused(turn);
}

static void handle_closed(struct turn *turn)
{
    if (--turn->open_handles > 0)
        return;
    deadlines_fini(&turn->deadlines);
    turn->closed(turn);
}

static void on_idle_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_idle_t *)(void *)handle, struct turn, idle));
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(
        container_of((uv_timer_t *)(void *)handle, struct turn, timer));
}

void turn_close(struct turn *turn, void (*closed)(struct turn *turn))
{
    assert(turn->users == 0);
    turn->closed = closed;
    uv_close((uv_handle_t *)&turn->idle, on_idle_closed);
    uv_close((uv_handle_t *)&turn->timer, on_timer_closed);
}

static void post(struct turn *turn, struct list *head, struct task *task)
{
    if (!list_empty(&task->link))
        return;
    list_append(head, &task->link);
    uv_idle_start(&turn->idle, on_idle);
}

void turn_post(struct turn *turn, struct task *task)
{
    post(turn, &turn->tasks, task);
}

void turn_post_flush(struct turn *turn, struct task *flush)
{
    post(turn, &turn->flushes, flush);
}

uint64_t turn_now_ms(const struct turn *turn)
{
    return uv_now(turn->idle.loop);
}

void turn_set_deadline(struct turn *turn, struct deadline *deadline,
                       uint64_t at_ms)
{
    deadlines_set(&turn->deadlines, deadline, at_ms);
    if (deadlines_first(&turn->deadlines) == deadline)
        arm_timer(turn);
}

void turn_clear_deadline(struct turn *turn, struct deadline *deadline)
{
    deadlines_remove(&turn->deadlines, deadline);
    if (!deadlines_first(&turn->deadlines))
        uv_timer_stop(&turn->timer);
}
