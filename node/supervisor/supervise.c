/* supervise.c - the loop: poll(2) over the pod's pipes, the socket and the
 * signals; then one step, which does whatever can be done now.
 *
 * The pod's pid 1 is started when a container needs it, and again should it
 * ever die, since all of the pod dies with it. The pod has ended when every
 * container is ENDED; then the whole cgroup is killed, pid 1 with it, and
 * when that is empty the last status is written. */
#include "node/supervisor/supervise.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "node/disk/disk.h"
#include "node/supervisor/bundle_file.h"
#include "node/supervisor/container.h"
#include "node/supervisor/container_root.h"
#include "node/supervisor/footprint.h"
#include "node/supervisor/pod_init.h"
#include "node/supervisor/report.h"
#include "node/supervisor/supervisor.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    GRACE_DEFAULT_MS = 10000,
    KILL_AGAIN_MS = 5, /* while the cgroup is not empty */
    /* A container has 3 descriptors; then signals, pid 1, listener. */
    WATCHES_MAX =
        3 * SUPERVISOR_CONTAINERS_MAX + REPORT_CLIENTS_MAX + EXECS_MAX + 3,
};

struct supervisor {
    Kontor__V1__Bundle *bundle;
    struct container *containers; /* bundle->n_containers */
    struct log_file log;
    struct report report;
    struct exec execs[EXECS_MAX];
    int signals; /* signalfd */

    pid_t init;      /* the pod's pid 1; 0: none */
    int init_fd;     /* its pidfd */
    int init_report; /* start_report comes here; -1: closed */
    bool init_ready;
    struct users users;
    char *init_folder;  /* owned; for its empty root */
    char *layer_folder; /* owned; the pod's own, or its disk's */

    bool stopping;
    uint64_t kill_ms;     /* stopping: when grace ends */
    bool killed;          /* it did */
    bool finishing;       /* every container is ENDED */
    uint64_t look_ms;     /* when to look and kill again */
    struct error failure; /* of the pod itself; code 0: none */
};

/* ---- status ---------------------------------------------------------------
 */

/* What the pod is in while no container is ENDING. */
static Kontor__V1__PodPhase find_phase(const struct supervisor *s)
{
    size_t running = 0;

    for (size_t i = 0; i < s->bundle->n_containers; i++) {
        if (s->containers[i].state == CONTAINER_BACKOFF)
            return KONTOR__V1__POD_PHASE__POD_BACKOFF;
        running += s->containers[i].state == CONTAINER_RUNNING &&
                   !s->containers[i].spec->init;
    }
    return running > 0 ? KONTOR__V1__POD_PHASE__POD_RUNNING
                       : KONTOR__V1__POD_PHASE__POD_STARTING;
}

/* The container that has most to say: one that failed, else the first that
 * is there to stay. */
static const struct container *speaker(const struct supervisor *s)
{
    size_t first = 0;

    for (size_t i = 0; i < s->bundle->n_containers; i++)
        if (!container_succeeded(&s->containers[i]))
            return &s->containers[i];
    while (first + 1 < s->bundle->n_containers &&
           s->containers[first].spec->init)
        first++;
    return &s->containers[first];
}

/* An init container that does not run again and has not succeeded: what it
 * prepares for must not begin. */
static bool init_failed(const struct supervisor *s)
{
    for (size_t i = 0; i < s->bundle->n_containers; i++)
        if (s->containers[i].spec->init &&
            s->containers[i].state == CONTAINER_ENDED &&
            !container_succeeded(&s->containers[i]))
            return true;
    return false;
}

static bool any_ending(const struct supervisor *s)
{
    for (size_t i = 0; i < s->bundle->n_containers; i++)
        if (s->containers[i].state == CONTAINER_ENDING)
            return true;
    return false;
}

/* Of one that is alone the pod's own status says it all. */
static void fill_containers(struct supervisor *s)
{
    Kontor__V1__PodStatus *status = &s->report.status;

    status->ready = !s->stopping;
    for (size_t i = 0; i < s->bundle->n_containers; i++) {
        struct report_container *told = &s->report.containers[i];

        container_tell(&s->containers[i], &told->status, told->reason,
                       sizeof told->reason);
        s->containers[i].told = s->containers[i].state;
        s->containers[i].told_ready = told->status.ready;
        status->ready &= told->status.init || told->status.ready;
        s->report.list[i] = &told->status;
    }
    status->containers = s->report.list;
    status->n_containers =
        s->bundle->n_containers > 1 ? s->bundle->n_containers : 0;
}

