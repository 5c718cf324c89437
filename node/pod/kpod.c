#include "node/pod/kpod.h"

#include "base/memory.h"
#include "kontor/v1/bundle.pb-c.h"
#include "node/supervisor/exec.h"
#include "node/supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    KPOD_STATUS_MAX_BYTES = 8192,
    KPOD_STATUSES_PER_TURN = 16, /* then others have their turn */
    KPOD_STOP_MAX_BYTES = 32,
};

/* One descriptor in the loop; owns itself from kpod_watch on until libuv has
 * closed it, so that letting go never has to be waited for. */
struct kpod_watch {
    uv_poll_t poll;
    int fd;            /* owned */
    struct kpod *kpod; /* NULL once let go */
};

static void watch_on_closed(uv_handle_t *handle)
{
    struct kpod_watch *watch = container_of(handle, struct kpod_watch, poll);

    close(watch->fd);
    free(watch);
}

static void watch_close(struct kpod_watch **slot)
{
    struct kpod_watch *watch = *slot;

    if (!watch)
        return;
    *slot = NULL;
    watch->kpod = NULL;
    uv_close((uv_handle_t *)&watch->poll, watch_on_closed);
}

static struct kpod_watch *watch_open(struct kpod *kpod, int fd, uv_poll_cb cb)
{
    struct kpod_watch *watch;

    if (fd < 0)
        return NULL;
    watch = memory_new(sizeof *watch);
    watch->fd = fd;
    watch->kpod = kpod;
    uv_poll_init(kpod->loop, &watch->poll, fd);
    uv_poll_start(&watch->poll, UV_READABLE | UV_DISCONNECT, cb);
    return watch;
}

/* ---- the connection ------------------------------------------------------ */

/* One packet: > 0 its length, 0 the connection's end, -1 none is there. */
static ssize_t receive(const struct kpod *kpod, uint8_t *bytes)
{
    ssize_t length;

    do
        length = recv(kpod->connection->fd, bytes, KPOD_STATUS_MAX_BYTES,
                      MSG_DONTWAIT);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : 0;
    return length;
}

static void on_packet(struct kpod *kpod, const uint8_t *bytes, size_t length)
{
    Kontor__V1__PodStatus *status =
        kontor__v1__pod_status__unpack(NULL, length, bytes);

    /* What is cut or garbled is dropped: status.pb has the last word. */
    if (!status)
        return;
    kpod->told(kpod, status);
    kontor__v1__pod_status__free_unpacked(status, NULL);
}

static void kpod_on_readable(uv_poll_t *poll, int status, int events)
{
    struct kpod_watch *watch = container_of(poll, struct kpod_watch, poll);
    struct kpod *kpod = watch->kpod;

    (void)status;
    (void)events;
    for (int i = 0; i < KPOD_STATUSES_PER_TURN; i++) {
        uint8_t bytes[KPOD_STATUS_MAX_BYTES];
        ssize_t length = receive(kpod, bytes);

        if (length < 0)
            return;
        if (length == 0) {
            watch_close(&kpod->connection);
            kpod->lost(kpod);
            return;
        }
        on_packet(kpod, bytes, (size_t)length);
        if (kpod->connection != watch)
            return;
    }
}

/* ---- the child ----------------------------------------------------------- */

static void kpod_on_exit(uv_poll_t *poll, int status, int events)
{
    struct kpod_watch *watch = container_of(poll, struct kpod_watch, poll);
    struct kpod *kpod = watch->kpod;

    (void)status;
    (void)events;
    if (waitpid(kpod->pid, &kpod->wait_status, WNOHANG) == 0)
        return;
    watch_close(&kpod->child);
    if (!kpod->connection)
        kpod->lost(kpod);
}

/* ---- from above ---------------------------------------------------------- */

void kpod_init(struct kpod *kpod, uv_loop_t *loop)
{
    kpod->loop = loop;
    kpod->connection = NULL;
    kpod->child = NULL;
    kpod->pid = 0;
    kpod->wait_status = -1;
}

void kpod_connected(struct kpod *kpod, int socket, pid_t pid)
{
    if (!kpod->child) /* else it is known better */
        kpod->pid = pid;
    kpod->connection = watch_open(kpod, socket, kpod_on_readable);
}

void kpod_started(struct kpod *kpod, pid_t pid, int pidfd)
{
    kpod->pid = pid;
    kpod->wait_status = -1;
    kpod->child = watch_open(kpod, pidfd, kpod_on_exit);
}

void kpod_stop(struct kpod *kpod, uint32_t grace_ms)
{
    Kontor__V1__StopPodNow stop = KONTOR__V1__STOP_POD_NOW__INIT;
    Kontor__V1__SupervisorMessage message =
        KONTOR__V1__SUPERVISOR_MESSAGE__INIT;
    uint8_t bytes[KPOD_STOP_MAX_BYTES];
    size_t length;

    if (!kpod->connection)
        return;
    stop.grace_ms = grace_ms;
    message.message_case = KONTOR__V1__SUPERVISOR_MESSAGE__MESSAGE_STOP;
    message.stop = &stop;
    length = kontor__v1__supervisor_message__pack(&message, bytes);
    /* A peer that is gone is learned of by reading. */
    send(kpod->connection->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int send_with(int socket, const void *bytes, size_t length,
                     const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * EXEC_DESCRIPTORS_MAX)];
    } control = {{0}};
    struct iovec part = {without_const(bytes), length};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen =
                                 CMSG_SPACE(fd_count * sizeof *fds)};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(fd_count * sizeof *fds);
    memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof *fds);
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

int kpod_exec(struct kpod *kpod, const Kontor__V1__StartExec *asked,
              const int *fds, size_t fd_count, struct error *why)
{
    Kontor__V1__SupervisorMessage message =
        KONTOR__V1__SUPERVISOR_MESSAGE__INIT;
    CLEANUP(free_pointer) uint8_t *bytes = NULL;
    size_t length;

    assert(fd_count <= EXEC_DESCRIPTORS_MAX);
    if (!kpod->connection)
        return error_set(why, ERROR_UNAVAILABLE, "the pod does not run");
    message.message_case = KONTOR__V1__SUPERVISOR_MESSAGE__MESSAGE_EXEC;
    message.exec = without_const(asked);
    length = kontor__v1__supervisor_message__get_packed_size(&message);
    if (length > SUPERVISOR_MESSAGE_MAX_BYTES)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "the command and its environment have %zu bytes, at "
                         "most %d",
                         length, SUPERVISOR_MESSAGE_MAX_BYTES);
    bytes = memory_new(length);
    kontor__v1__supervisor_message__pack(&message, bytes);
    if (send_with(kpod->connection->fd, bytes, length, fds, fd_count) != 0)
        return error_errno(why, "ask the pod's supervisor");
    return 0;
}

void kpod_kill(struct kpod *kpod)
{
    if (kpod->pid > 0 && (kpod->connection || kpod->child))
        kill(kpod->pid, SIGKILL);
}

const char *kpod_cause(const struct kpod *kpod, char *text, size_t size)
{
    int status = kpod->wait_status;

    if (status == -1)
        snprintf(text, size, "unknown cause");
    else if (WIFSIGNALED(status))
        snprintf(text, size, "signal %d", WTERMSIG(status));
    else
        snprintf(text, size, "exit code %d", WEXITSTATUS(status));
    return text;
}

void kpod_let_go(struct kpod *kpod)
{
    watch_close(&kpod->connection);
    watch_close(&kpod->child);
}
