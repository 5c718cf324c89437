/* dev_process.h - processes that outlive kctl and are found again. */
#pragma once

#include "client/dev.h"

struct dev_command {
    char *const *argv;        /* argv[0] is a path */
    char *const *environment; /* NULL: ours */
    const char *log;          /* file that stdout and stderr are appended to */
    const char *netns;        /* name of a network namespace, or NULL */
    gid_t group;              /* 0: ours */
};

/* Start `command` and record it: `process` is filled and dev_save() done
 * before the program runs; when that fails, it never does. */
int dev_start(struct dev *dev, struct dev_process *process,
              const struct dev_command *command, struct error *why);

/* Start `command`, unrecorded: it ends by itself, and dev_await() sees to
 * that. */
int dev_spawn(const struct dev_command *command, pid_t *out, struct error *why);

/* Wait for the end of a child, for at most `timeout_ms`; it is reaped in any
 * case. INTERNAL tells the exit code; DEADLINE_EXCEEDED: it was killed. */
int dev_await(pid_t pid, uint64_t timeout_ms, struct error *why);

bool dev_alive(const struct dev_process *process);

/* SIGTERM to each, then SIGKILL to those that are there after `grace_ms`;
 * waits for the ends. One that is gone already is success. */
int dev_stop(const struct dev_process *const *processes, unsigned count,
             uint64_t grace_ms, struct error *why);

/* Send `signal` to the very process. NOT_FOUND: it is gone. */
int dev_signal(const struct dev_process *process, int signal,
               struct error *why);

/* With what a process was started (proc(5)). */
struct dev_words {
    char **argv; /* owned, like the texts; ends with NULL */
    char **environment;
};

/* NOT_FOUND: the process is gone. */
int dev_words_read(struct dev_words *out, const struct dev_process *process,
                   struct error *why);
void dev_words_fini(struct dev_words *words);

/* "BINARY" beside this program; the caller frees it. INTERNAL: it is not
 * there. */
int dev_program(char **out, const char *name, struct error *why);