static void fill_status(struct supervisor *s)
{
    Kontor__V1__PodStatus *status = &s->report.status;
    const struct container *container = speaker(s);

    status->pid = s->init;
    status->exit_code = container->exit_code;
    status->signal = container->signal;
    status->oom_killed = container->oom_killed;
    status->started_at_ms = container->started_wall_ms;
    status->finished_at_ms = container->finished_wall_ms;
    status->restarts = s->bundle->restarts;
    for (size_t i = 0; i < s->bundle->n_containers; i++)
        status->restarts += s->containers[i].restarts;
    fill_containers(s);
}

/* "exit code 3", of several containers "web: exit code 3". */
static void describe(const struct supervisor *s, char *text, size_t size)
{
    const struct container *container = speaker(s);
    int used = 0;

    if (s->bundle->n_containers > 1)
        used = snprintf(text, size, "%s: ", container->spec->name);
    container_describe(container, text + used, size - (size_t)used);
}

/* A disk that takes no status must not stop the pod: who is connected hears
 * of it, and the next change tries again. */
static void tell(struct supervisor *s, Kontor__V1__PodPhase phase,
                 const char *reason)
{
    struct error ignored;

    fill_status(s);
    report_enter(&s->report, phase, "%s", reason);
    report_publish(&s->report, false, &ignored);
}

/* What the pod's phase does not say: of one of several, or readiness. */
static bool container_changed(const struct supervisor *s)
{
    for (size_t i = 0; i < s->bundle->n_containers; i++)
        if ((s->bundle->n_containers > 1 &&
             s->containers[i].told != s->containers[i].state) ||
            (!s->stopping &&
             s->containers[i].told_ready != container_ready(&s->containers[i])))
            return true;
    return false;
}

/* Publish what has changed, if it has. */
static void tell_changes(struct supervisor *s)
{
    Kontor__V1__PodPhase phase = find_phase(s);
    const struct container *container = speaker(s);
    char reason[ERROR_MESSAGE_MAX] = "";

    /* What follows is known when its end is complete. */
    if (any_ending(s) && !s->stopping)
        return;
    if (s->stopping)
        phase = KONTOR__V1__POD_PHASE__POD_STOPPING;
    if (phase == s->report.status.phase && !container_changed(s) &&
        (phase != KONTOR__V1__POD_PHASE__POD_RUNNING ||
         s->report.status.started_at_ms == container->started_wall_ms))
        return;
    if (phase == KONTOR__V1__POD_PHASE__POD_BACKOFF) {
        size_t used;

        describe(s, reason, sizeof reason);
        used = strlen(reason);
        snprintf(reason + used, sizeof reason - used, "; again in %u ms",
                 container->delay_ms);
    }
    tell(s, phase, reason);
    if (phase == KONTOR__V1__POD_PHASE__POD_RUNNING)
        footprint_shrink();
}

/* ---- pid 1 ----------------------------------------------------------------
 */

static void start_init(struct supervisor *s)
{
    const struct pod_init init = {
        .netns = SUPERVISOR_NETNS_FD,
        .users = &s->users,
        .cgroup = s->bundle->cgroup,
        .hostname = s->bundle->hostname,
        .empty_folder = s->init_folder,
        .shm_bytes = s->bundle->n_containers == 1 ? 0
                     : s->bundle->shm_bytes       ? s->bundle->shm_bytes
                                                  : CONTAINER_SHM_DEFAULT_BYTES,
    };

    s->init_ready = false;
    pod_init_start(&init, &s->init, &s->init_fd, &s->init_report, &s->failure);
}

static void on_init_report(struct supervisor *s)
{
    struct start_report report;
    ssize_t got = read(s->init_report, &report, sizeof report);

    if (got < 0 && errno == EINTR)
        return;
    fd_reset(&s->init_report);
    if (got != (ssize_t)sizeof report)
        error_set(&s->failure, ERROR_UNAVAILABLE,
                  "the pod's pid 1 died while it was started");
    else if (report.why.code)
        s->failure = report.why;
    else
        s->init_ready = true;
    for (size_t i = 0; s->init_ready && i < s->bundle->n_containers; i++)
        container_go_on(&s->containers[i]);
}

