#include "client/dev_process.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "client/dev_net.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STAT_MAX_BYTES = 4096, STAT_FIELD_STARTED = 22, KILL_WAIT_MS = 5000 };
enum { TEXTS_MAX_BYTES = 4 << 20 };

/* Field 22 of proc(5)'s stat; the command before it may hold anything. */
static bool start_of(pid_t pid, uint64_t *ticks)
{
    CLEANUP(free_pointer) char *path = memory_format("/proc/%d/stat", (int)pid);
    char text[STAT_MAX_BYTES];
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    char *at;

    if (length <= 0)
        return false;
    text[length] = '\0';
    at = strrchr(text, ')'); /* ends field 2 */
    for (int field = 2; at && field < STAT_FIELD_STARTED; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return false;
    *ticks = strtoull(at + 1, NULL, 10);
    return true;
}

/* A descriptor of the very process that was started, or -1. */
static int open_process(const struct dev_process *process)
{
    int fd = process->pid > 0 ? pidfd_open(process->pid, 0) : -1;
    uint64_t ticks;

    /* Once the descriptor is there the pid cannot be anyone else's. */
    if (fd >= 0 && start_of(process->pid, &ticks) &&
        ticks == process->started_ticks)
        return fd;
    fd_close(&fd);
    return -1;
}

/* Wait for the end of a process; true when it came. */
static bool await_end(int pidfd, uint64_t timeout_ms)
{
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;

    for (;;) {
        struct pollfd end = {.fd = pidfd, .events = POLLIN};
        uint64_t now = clock_monotonic_ms();
        int left = now < deadline_ms ? (int)(deadline_ms - now) : 0;
        int ready = poll(&end, 1, left);

        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

bool dev_alive(const struct dev_process *process)
{
    CLEANUP(fd_close) int fd = open_process(process);

    return fd >= 0 && !await_end(fd, 0);
}

/* Wait until `deadline_ms`, then kill. */
static int await_or_kill(int pidfd, const struct dev_process *process,
                         uint64_t deadline_ms, struct error *why)
{
    uint64_t now = clock_monotonic_ms();

    if (!await_end(pidfd, now < deadline_ms ? deadline_ms - now : 0)) {
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
        if (!await_end(pidfd, KILL_WAIT_MS))
            return error_set(why, ERROR_DEADLINE_EXCEEDED,
                             "%s (pid %d) does not end", process->name,
                             (int)process->pid);
    }
    waitpid(process->pid, NULL, WNOHANG); /* where it is our child */
    return 0;
}

int dev_stop(const struct dev_process *const *processes, unsigned count,
             uint64_t grace_ms, struct error *why)
{
    uint64_t deadline_ms = clock_monotonic_ms() + grace_ms;
    int *pidfds = memory_array(count, sizeof *pidfds);
    int code = 0;

    for (unsigned i = 0; i < count; i++) {
        pidfds[i] = open_process(processes[i]);
        if (pidfds[i] >= 0)
            pidfd_send_signal(pidfds[i], SIGTERM, NULL, 0);
    }
    for (unsigned i = 0; i < count; i++) {
        if (pidfds[i] >= 0 &&
            await_or_kill(pidfds[i], processes[i], deadline_ms, why) != 0)
            code = (int)why->code;
        fd_close(&pidfds[i]);
    }
    free(pidfds);
    return code;
}

/* Becomes the program; never returns. */
static void child(const struct dev_command *command, int gate)
{
    int log =
        open(command->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct error why;
    char go;

    if (log < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(127);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (gate >= 0 && read(gate, &go, 1) != 1)
        _exit(127); /* kctl ended before this was recorded */
    if (command->netns && dev_net_enter(command->netns, &why) != 0) {
        dprintf(STDERR_FILENO, "%s\n", why.message);
        _exit(127);
    }
    if (command->group && setgid(command->group) != 0)
        dprintf(STDERR_FILENO, "become group %u: %s\n",
                (unsigned)command->group, strerror(errno));
    else
        execve(command->argv[0], command->argv,
               command->environment ? command->environment : environ);
    dprintf(STDERR_FILENO, "run %s: %s\n", command->argv[0], strerror(errno));
    _exit(127);
}

int dev_start(struct dev *dev, struct dev_process *process,
              const struct dev_command *command, struct error *why)
{
    int gate[2];
    pid_t pid;
    int code = 0;

    if (pipe2(gate, O_CLOEXEC) != 0)
        return error_errno(why, "make a pipe");
    pid = fork();
    if (pid == 0) {
        close(gate[1]);
        child(command, gate[0]);
    }
    if (pid < 0)
        code = error_errno(why, "start %s", command->argv[0]);
    close(gate[0]);
    if (code == 0) {
        process->pid = pid;
        if (!start_of(pid, &process->started_ticks))
            code =
                error_set(why, ERROR_INTERNAL, "read /proc/%d/stat", (int)pid);
        else
            code = dev_save(dev, why);
    }
    if (code == 0 && write(gate[1], "", 1) != 1)
        code = error_errno(why, "start %s", command->argv[0]);
    close(gate[1]);
    return code;
}

int dev_spawn(const struct dev_command *command, pid_t *out, struct error *why)
{
    pid_t pid = fork();

    if (pid == 0)
        child(command, -1);
    if (pid < 0)
        return error_errno(why, "start %s", command->argv[0]);
    *out = pid;
    return 0;
}

int dev_await(pid_t pid, uint64_t timeout_ms, struct error *why)
{
    CLEANUP(fd_close) int fd = pidfd_open(pid, 0);
    int status = 0;

    if (fd < 0 || !await_end(fd, timeout_ms)) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return error_set(why, ERROR_DEADLINE_EXCEEDED, "took too long");
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        return error_set(why, ERROR_INTERNAL, "was ended by signal %d",
                         WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return error_set(why, ERROR_INTERNAL, "failed with exit code %d",
                         WEXITSTATUS(status));
    return 0;
}

int dev_signal(const struct dev_process *process, int signal, struct error *why)
{
    CLEANUP(fd_close) int fd = open_process(process);

    if (fd < 0)
        return error_set(why, ERROR_NOT_FOUND, "%s does not run",
                         process->name);
    if (pidfd_send_signal(fd, signal, NULL, 0) != 0)
        return error_errno(why, "send signal %d to %s", signal, process->name);
    if (signal == SIGKILL && !await_end(fd, KILL_WAIT_MS))
        return error_set(why, ERROR_DEADLINE_EXCEEDED,
                         "%s (pid %d) does not end", process->name,
                         (int)process->pid);
    if (signal == SIGKILL)
        waitpid(process->pid, NULL, WNOHANG); /* where it is our child */
    return 0;
}

/* The texts of /proc/PID/`file`, one behind the other. */
static int read_texts(char ***out, const struct dev_process *process,
                      const char *file, struct error *why)
{
    CLEANUP(free_pointer)
    char *path = memory_format("/proc/%d/%s", (int)process->pid, file);
    struct buffer bytes;
    char **texts = NULL;
    size_t count = 0;

    buffer_init(&bytes, TEXTS_MAX_BYTES);
    if (file_read(AT_FDCWD, path, &bytes, why) != 0) {
        buffer_fini(&bytes);
        return (int)why->code;
    }
    while (buffer_length(&bytes) > 0) {
        const char *text = (const char *)buffer_data(&bytes);
        size_t length = strnlen(text, buffer_length(&bytes));

        texts = memory_resize(texts, (count + 2) * sizeof *texts);
        texts[count++] = memory_format("%.*s", (int)length, text);
        buffer_consume(&bytes, length + (length < buffer_length(&bytes)));
    }
    buffer_fini(&bytes);
    if (!texts)
        texts = memory_new(sizeof *texts);
    texts[count] = NULL;
    *out = texts;
    return 0;
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++)
        free(texts[i]);
    free(texts);
}

int dev_words_read(struct dev_words *out, const struct dev_process *process,
                   struct error *why)
{
    CLEANUP(fd_close) int fd = open_process(process);
    struct dev_words words = {0};

    if (fd < 0)
        return error_set(why, ERROR_NOT_FOUND, "%s does not run",
                         process->name);
    if (read_texts(&words.argv, process, "cmdline", why) != 0 ||
        read_texts(&words.environment, process, "environ", why) != 0) {
        dev_words_fini(&words);
        return (int)why->code;
    }
    *out = words;
    return 0;
}

void dev_words_fini(struct dev_words *words)
{
    free_texts(words->argv);
    free_texts(words->environment);
    *words = (struct dev_words){0};
}

int dev_program(char **out, const char *name, struct error *why)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *path;
    char *slash;

    if (length < 0)
        return error_errno(why, "read /proc/self/exe");
    self[length] = '\0';
    slash = strrchr(self, '/');
    path =
        memory_format("%.*s/%s", (int)(slash ? slash - self : 0), self, name);
    if (access(path, X_OK) != 0) {
        error_set(why, ERROR_INTERNAL,
                  "%s is not there; it belongs beside kctl", path);
        free(path);
        return (int)why->code;
    }
    *out = path;
    return 0;
}
