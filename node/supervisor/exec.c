#include "node/supervisor/exec.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/supervisor/container_child.h"
#include "node/supervisor/process.h"
#include "node/supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void execs_init(struct exec execs[EXECS_MAX])
{
    for (int i = 0; i < EXECS_MAX; i++)
        execs[i] = (struct exec){.socket = -1};
}

static void note(int socket, const struct exec_note *note)
{
    send(socket, note, sizeof *note, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool is_asked_for(const Kontor__V1__StartExec *asked,
                         const char *variable)
{
    size_t name = strcspn(variable, "=") + 1;

    for (size_t i = 0; i < asked->n_env; i++)
        if (strncmp(asked->env[i], variable, name) == 0)
            return true;
    return false;
}

static void merge_environment(Kontor__V1__BundleContainer *spec,
                              const Kontor__V1__BundleContainer *own,
                              const Kontor__V1__StartExec *asked)
{
    spec->env = memory_array(asked->n_env + own->n_env + 1, sizeof *spec->env);
    spec->n_env = 0;
    for (size_t i = 0; i < own->n_env; i++)
        if (!is_asked_for(asked, own->env[i]))
            spec->env[spec->n_env++] = own->env[i];
    for (size_t i = 0; i < asked->n_env; i++)
        spec->env[spec->n_env++] = asked->env[i];
}

/* In the child: the container's own description with what was asked over it.
 * Nothing of it is ever freed. */
static _Noreturn void run(const struct container *container,
                          const Kontor__V1__StartExec *asked, int joined,
                          const int fds[EXEC_DESCRIPTORS_MAX])
{
    const Kontor__V1__BundleContainer *own = container->spec;
    Kontor__V1__BundleContainer spec = *own;
    size_t first = asked->input ? 2 : 1; /* of stdout */
    struct container_child child = {
        .container = &spec,
        .users = container->users,
        .cgroup = container->cgroup,
        .init = -1,
        .gate = -1,
        .joined = joined,
        .input = asked->input ? fds[1] : -1,
        .output = fds[first],
        .errors = fds[first + 1],
        .terminal = asked->terminal,
        .size = {.ws_row = (unsigned short)asked->rows,
                 .ws_col = (unsigned short)asked->columns},
        .report = fds[0],
        .filter = SUPERVISOR_FILTER_FD + container->index,
        .fail = exec_fail,
    };

    spec.argv = asked->argv;
    spec.n_argv = asked->n_argv;
    if (asked->user[0])
        spec.user = asked->user;
    merge_environment(&spec, own, asked);
    container_child_run(&child);
}

static struct exec *find_free(struct exec execs[EXECS_MAX], struct error *why)
{
    for (int i = 0; i < EXECS_MAX; i++)
        if (execs[i].pid == 0 && execs[i].socket < 0)
            return &execs[i];
    error_set(why, ERROR_RESOURCE_EXHAUSTED,
              "%d programs are executed in the pod already", EXECS_MAX);
    return NULL;
}

static int start(struct exec *exec, const struct container *container,
                 const Kontor__V1__StartExec *asked,
                 int fds[EXEC_DESCRIPTORS_MAX], struct error *why)
{
    CLEANUP(fd_close) int joined = -1;
    pid_t pid;

    if (!container)
        return error_set(why, ERROR_NOT_FOUND, "there is no container %.64s",
                         asked->container);
    if (container->state != CONTAINER_RUNNING || container->pid <= 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "container %s does not run", container->spec->name);
    if (asked->n_argv == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "no program to run");
    /* Our own child, not yet waited for: the pid is its own. */
    joined = (int)syscall(SYS_pidfd_open, container->pid, 0);
    if (joined < 0)
        return error_errno(why, "open container %s", container->spec->name);
    pid = process_fork_in(joined, why);
    if (pid == 0)
        run(container, asked, joined, fds);
    if (pid < 0)
        return (int)why->code;
    exec->pid = pid;
    exec->socket = fd_take(&fds[0]);
    return 0;
}

void exec_start(struct exec execs[EXECS_MAX], const struct container *container,
                const Kontor__V1__StartExec *asked,
                int fds[EXEC_DESCRIPTORS_MAX])
{
    int expected = asked->terminal ? 1 : asked->input ? 4 : 3;
    struct exec_note failed = {.kind = EXEC_FAILED, .exit_code = EXIT_SETUP};
    struct exec *exec = find_free(execs, &failed.why);

    if (fds[expected - 1] < 0)
        error_set(&failed.why, ERROR_INVALID_ARGUMENT,
                  "%d descriptors must come with it", expected);
    else if (exec)
        start(exec, container, asked, fds, &failed.why);
    if (failed.why.code && fds[0] >= 0)
        note(fds[0], &failed);
    for (int i = 0; i < EXEC_DESCRIPTORS_MAX; i++)
        fd_reset(&fds[i]);
}

_Noreturn void exec_fail(int socket, int exit_code, const struct error *why)
{
    struct exec_note failed = {
        .kind = EXEC_FAILED, .exit_code = exit_code, .why = *why};

    note(socket, &failed);
    _exit(exit_code);
}

void exec_on_socket(struct exec *exec)
{
    struct exec_signal asked;
    ssize_t got = recv(exec->socket, &asked, sizeof asked, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got == (ssize_t)sizeof asked && exec->pid > 0 && asked.number > 0 &&
        asked.number < NSIG)
        kill(exec->pid, asked.number);
    if (got > 0)
        return;
    fd_reset(&exec->socket); /* nobody listens any more */
    if (exec->pid > 0) {
        kill(-exec->pid, SIGKILL); /* it leads its group, if it came so far */
        kill(exec->pid, SIGKILL);
    }
}

bool exec_on_exit(struct exec *exec, pid_t pid, int wait_status)
{
    struct exec_note ended = {.kind = EXEC_ENDED};

    if (exec->pid != pid)
        return false;
    exec->pid = 0;
    ended.exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status)
                                             : 128 + WTERMSIG(wait_status);
    if (exec->socket >= 0)
        note(exec->socket, &ended);
    fd_reset(&exec->socket);
    return true;
}