static void on_init_exit(struct supervisor *s)
{
    if (s->init_report >= 0)
        on_init_report(s);
    fd_reset(&s->init_report);
    fd_reset(&s->init_fd);
    s->init = 0;
    s->init_ready = false;
    s->look_ms = 0; /* finish() may be waiting for it */
}

/* ---- events ---------------------------------------------------------------
 */

static void stop(struct supervisor *s, uint32_t grace_ms)
{
    uint64_t kill_ms = clock_monotonic_ms() + grace_ms;

    if (!s->stopping || kill_ms < s->kill_ms)
        s->kill_ms = kill_ms;
    if (s->stopping)
        return;
    s->stopping = true;
    for (size_t i = 0; i < s->bundle->n_containers; i++)
        container_stop(&s->containers[i]);
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->init)
            on_init_exit(s);
        for (size_t i = 0; i < s->bundle->n_containers; i++)
            if (pid == s->containers[i].pid)
                container_on_exit(&s->containers[i], status);
            else if (container_on_answer(&s->containers[i], pid, status))
                break;
        for (int i = 0; i < EXECS_MAX; i++)
            if (exec_on_exit(&s->execs[i], pid, status))
                break;
    }
    footprint_shrink(); /* of what it took to start them */
}

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    uint32_t grace_ms = s->bundle->stop_grace_ms;

    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGTERM)
            stop(s, grace_ms ? grace_ms : GRACE_DEFAULT_MS);
    reap(s);
}

/* "" is the first that is there to stay. */
static struct container *find_container(const struct supervisor *s,
                                        const char *name)
{
    for (size_t i = 0; i < s->bundle->n_containers; i++)
        if (name[0] ? strcmp(s->containers[i].spec->name, name) == 0
                    : !s->containers[i].spec->init)
            return &s->containers[i];
    return NULL;
}

static void on_client(struct supervisor *s, int client)
{
    int fds[EXEC_DESCRIPTORS_MAX];
    Kontor__V1__SupervisorMessage *message =
        report_receive(&s->report, client, fds);

    if (!message)
        return;
    if (message->message_case == KONTOR__V1__SUPERVISOR_MESSAGE__MESSAGE_STOP)
        stop(s, message->stop->grace_ms);
    if (message->message_case == KONTOR__V1__SUPERVISOR_MESSAGE__MESSAGE_EXEC)
        exec_start(s->execs, find_container(s, message->exec->container),
                   message->exec, fds);
    for (int i = 0; i < EXEC_DESCRIPTORS_MAX; i++)
        fd_close(&fds[i]);
    kontor__v1__supervisor_message__free_unpacked(message, NULL);
}

/* ---- the loop -------------------------------------------------------------
 */

enum watch_kind {
    WATCH_INIT,
    WATCH_REPORT,
    WATCH_OUTPUT,
    WATCH_LISTENER,
    WATCH_CLIENT,
    WATCH_EXEC,
    WATCH_SIGNALS
};

struct watches {
    struct pollfd fds[WATCHES_MAX];
    struct {
        enum watch_kind kind;
        int index;
        int stream;
    } of[WATCHES_MAX];
    nfds_t count;
};

static void watch(struct watches *watches, int fd, enum watch_kind kind,
                  int index, int stream)
{
    nfds_t at = watches->count;

    if (fd < 0)
        return;
    watches->fds[at] = (struct pollfd){.fd = fd, .events = POLLIN};
    watches->of[at].kind = kind;
    watches->of[at].index = index;
    watches->of[at].stream = stream;
    watches->count++;
}

/* Signals come last: what a process said is taken before its death. */
static void watch_all(const struct supervisor *s, struct watches *watches)
{
    watches->count = 0;
    watch(watches, s->init_report, WATCH_INIT, 0, 0);
    for (int i = 0; i < (int)s->bundle->n_containers; i++) {
        watch(watches, s->containers[i].report, WATCH_REPORT, i, 0);
        for (int k = 0; k < CONTAINER_STREAMS; k++)
            watch(watches, s->containers[i].streams[k], WATCH_OUTPUT, i, k);
    }
    watch(watches, s->report.listener, WATCH_LISTENER, 0, 0);
    for (int i = 0; i < REPORT_CLIENTS_MAX; i++)
        watch(watches, s->report.clients[i], WATCH_CLIENT, i, 0);
    for (int i = 0; i < EXECS_MAX; i++)
        watch(watches, s->execs[i].socket, WATCH_EXEC, i, 0);
    watch(watches, s->signals, WATCH_SIGNALS, 0, 0);
}

