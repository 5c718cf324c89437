#include "node/supervisor/container.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/quantity.h"
#include "node/supervisor/container_child.h"
#include "node/supervisor/process.h"
#include "node/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 60000,
    BACKOFF_RESET_MS = 600000, /* having run this long, it starts afresh */
    LOOK_FIRST_MS = 1,         /* are the killed processes gone? */
    LOOK_MAX_MS = 50,
    OUTPUT_CHUNK_BYTES = 16384,
};

_Static_assert((int)OUTPUT_CHUNK_BYTES <= (int)LOG_RECORD_MAX_BYTES,
               "one record holds it");

void container_init(struct container *container,
                    const Kontor__V1__Bundle *bundle, size_t index)
{
    *container = (struct container){
        .bundle = bundle,
        .spec = bundle->containers[index],
        .index = (uint8_t)index,
        .gate = -1,
        .report = -1,
        .streams = {-1, -1},
    };
    snprintf(container->cgroup, sizeof container->cgroup, "%s/c%zu",
             bundle->cgroup, index % 10);
}

/* ---- starting ------------------------------------------------------------ */

struct pipes {
    int gate[2]; /* -1: none is needed */
    int report[2];
    int streams[CONTAINER_STREAMS][2];
};

static void close_pipes(struct pipes *pipes)
{
    for (int end = 0; end < 2; end++) {
        fd_reset(&pipes->gate[end]);
        fd_reset(&pipes->report[end]);
        for (int i = 0; i < CONTAINER_STREAMS; i++)
            fd_reset(&pipes->streams[i][end]);
    }
}

/* The ends that are kpod's never block; the container's are as a program
 * expects them. */
static int open_pipe(int pipe[2], struct error *why)
{
    if (pipe2(pipe, O_CLOEXEC) != 0)
        return error_errno(why, "make a pipe");
    if (fcntl(pipe[0], F_SETFL, O_NONBLOCK) != 0)
        return error_errno(why, "make a pipe non-blocking");
    return 0;
}

static int open_pipes(struct pipes *pipes, bool gate, struct error *why)
{
    memset(pipes, -1, sizeof *pipes);
    if (gate && pipe2(pipes->gate, O_CLOEXEC) != 0)
        return error_errno(why, "make a pipe");
    if (open_pipe(pipes->report, why) != 0)
        return (int)why->code;
    for (int i = 0; i < CONTAINER_STREAMS; i++)
        if (open_pipe(pipes->streams[i], why) != 0)
            return (int)why->code;
    return 0;
}

static _Noreturn void run_child(const struct container *container, int init,
                                struct pipes *pipes)
{
    const struct container_child child = {
        .container = container->spec,
        .alone = container->bundle->n_containers == 1,
        .users = container->users,
        .root = {.pod_folder = container->pod_folder,
                 .users = container->users,
                 .layer_folder = container->layer_folder,
                 .container = container->spec->name,
                 .layers = container->spec->layers,
                 .layer_count = container->spec->n_layers,
                 .hostname = container->bundle->hostname,
                 .address = container->bundle->address,
                 .resolv_conf = container->bundle->resolv_conf,
                 .shm = -1,
                 .shm_bytes = container->bundle->shm_bytes,
                 .tmpfs = container->spec->tmpfs,
                 .tmpfs_count = container->spec->n_tmpfs,
                 .read_only = container->spec->read_only},
        .cgroup = container->cgroup,
        .init = init,
        .gate = pipes->gate[0],
        .joined = -1,
        .input = -1,
        .output = pipes->streams[0][1],
        .errors = pipes->streams[1][1],
        .report = pipes->report[1],
        .fail = start_report_fail,
        .filter = SUPERVISOR_FILTER_FD + container->index,
    };

    fd_reset(&pipes->gate[1]); /* or it would not see kpod die */
    container_child_run(&child);
}

/* One of the pod's limits may have killed it as well as one of its own: what
 * counts is whose process it was. */
