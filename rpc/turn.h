/* turn.h - work put off to the end of the loop's turn, and deadlines.
 *
 * What a function of the rpc layer may not do at once (run a callback from
 * inside a call, write each small piece to the socket) it posts here. Posted
 * tasks run in the same turn of the loop, before it sleeps: first the tasks
 * (callbacks), then the flushes (what they and everybody else produced). */
#pragma once

#include "base/list.h"
#include "rpc/deadline.h"

#include <uv.h>

/* Embedded in what has work to put off. Posting twice is posting once. */
struct task {
    struct list link;
    void (*run)(struct task *task);
};

static inline void task_init(struct task *task, void (*run)(struct task *))
{
    list_init(&task->link);
    task->run = run;
}

struct turn {
    uv_idle_t idle;   /* active while something is posted: no sleep */
    uv_timer_t timer; /* at the nearest deadline */
    struct list tasks;
    struct list flushes;
    struct deadlines deadlines;
    unsigned users; /* who still needs it: calls, connections, the owner */
    void (*unused)(struct turn *turn); /* the last user is gone */
    unsigned open_handles;
    void (*closed)(struct turn *turn);
};

/* With one user, the owner. */
void turn_init(struct turn *turn, uv_loop_t *loop,
               void (*unused)(struct turn *turn));

static inline void turn_use(struct turn *turn)
{
    turn->users++;
}
void turn_release(struct turn *turn);

/* From `unused` on. `closed` runs when the handles are gone. */
void turn_close(struct turn *turn, void (*closed)(struct turn *turn));

void turn_post(struct turn *turn, struct task *task);
void turn_post_flush(struct turn *turn, struct task *flush);

/* Run the tasks (not the flushes) now. Only from a callback of libuv. */
void turn_run_tasks(struct turn *turn);

/* The loop's idea of now, as uv_now(). */
uint64_t turn_now_ms(const struct turn *turn);

/* Run `deadline->expired` at that time; it is no longer set then. */
void turn_set_deadline(struct turn *turn, struct deadline *deadline,
                       uint64_t at_ms);
void turn_clear_deadline(struct turn *turn, struct deadline *deadline);