static void dispatch(struct supervisor *s, const struct watches *watches,
                     nfds_t at)
{
    int index = watches->of[at].index;

    switch (watches->of[at].kind) {
    case WATCH_INIT:
        on_init_report(s);
        return;
    case WATCH_REPORT:
        container_on_report(&s->containers[index]);
        return;
    case WATCH_OUTPUT:
        container_on_output(&s->containers[index], watches->of[at].stream);
        return;
    case WATCH_LISTENER:
        report_accept(&s->report);
        return;
    case WATCH_CLIENT:
        on_client(s, index);
        return;
    case WATCH_EXEC:
        exec_on_socket(&s->execs[index]);
        return;
    case WATCH_SIGNALS:
        on_signal(s);
        return;
    }
}

static int timeout_ms(const struct supervisor *s)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t due_ms = UINT64_MAX;

    if (s->stopping)
        due_ms = s->kill_ms;
    if (s->finishing || s->failure.code)
        due_ms = s->look_ms;
    for (size_t i = 0; i < s->bundle->n_containers; i++) {
        uint64_t own_ms = container_due_ms(&s->containers[i]);

        due_ms = own_ms < due_ms ? own_ms : due_ms;
    }
    if (due_ms == UINT64_MAX)
        return -1;
    if (due_ms <= now_ms)
        return 0;
    return due_ms - now_ms < INT_MAX ? (int)(due_ms - now_ms) : INT_MAX;
}

static void wait_for_events(struct supervisor *s)
{
    struct watches watches;
    int ready;

    watch_all(s, &watches);
    ready = poll(watches.fds, watches.count, timeout_ms(s));
    for (nfds_t i = 0; ready > 0 && i < watches.count; i++)
        if (watches.fds[i].revents)
            dispatch(s, &watches, i);
}

/* ---- what can be done now -------------------------------------------------
 */

/* Init containers begin one after the other, the rest when they are done. */
static bool may_begin(const struct supervisor *s, size_t index)
{
    for (size_t i = 0; i < s->bundle->n_containers; i++)
        if (s->containers[i].spec->init &&
            s->containers[i].state != CONTAINER_ENDED && i != index &&
            (i < index || !s->containers[index].spec->init))
            return false;
    return true;
}

/* One that is alone is prepared while pid 1 is: it takes nothing from there
 * but namespaces. */
static void start_waiting(struct supervisor *s)
{
    bool alone = s->bundle->n_containers == 1;

    for (size_t i = 0; i < s->bundle->n_containers; i++) {
        if (s->containers[i].state != CONTAINER_WAITING || !may_begin(s, i))
            continue;
        if (s->init == 0 && !s->failure.code)
            start_init(s);
        if (s->init_ready || (alone && s->init > 0))
            container_start(&s->containers[i], s->init_fd, s->init_ready);
    }
}

/* Kill all that is left: with pid 1 goes, by the kernel's hand, everything
 * in the pod. True when there is nothing more. */
static bool finish(struct supervisor *s)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct error ignored; /* that it is not empty says enough */

    if (now_ms < s->look_ms)
        return false;
    if (s->init == 0 && cgroup_empty(s->bundle->cgroup))
        return true;
    if (s->look_ms > 0) /* not the first time: it may be frozen */
        cgroup_kill(s->bundle->cgroup, &ignored);
    if (s->init > 0)
        kill(s->init, SIGKILL);
    s->look_ms = now_ms + KILL_AGAIN_MS;
    return false;
}

/* True when the pod has ended. */
static bool step(struct supervisor *s)
{
    bool stopped = s->stopping || s->failure.code;
    size_t ended = 0;

    if (s->stopping && clock_monotonic_ms() >= s->kill_ms) {
        struct error ignored;

        cgroup_kill(s->bundle->cgroup, &ignored);
        s->killed = true;
        s->kill_ms = clock_monotonic_ms() + KILL_AGAIN_MS;
    }
    for (size_t i = 0; i < s->bundle->n_containers; i++)
        container_step(&s->containers[i], stopped);
    stopped |= init_failed(s);
    for (size_t i = 0; i < s->bundle->n_containers; i++) {
        container_step(&s->containers[i], stopped);
        ended += s->containers[i].state == CONTAINER_ENDED;
    }
    s->finishing = ended == s->bundle->n_containers;
    if (s->finishing || s->failure.code)
        return finish(s) && s->finishing;
    start_waiting(s);
    tell_changes(s);
    return false;
}