static int make_group(const struct container *container, struct error *why)
{
    const Kontor__V1__Resources *asked = container->spec->limits;
    struct cgroup_limits limits = {0};

    if (cgroup_create(container->cgroup, NULL, why) != 0)
        return (int)why->code;
    if (!asked)
        return 0;
    limits.cpu_milli = asked->cpu_milli;
    limits.memory_bytes = asked->memory_bytes;
    return cgroup_limit(container->cgroup, &limits, why);
}

static int try_start(struct container *container, int init, bool ready,
                     struct error *why)
{
    struct pipes pipes;
    pid_t pid;

    if (open_pipes(&pipes, !ready, why) != 0 ||
        make_group(container, why) != 0 ||
        (pid = process_fork_in(init, why)) < 0) {
        close_pipes(&pipes);
        return (int)why->code;
    }
    if (pid == 0)
        run_child(container, init, &pipes);
    container->pid = pid;
    container->gate = fd_take(&pipes.gate[1]);
    container->report = fd_take(&pipes.report[0]);
    for (int i = 0; i < CONTAINER_STREAMS; i++)
        container->streams[i] = fd_take(&pipes.streams[i][0]);
    close_pipes(&pipes);
    return 0;
}

static void begin_ending(struct container *container)
{
    health_stop(&container->health);
    health_stop(&container->ready);
    container->state = CONTAINER_ENDING;
    container->finished_wall_ms = clock_wall_ms();
    container->delay_ms = LOOK_FIRST_MS;
    container->due_ms = 0;
}

void container_start(struct container *container, int init, bool ready)
{
    error_clear(&container->failure);
    container->unhealthy = false;
    container->finished_wall_ms = 0;
    container->started_wall_ms = clock_wall_ms();
    container->started_ms = clock_monotonic_ms();
    container->oom_before = cgroup_oom_kills(container->cgroup);
    container->state = CONTAINER_STARTING;
    if (try_start(container, init, ready, &container->failure) != 0) {
        /* For lack of something, not by the image's fault. */
        container->failure.code = ERROR_UNAVAILABLE;
        container->exit_code = EXIT_SETUP;
        begin_ending(container);
    }
}

void container_go_on(struct container *container)
{
    struct error ignored; /* one that is gone is reaped */

    if (container->gate >= 0)
        fd_write_all(container->gate, "", 1, &ignored);
    fd_reset(&container->gate);
}

void container_on_report(struct container *container)
{
    struct start_report report;
    ssize_t got = read(container->report, &report, sizeof report);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    fd_reset(&container->report);
    if (got == (ssize_t)sizeof report) {
        container->failure = report.why;
        container->failure.message[sizeof report.why.message - 1] = '\0';
    } else if (container->state == CONTAINER_STARTING) {
        container->state = CONTAINER_RUNNING;
        health_reset(&container->health, container->spec->health,
                     clock_monotonic_ms());
        health_reset(&container->ready, container->spec->ready,
                     clock_monotonic_ms());
    }
}

/* ---- output -------------------------------------------------------------- */

