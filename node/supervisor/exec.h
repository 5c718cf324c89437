/* exec.h - programs that are started in a container beside its own.
 *
 * Each has a socket (SOCK_SEQPACKET) whose other end is knode's. On it comes,
 * as struct exec_note:
 *
 *   EXEC_TERMINAL  with the terminal's descriptor, if one was asked for
 *   EXEC_FAILED    it was not started: `exit_code` and `why`
 *   EXEC_ENDED     it has ended: `exit_code`, 128 + n for signal n
 *
 * and the socket's end. It takes signals, a struct exec_signal each. When the
 * other end is closed, the program and its process group are killed. */
#pragma once

#include "node/supervisor/container.h"

enum {
    EXECS_MAX = 16,
    EXEC_DESCRIPTORS_MAX = 4, /* socket, stdin, stdout, stderr */
};

enum exec_note_kind { EXEC_TERMINAL = 1, EXEC_FAILED, EXEC_ENDED };

struct exec_note {
    int32_t kind;
    int32_t exit_code;
    struct error why;
};

struct exec_signal {
    int32_t number;
};

struct exec {
    pid_t pid;  /* 0: none */
    int socket; /* -1: none, or closed by the other side */
};

void execs_init(struct exec execs[EXECS_MAX]);

/* Start what is asked for in `container`, which may be NULL: there is none of
 * that name. Takes the descriptors. What goes wrong is told on the socket. */
void exec_start(struct exec execs[EXECS_MAX], const struct container *container,
                const Kontor__V1__StartExec *asked,
                int fds[EXEC_DESCRIPTORS_MAX]);

/* In the child: tell why it is not started, and end. */
_Noreturn void exec_fail(int socket, int exit_code, const struct error *why);

/* The socket is readable. */
void exec_on_socket(struct exec *exec);

/* A child of ours was reaped: was it this one? */
bool exec_on_exit(struct exec *exec, pid_t pid, int wait_status);
