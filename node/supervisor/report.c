#include "node/supervisor/report.h"

#include "base/fd.h"
#include "node/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* The reasons are the long fields. */
    STATUS_MAX_BYTES = 2048 + 384 * SUPERVISOR_CONTAINERS_MAX,
    MESSAGE_MAX_BYTES = SUPERVISOR_MESSAGE_MAX_BYTES,
};

void report_init(struct report *report, int listener)
{
    kontor__v1__pod_status__init(&report->status);
    report->reason[0] = '\0';
    report->status.reason = report->reason;
    report->listener = listener;
    for (int i = 0; i < REPORT_CLIENTS_MAX; i++)
        report->clients[i] = -1;
}

void report_enter(struct report *report, Kontor__V1__PodPhase phase,
                  const char *format, ...)
{
    va_list args;

    report->status.phase = phase;
    va_start(args, format);
    vsnprintf(report->reason, sizeof report->reason, format, args);
    va_end(args);
    /* Names from an image may hold anything; a protobuf string may not. */
    for (char *at = report->reason; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

static size_t pack(const struct report *report, uint8_t out[STATUS_MAX_BYTES])
{
    if (kontor__v1__pod_status__get_packed_size(&report->status) >
        STATUS_MAX_BYTES)
        return 0;
    return kontor__v1__pod_status__pack(&report->status, out);
}

static void send_to(struct report *report, int client, const uint8_t *bytes,
                    size_t length)
{
    int *fd = &report->clients[client];

    if (send(*fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        fd_reset(fd);
}

/* Over the status that is there, whose room on the disk it takes: less safe
 * than replacing it, should the machine stop at this moment. */
static int overwrite(const uint8_t *bytes, size_t length, bool durable,
                     struct error *why)
{
    CLEANUP(fd_close) int fd = open(SUPERVISOR_STATUS, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || pwrite(fd, bytes, length, 0) != (ssize_t)length ||
        ftruncate(fd, (off_t)length) != 0 || (durable && fsync(fd) != 0))
        return error_errno(why, "write over %s", SUPERVISOR_STATUS);
    return 0;
}

static int save(const uint8_t *bytes, size_t length, bool durable,
                struct error *why)
{
    int code = durable ? file_replace(AT_FDCWD, SUPERVISOR_STATUS, bytes,
                                      length, 0640, why)
                       : file_exchange(AT_FDCWD, SUPERVISOR_STATUS, bytes,
                                       length, 0640, why);

    return code == ERROR_RESOURCE_EXHAUSTED
               ? overwrite(bytes, length, durable, why)
               : code;
}

int report_publish(struct report *report, bool durable, struct error *why)
{
    uint8_t bytes[STATUS_MAX_BYTES];
    size_t length = pack(report, bytes);
    int code;

    if (length == 0)
        return error_set(why, ERROR_OUT_OF_RANGE, "the status is too long");
    code = save(bytes, length, durable, why);
    for (int i = 0; i < REPORT_CLIENTS_MAX; i++)
        if (report->clients[i] >= 0)
            send_to(report, i, bytes, length);
    return code;
}

void report_accept(struct report *report)
{
    uint8_t bytes[STATUS_MAX_BYTES];
    size_t length = pack(report, bytes);
    int fd = accept4(report->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    for (int i = 0; i < REPORT_CLIENTS_MAX; i++)
        if (report->clients[i] < 0) {
            report->clients[i] = fd;
            send_to(report, i, bytes, length);
            return;
        }
    close(fd);
}

/* One packet; as recv(2). */
static ssize_t take_packet(int socket, uint8_t *bytes,
                           int fds[EXEC_DESCRIPTORS_MAX])
{
    struct iovec part = {bytes, MESSAGE_MAX_BYTES};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * EXEC_DESCRIPTORS_MAX)];
    } control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    memset(fds, -1, EXEC_DESCRIPTORS_MAX * sizeof *fds);
    if (got >= 0 && header && header->cmsg_level == SOL_SOCKET &&
        header->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    return got;
}

Kontor__V1__SupervisorMessage *report_receive(struct report *report, int client,
                                              int fds[EXEC_DESCRIPTORS_MAX])
{
    static uint8_t bytes[MESSAGE_MAX_BYTES]; /* touched as far as it is used */
    ssize_t length = take_packet(report->clients[client], bytes, fds);

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return NULL;
    if (length <= 0) {
        fd_reset(&report->clients[client]);
        return NULL;
    }
    return kontor__v1__supervisor_message__unpack(NULL, (size_t)length, bytes);
}