/* False when the pipe is empty: poll tells when it is not. */
static bool take_output(struct container *container, int stream)
{
    static char bytes[OUTPUT_CHUNK_BYTES];
    const struct log_source source = {
        .container = container->index,
        .run = (uint16_t)(container->bundle->restarts + container->restarts),
        .stream = stream == 0 ? LOG_STREAM_STDOUT : LOG_STREAM_STDERR,
    };
    ssize_t got = read(container->streams[stream], bytes, sizeof bytes);

    if (got > 0)
        log_file_append(container->log, source, bytes, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        fd_reset(&container->streams[stream]);
    return got > 0 || (got < 0 && errno == EINTR);
}

void container_on_output(struct container *container, int stream)
{
    take_output(container, stream);
}

static void take_all_output(struct container *container)
{
    for (int i = 0; i < CONTAINER_STREAMS; i++) {
        while (container->streams[i] >= 0 && take_output(container, i))
            continue;
        fd_reset(&container->streams[i]);
    }
}

/* ---- ending -------------------------------------------------------------- */

bool container_succeeded(const struct container *container)
{
    return !container->failure.code && container->exit_code == 0;
}

void container_on_exit(struct container *container, int wait_status)
{
    /* What it said before it died; the pipe holds it still. */
    if (container->report >= 0)
        container_on_report(container);
    fd_reset(&container->report);
    fd_reset(&container->gate);
    container->pid = 0;
    container->signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    container->exit_code =
        WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    container->oom_killed =
        container->exit_code != 0 &&
        cgroup_oom_kills(container->cgroup) > container->oom_before;
    begin_ending(container);
}

/* Will the next try end the same way? What the image lacks it will not get;
 * what the machine lacked, it may. */
static bool hopeless(const struct container *container)
{
    enum error_code code = container->failure.code;

    if (code == ERROR_OK)
        return false;
    return code == ERROR_NOT_FOUND || code == ERROR_INVALID_ARGUMENT ||
           code == ERROR_PERMISSION_DENIED || code == ERROR_UNIMPLEMENTED ||
           container->exit_code == EXIT_NOT_EXECUTABLE;
}

static Kontor__V1__RestartPolicy policy(const struct container *container)
{
    switch (container->spec->restart) {
    case KONTOR__V1__CONTAINER_RESTART__CONTAINER_RESTART_ALWAYS:
        return KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS;
    case KONTOR__V1__CONTAINER_RESTART__CONTAINER_RESTART_ON_FAILURE:
        return KONTOR__V1__RESTART_POLICY__RESTART_ON_FAILURE;
    case KONTOR__V1__CONTAINER_RESTART__CONTAINER_RESTART_NEVER:
        return KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
    case KONTOR__V1__CONTAINER_RESTART__CONTAINER_RESTART_AS_POD:
    case _KONTOR__V1__CONTAINER_RESTART_IS_INT_SIZE:
        break;
    }
    return container->bundle->restart;
}

/* An init container runs until it has succeeded. */
static bool runs_again(const struct container *container)
{
    if (hopeless(container))
        return false;
    switch (policy(container)) {
    case KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS:
        return !container->spec->init || !container_succeeded(container);
    case KONTOR__V1__RESTART_POLICY__RESTART_ON_FAILURE:
        return !container_succeeded(container);
    case KONTOR__V1__RESTART_POLICY__RESTART_NEVER:
    case _KONTOR__V1__RESTART_POLICY_IS_INT_SIZE:
        break;
    }
    return false;
}

static void begin_backoff(struct container *container, uint64_t now_ms)
{
    if (container->backoff_ms == 0 ||
        now_ms - container->started_ms >= BACKOFF_RESET_MS)
        container->backoff_ms = BACKOFF_FIRST_MS;
    else
        container->backoff_ms *= 2;
    if (container->backoff_ms > BACKOFF_MAX_MS)
        container->backoff_ms = BACKOFF_MAX_MS;
    container->delay_ms = container->backoff_ms;
    container->due_ms = now_ms + container->delay_ms;
    container->state = CONTAINER_BACKOFF;
}

/* Nothing of the last run may be left when the next begins: two mounts over
 * one writable layer spoil it. */
static void step_ending(struct container *container, bool stopped,
                        uint64_t now_ms)
{
    struct error ignored; /* that it is not empty says enough */

    if (!cgroup_empty(container->cgroup)) {
        cgroup_kill(container->cgroup, &ignored);
        container->due_ms = now_ms + container->delay_ms;
        if (container->delay_ms < LOOK_MAX_MS)
            container->delay_ms *= 2;
        return;
    }
    take_all_output(container);
    if (stopped || !runs_again(container))
        container->state = CONTAINER_ENDED;
    else
        begin_backoff(container, now_ms);
}

static void step_checks(struct container *container, uint64_t now_ms)
{
    health_step(&container->health, container, now_ms);
    health_step(&container->ready, container, now_ms);
    if (!health_lost(&container->health))
        return;
    health_stop(&container->health);
    health_stop(&container->ready);
    container->unhealthy = true; /* its end follows */
    kill(container->pid, SIGKILL);
}

bool container_on_answer(struct container *container, pid_t pid,
                         int wait_status)
{
    return health_on_exit(&container->health, container, pid, wait_status) ||
           health_on_exit(&container->ready, container, pid, wait_status);
}

bool container_ready(const struct container *container)
{
    return container->state == CONTAINER_RUNNING && container->health.passed &&
           container->ready.passed;
}

void container_step(struct container *container, bool stopped)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (container->state == CONTAINER_RUNNING && !container->unhealthy)
        step_checks(container, now_ms);
    if (container->state == CONTAINER_ENDING && now_ms >= container->due_ms)
        step_ending(container, stopped, now_ms);
    if (stopped && (container->state == CONTAINER_BACKOFF ||
                    container->state == CONTAINER_WAITING))
        container->state = CONTAINER_ENDED;
    if (container->state == CONTAINER_BACKOFF && now_ms >= container->due_ms) {
        container->restarts++;
        container->state = CONTAINER_WAITING;
    }
}