/* ---- beginning and end ----------------------------------------------------
 */

static void conclude(struct supervisor *s)
{
    Kontor__V1__PodPhase phase = KONTOR__V1__POD_PHASE__POD_SUCCEEDED;
    char reason[ERROR_MESSAGE_MAX] = "";

    fill_status(s);
    if (s->failure.code) {
        phase = KONTOR__V1__POD_PHASE__POD_FAILED;
        s->report.status.exit_code = EXIT_SETUP;
        snprintf(reason, sizeof reason, "%s", s->failure.message);
    } else if (!container_succeeded(speaker(s))) {
        phase = KONTOR__V1__POD_PHASE__POD_FAILED;
        describe(s, reason, sizeof reason);
    }
    if (s->stopping) {
        phase = KONTOR__V1__POD_PHASE__POD_STOPPED;
        snprintf(reason, sizeof reason, "%s",
                 s->killed ? "killed when its grace time was over" : "");
    }
    report_enter(&s->report, phase, "%s", reason);
}

static int open_signals(int *fd, struct error *why)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return error_errno(why, "block signals");
    *fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd < 0 ? error_errno(why, "open a signalfd") : 0;
}

/* The writable layers: on a disk of the pod's own when it asked for one. */
static int open_disk(struct supervisor *s, const char *folder,
                     struct error *why)
{
    const Kontor__V1__Bundle *bundle = s->bundle;
    const char *names[SUPERVISOR_CONTAINERS_MAX];

    if (!bundle->resources || bundle->resources->disk_bytes == 0) {
        s->layer_folder = memory_string(folder);
        return 0;
    }
    for (size_t i = 0; i < bundle->n_containers; i++)
        names[i] = bundle->containers[i]->name;
    s->layer_folder = memory_format("%s/%s", folder, DISK_FOLDER);
    return disk_mount(names, bundle->n_containers, bundle->first_id, why);
}

static int begin(struct supervisor *s, const char *folder, struct error *why)
{
    const Kontor__V1__Bundle *bundle;
    Kontor__V1__PodStatus *status = &s->report.status;

    if (bundle_file_read(&s->bundle, why) != 0)
        return (int)why->code;
    bundle = s->bundle;
    status->pod_id = bundle->pod_id;
    status->generation = bundle->generation;
    status->address = bundle->address;
    status->restarts = bundle->restarts;
    s->init_folder = memory_format("%s/root", folder);
    if (users_find(&s->users, SUPERVISOR_NETNS_FD, bundle->first_id, why) !=
            0 ||
        open_disk(s, folder, why) != 0)
        return (int)why->code;
    s->containers = memory_array(bundle->n_containers, sizeof *s->containers);
    for (size_t i = 0; i < bundle->n_containers; i++) {
        container_init(&s->containers[i], bundle, i);
        s->containers[i].users = &s->users;
        s->containers[i].pod_folder = folder;
        s->containers[i].layer_folder = s->layer_folder;
        s->containers[i].log = &s->log;
    }
    if (open_signals(&s->signals, why) != 0)
        return (int)why->code;
    return log_file_open(&s->log, bundle->containers[0]->log_limit_bytes, why);
}

int supervise(const char *folder, struct error *why)
{
    struct supervisor s = {.signals = -1,
                           .init_fd = -1,
                           .init_report = -1,
                           .log = {.fd = -1},
                           .users = {.fd = -1}};
    struct error ignored;
    int code;

    execs_init(s.execs);
    report_init(&s.report, SUPERVISOR_SOCKET_FD);
    code = begin(&s, folder, why);
    if (code == 0) {
        tell(&s, KONTOR__V1__POD_PHASE__POD_STARTING, "");
        while (!step(&s))
            wait_for_events(&s);
        conclude(&s);
        code = report_publish(&s.report, true, why);
    } else {
        s.report.status.exit_code = EXIT_SETUP;
        report_enter(&s.report, KONTOR__V1__POD_PHASE__POD_FAILED, "%s",
                     why->message);
        report_publish(&s.report, true, &ignored);
    }
    log_file_close(&s.log);
    fd_close(&s.signals);
    fd_close(&s.users.fd);
    free(s.containers);
    free(s.init_folder);
    free(s.layer_folder);
    if (s.bundle)
        kontor__v1__bundle__free_unpacked(s.bundle, NULL);
    return code;
}
