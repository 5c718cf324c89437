#include "node/supervisor/health.h"

#include "base/clock.h"
#include "base/fd.h"
#include "node/supervisor/container.h"
#include "node/supervisor/exec.h"
#include "node/supervisor/privileges.h"
#include "node/supervisor/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    INTERVAL_DEFAULT_MS = 10000,
    TIMEOUT_DEFAULT_MS = 5000,
    RETRIES_DEFAULT = 3,
    REQUEST_MAX_BYTES = 512,
};

static uint32_t or_else(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

void health_reset(struct health *health, const Kontor__V1__HealthCheck *check,
                  uint64_t now_ms)
{
    *health = (struct health){.check = check,
                              .due_ms = check ? now_ms : UINT64_MAX,
                              .passed = !check};
}

/* ---- asking, in a process of its own --------------------------------------
 */

static int dial(uint32_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        _exit(1);
    return fd;
}

/* Only the first line of the answer matters: "HTTP/1.1 204 ...". */
static void get(const Kontor__V1__HealthCheck *check, int fd)
{
    char text[REQUEST_MAX_BYTES];
    struct error ignored;
    int code = 0;
    int length = snprintf(text, sizeof text,
                          "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n",
                          check->http_path[0] ? check->http_path : "/");

    if (length < 0 || (size_t)length >= sizeof text ||
        fd_write_all(fd, text, (size_t)length, &ignored) != 0 ||
        fd_read_exact(fd, text, strlen("HTTP/1.1 200"), &ignored) != 0)
        _exit(1);
    text[strlen("HTTP/1.1 200")] = '\0';
    if (strncmp(text, "HTTP/1.", 7) == 0)
        code = atoi(text + strlen("HTTP/1.1 "));
    _exit(code >= 200 && code < 400 ? 0 : 1);
}

static _Noreturn void ask(const struct health *health, int joined)
{
    struct error ignored;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    process_rename("kpod-health");
    if (setns(joined, CLONE_NEWNET) != 0)
        _exit(1);
    close_range(0, ~0u, 0);
    if (privileges_drop_all(&ignored) != 0)
        _exit(1);
    if (health->check->http_port)
        get(health->check, dial(health->check->http_port));
    dial(health->check->tcp_port);
    _exit(0);
}

/* As an exec whose streams are /dev/null and whose socket is nobody's. */
static pid_t run_command(const struct health *health,
                         const struct container *container)
{
    Kontor__V1__StartExec asked = KONTOR__V1__START_EXEC__INIT;
    struct exec execs[EXECS_MAX];
    int fds[EXEC_DESCRIPTORS_MAX] = {-1, -1, -1, -1};

    execs_init(execs);
    for (int i = 0; i < 3; i++)
        fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    asked.argv = health->check->command;
    asked.n_argv = health->check->n_command;
    exec_start(execs, container, &asked, fds);
    fd_reset(&execs[0].socket);
    return execs[0].pid;
}

static pid_t begin(const struct health *health,
                   const struct container *container)
{
    CLEANUP(fd_close) int joined = -1;
    pid_t pid;

    if (health->check->n_command > 0)
        return run_command(health, container);
    joined = (int)syscall(SYS_pidfd_open, container->pid, 0);
    pid = process_fork(0, NULL);
    if (pid == 0)
        ask(health, joined);
    return pid > 0 ? pid : 0;
}

/* ---- the answer ------------------------------------------------------------
 */

static void take(struct health *health, const struct container *container,
                 bool passed)
{
    uint64_t now_ms = clock_monotonic_ms();
    bool counts =
        now_ms - container->started_ms >= health->check->start_period_ms;

    health->passed = passed;
    if (passed)
        health->failures = 0;
    else
        health->failures += counts;
    health->due_ms =
        now_ms + or_else(health->check->interval_ms, INTERVAL_DEFAULT_MS);
}

bool health_on_exit(struct health *health, const struct container *container,
                    pid_t pid, int wait_status)
{
    if (health->pid != pid)
        return false;
    health->pid = 0;
    take(health, container,
         WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
    return true;
}

bool health_lost(const struct health *health)
{
    return health->check &&
           health->failures >= or_else(health->check->retries, RETRIES_DEFAULT);
}

void health_stop(struct health *health)
{
    if (health->pid > 0)
        kill(health->pid, SIGKILL); /* its end is its answer */
    health->due_ms = UINT64_MAX;
}

void health_step(struct health *health, const struct container *container,
                 uint64_t now_ms)
{
    if (now_ms < health->due_ms)
        return;
    if (health->pid > 0) {
        health_stop(health);
        return;
    }
    health->pid = begin(health, container);
    health->due_ms =
        now_ms + or_else(health->check->timeout_ms, TIMEOUT_DEFAULT_MS);
    if (health->pid == 0)
        take(health, container, false);
}