uint64_t container_due_ms(const struct container *container)
{
    if (container->state == CONTAINER_RUNNING)
        return container->health.due_ms < container->ready.due_ms
                   ? container->health.due_ms
                   : container->ready.due_ms;
    return container->state == CONTAINER_ENDING ||
                   container->state == CONTAINER_BACKOFF
               ? container->due_ms
               : UINT64_MAX;
}

void container_stop(struct container *container)
{
    int number = container->spec->stop_signal > 0
                     ? (int)container->spec->stop_signal
                     : SIGTERM;

    if (container->pid > 0)
        kill(container->pid,
             container->state == CONTAINER_RUNNING ? number : SIGKILL);
}

void container_describe(const struct container *container, char *text,
                        size_t size)
{
    const Kontor__V1__Resources *limits =
        container->spec->limits && container->spec->limits->memory_bytes
            ? container->spec->limits
            : container->bundle->resources;
    char limit[QUANTITY_TEXT_MAX] = "its limit";

    if (container->failure.code) {
        snprintf(text, size, "%s", container->failure.message);
    } else if (container->oom_killed) {
        if (limits && limits->memory_bytes)
            quantity_format_bytes(limit, limits->memory_bytes);
        snprintf(text, size, "out of memory: killed at %s", limit);
    } else if (container->unhealthy) {
        snprintf(text, size, "unhealthy: %u checks failed",
                 container->health.failures);
    } else if (container->signal) {
        snprintf(text, size, "killed by signal %d", container->signal);
    } else {
        snprintf(text, size, "exit code %d", container->exit_code);
    }
}

static Kontor__V1__ContainerState told_state(const struct container *container)
{
    switch (container->state) {
    case CONTAINER_WAITING:
        break;
    case CONTAINER_STARTING:
        return KONTOR__V1__CONTAINER_STATE__CONTAINER_STARTING;
    case CONTAINER_RUNNING:
    case CONTAINER_ENDING:
        return KONTOR__V1__CONTAINER_STATE__CONTAINER_RUNNING;
    case CONTAINER_BACKOFF:
        return KONTOR__V1__CONTAINER_STATE__CONTAINER_BACKOFF;
    case CONTAINER_ENDED:
        if (container->started_wall_ms == 0)
            break; /* it never ran */
        return container_succeeded(container)
                   ? KONTOR__V1__CONTAINER_STATE__CONTAINER_SUCCEEDED
                   : KONTOR__V1__CONTAINER_STATE__CONTAINER_FAILED;
    }
    return KONTOR__V1__CONTAINER_STATE__CONTAINER_WAITING;
}

void container_tell(const struct container *container,
                    Kontor__V1__ContainerStatus *status, char *reason,
                    size_t size)
{
    kontor__v1__container_status__init(status);
    status->name = container->spec->name;
    status->init = container->spec->init;
    status->state = told_state(container);
    status->reason = reason;
    reason[0] = '\0';
    if (!container_succeeded(container))
        container_describe(container, reason, size);
    for (char *at = reason; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    status->restarts = container->restarts;
    status->exit_code = container->exit_code;
    status->signal = container->signal;
    status->oom_killed = container->oom_killed;
    status->started_at_ms = container->started_wall_ms;
    status->finished_at_ms = container->finished_wall_ms;
    status->ready = container_ready(container);
}
