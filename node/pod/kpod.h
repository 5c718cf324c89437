/* kpod.h - knode's end of a pod's supervisor: its socket and its death.
 *
 * Two things are watched: the connection to kpod.sock, whose end comes first
 * when a kpod ends, and, for a kpod that was started in this life of knode,
 * the process, which must be waited for. A kpod of an earlier life belongs
 * to init. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"

#include <stdbool.h>
#include <uv.h>

struct kpod_watch;

struct kpod {
    uv_loop_t *loop;
    /* Borrowed. Either callback may call kpod_let_go(). */
    void (*told)(struct kpod *kpod, const Kontor__V1__PodStatus *status);
    /* The connection ended; or, when there is none, our child did. */
    void (*lost)(struct kpod *kpod);
    struct kpod_watch *connection; /* NULL: not connected */
    struct kpod_watch *child;      /* NULL: none of ours, or waited for */
    pid_t pid;                     /* 0: not known */
    int wait_status;               /* as waitpid(2); -1: not known */
};

void kpod_init(struct kpod *kpod, uv_loop_t *loop);

/* Begin to watch a connection to `pid` (0: not known); takes `socket`. */
void kpod_connected(struct kpod *kpod, int socket, pid_t pid);

/* Begin to watch our child; takes `pidfd`. */
void kpod_started(struct kpod *kpod, pid_t pid, int pidfd);

/* Ask it to stop. Without a connection nothing happens. */
void kpod_stop(struct kpod *kpod, uint32_t grace_ms);

/* Ask it to start a program, with these descriptors; they stay the caller's.
 * UNAVAILABLE: it is not connected, or does not read. */
int kpod_exec(struct kpod *kpod, const Kontor__V1__StartExec *asked,
              const int *fds, size_t fd_count, struct error *why);

/* SIGKILL, for one that does not stop when asked; only while it is watched,
 * when its pid is surely still its own. */
void kpod_kill(struct kpod *kpod);

/* "signal 9", "exit code 2", "unknown cause": written into `text`. */
const char *kpod_cause(const struct kpod *kpod, char *text, size_t size);

/* Stop watching. A child of ours that still lives is left to init once
 * knode ends. */
void kpod_let_go(struct kpod *kpod);
