/* process.h - one life of a simulated process, and its loop.
 *
 * A turn of the loop takes no virtual time, unless the seed has slow machines,
 * or the process is stopped in its midst (process_interrupt); or killed there.
 * It runs in libuv's order:
 * timers, what was put off (idle), prepare, what has arrived (poll), check,
 * closed handles; and again until nothing is left to do.
 *
 *   born --process_kill--> dead, what it owns is let go --> gone
 *
 * Invariants:
 * 1. Code of the product runs only between process_enter() and
 *    process_leave(), for the process that is `process_now`.
 * 2. Of a dead process nothing leaves: no frame, no byte to a disk. Its
 *    memory is given back by closing it as if it had been asked to.
 * 3. A process stays allocated until the run ends: the agenda points to it. */
#pragma once

#include "base/list.h"
#include "base/random.h"
#include "rpc/deadline.h"
#include "rpc/identity.h"
#include "rpc/turn.h"

struct host;

/* What rpc/tls.h hides: here a certificate is believed. */
struct tls_context {
    struct rpc_identity identity;
};

/* Something that arrived, to be opened in the poll phase of a turn. */
struct parcel {
    struct list link;
    const void *source; /* whose parcels stay in order */
    void (*open)(struct parcel *parcel);
};

struct process {
    struct list link; /* all lives of this run */
    struct host *host;
    struct tls_context tls;
    struct random random;  /* what its random_bytes() gives */
    struct server *server; /* that listens; NULL: none */
    struct list ends;      /* struct end: its connections */
    bool dead;
    bool doomed; /* killed in the midst of this turn: nothing leaves it */
    bool in_turn;
    uint64_t lag_us; /* it was stopped for so long in the midst of this turn */
    bool stopped;    /* in the midst of the turn that ended last */
    uint64_t stalled_until_us;

    uv_loop_t loop;   /* only its address is used */
    uint64_t time_ms; /* the loop's idea of now */
    struct deadlines timers;
    struct list tasks;    /* struct task */
    struct list inbox;    /* struct parcel */
    struct list prepares; /* struct watcher of uv.c, the newest first */
    struct list checks;
    struct list closing;   /* handles whose callback is due */
    struct list under_way; /* struct errand: what the disk is asked for */
    uint64_t turn_at_us;   /* when the next turn is; UINT64_MAX: not set */
    uint64_t turn_number;  /* of that; earlier ones on the agenda are stale */
    uint64_t turns;
};

/* Whose code runs; NULL: the world's. */
extern struct process *process_now;

/* Nothing that it does is seen any more: it is dead, or will be when this turn
 * is over, killed in its midst or by its disk. */
bool process_is_mute(const struct process *process);

struct process *process_new(struct host *host);
void process_free(struct process *process);

struct process *process_of(const uv_loop_t *loop);

/* Code that is called from outside a turn runs between these; the turn that
 * it makes necessary is put on the agenda. They do not nest. */
void process_enter(struct process *process);
void process_leave(struct process *process);

/* A turn is due now, or as soon as the process is not stalled. */
void process_wake(struct process *process);
void process_post(struct process *process, struct task *task);
void process_deliver(struct process *process, struct parcel *parcel);
void process_set_deadline(struct process *process, struct deadline *deadline,
                          uint64_t at_ms);

/* Now and then, in the midst of a master's turn: it is stopped for a while, or
 * killed. */
void process_interrupt(struct process *process);

/* Nothing it does counts any more. */
void process_kill(struct process *process);
/* Turn a dead process's loop until it rests and, if not NULL, `*closed`. */
void process_drain(struct process *process, const bool *closed);

/* ---- errands: what a thread, a child or the kernel does meanwhile ---- */

/* Embedded. `run` is called in the poll phase; for a dead process at once and
 * with `lost`: nothing may be done then, but the memory is to be freed. */
struct errand {
    struct parcel parcel;
    struct list link;
    struct process *process;
    uint64_t number;
    void (*run)(struct errand *errand, bool lost);
};

void errand_start(struct errand *errand, struct process *process,
                  uint64_t delay_us, void (*run)(struct errand *, bool lost));
/* It is not run. */
void errand_cancel(struct errand *errand);
