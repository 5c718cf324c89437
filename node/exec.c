/* exec.c - one Exec call:
 *
 *   START (its first message) -> RUN -> DRAIN (it has ended) -> OVER
 *
 * Three descriptors of ours, each watched by its own uv_poll: the program's
 * socket (node/supervisor/exec.h), where its end is told; its output; its
 * errors. With a terminal there are the socket and the terminal, which comes
 * through it. Input is written as it comes; while some is left, the call is
 * held back. Output is read while the call takes it.
 *
 * When the program has ended, what its pipes still hold is sent; what it left
 * running in the background is not waited for. */
#include "node/exec.h"

#include "base/fd.h"
#include "base/list.h"
#include "base/memory.h"
#include "node/supervisor/exec.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EXEC_CALLS_MAX = 256,
    READ_BYTES = 32768,
    /* One message's; while it waits, no other is taken. */
    INPUT_MAX_BYTES = CALL_MESSAGE_MAX_BYTES,
};

enum exec_state { EXEC_START, EXEC_RUN, EXEC_DRAIN, EXEC_OVER };

struct exec_call;

/* A descriptor in the loop. */
struct exec_end {
    struct exec_call *op;
    int fd;     /* owned; -1: closed */
    bool open;  /* the handle is */
    int events; /* what is waited for */
    uv_poll_t poll;
};

enum exec_end_kind { END_SOCKET, END_OUTPUT, END_ERRORS, END_INPUT, END_COUNT };

struct exec_call {
    struct exec_streams *all;
    struct list link;
    struct call *call; /* NULL once ended */
    enum exec_state state;
    bool terminal; /* END_OUTPUT is it, for both ways */
    bool input_ended;
    struct exec_end ends[END_COUNT];
    unsigned handles; /* that are not closed yet */
    struct buffer input;
    Kontor__V1__TerminalSize size;
    int exit_code;
    char reason[ERROR_MESSAGE_MAX];
};

struct exec_streams {
    uv_loop_t *loop;
    struct pod_engine *engine;
    struct list calls;
    unsigned count;
};

static void exec_on_poll(uv_poll_t *poll, int status, int events);
static void exec_step(struct exec_call *op);

/* ---- ends -----------------------------------------------------------------
 */

static void exec_free_when_closed(struct exec_call *op)
{
    if (op->call || op->handles > 0)
        return;
    list_remove(&op->link);
    op->all->count--;
    buffer_fini(&op->input);
    free(op);
}

static void exec_on_closed(uv_handle_t *handle)
{
    struct exec_end *end =
        container_of((uv_poll_t *)handle, struct exec_end, poll);

    fd_reset(&end->fd);
    end->op->handles--;
    exec_free_when_closed(end->op);
}

static void end_close(struct exec_end *end)
{
    if (!end->open)
        return;
    end->open = false;
    uv_close((uv_handle_t *)&end->poll, exec_on_closed);
}

/* Takes `fd`. */
static void end_open(struct exec_call *op, enum exec_end_kind kind, int fd)
{
    struct exec_end *end = &op->ends[kind];

    fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
    end->op = op;
    end->fd = fd;
    end->open = true;
    end->events = 0;
    op->handles++;
    uv_poll_init(op->all->loop, &end->poll, fd);
}

static void end_want(struct exec_end *end, int events)
{
    if (!end->open || end->events == events)
        return;
    end->events = events;
    if (events)
        uv_poll_start(&end->poll, events, exec_on_poll);
    else
        uv_poll_stop(&end->poll);
}

static struct exec_end *input_end(struct exec_call *op)
{
    return &op->ends[op->terminal ? END_OUTPUT : END_INPUT];
}

/* ---- the end of it --------------------------------------------------------
 */

static void close_all(struct exec_call *op)
{
    for (int i = 0; i < END_COUNT; i++)
        end_close(&op->ends[i]);
}

static void exec_finish(struct exec_call *op, const struct error *why)
{
    op->state = EXEC_OVER;
    close_all(op);
    call_finish(op->call, why);
}

/* The last message, and success: that it ended is known. */
static void tell_end(struct exec_call *op)
{
    Kontor__V1__ExecResponse response = KONTOR__V1__EXEC_RESPONSE__INIT;
    Kontor__V1__ExecEnd end = KONTOR__V1__EXEC_END__INIT;
    struct error why = {0};

    end.exit_code = op->exit_code;
    end.reason = op->reason;
    response.message_case = KONTOR__V1__EXEC_RESPONSE__MESSAGE_END;
    response.end = &end;
    call_send(op->call, &response.base, &why);
    exec_finish(op, &why);
}

/* ---- what it says ---------------------------------------------------------
 */

/* False: nothing is there now, or the call has enough. */
static bool pass_output(struct exec_call *op, struct exec_end *end)
{
    Kontor__V1__ExecResponse response = KONTOR__V1__EXEC_RESPONSE__INIT;
    bool errors = end == &op->ends[END_ERRORS];
    uint8_t bytes[READ_BYTES];
    struct error why;
    ssize_t got;

    if (!end->open || call_queued_bytes(op->call) >= CALL_QUEUE_HIGH_BYTES)
        return false;
    got = read(end->fd, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) { /* a terminal ends with EIO */
        end_close(end);
        return false;
    }
    response.message_case = errors ? KONTOR__V1__EXEC_RESPONSE__MESSAGE_ERRORS
                                   : KONTOR__V1__EXEC_RESPONSE__MESSAGE_OUTPUT;
    *(errors ? &response.errors : &response.output) =
        (ProtobufCBinaryData){(size_t)got, bytes};
    if (call_send(op->call, &response.base, &why) != 0) {
        exec_finish(op, &why);
        return false;
    }
    return true;
}

/* ---- what it is given ------------------------------------------------------
 */

static void write_input(struct exec_call *op)
{
    struct exec_end *end = input_end(op);
    ssize_t put;

    while (end->open && buffer_length(&op->input) > 0) {
        put =
            write(end->fd, buffer_data(&op->input), buffer_length(&op->input));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0) { /* it reads no more */
            buffer_consume(&op->input, buffer_length(&op->input));
            end_close(&op->ends[END_INPUT]);
            return;
        }
        buffer_consume(&op->input, (size_t)put);
    }
    if (op->input_ended && !op->terminal)
        end_close(&op->ends[END_INPUT]);
}

static void set_size(struct exec_call *op)
{
    const struct winsize size = {.ws_row = (unsigned short)op->size.rows,
                                 .ws_col = (unsigned short)op->size.columns};

    if (op->terminal && op->ends[END_OUTPUT].open)
        ioctl(op->ends[END_OUTPUT].fd, TIOCSWINSZ, &size);
}

static void send_signal(struct exec_call *op, int number)
{
    const struct exec_signal asked = {.number = number};

    if (op->ends[END_SOCKET].open)
        send(op->ends[END_SOCKET].fd, &asked, sizeof asked,
             MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- its socket ------------------------------------------------------------
 */

/* One note, and the descriptor that came with it, or -1. */
static ssize_t take_note(int socket, struct exec_note *note, int *fd)
{
    struct iovec part = {note, sizeof *note};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    *fd = -1;
    if (got >= 0 && header && header->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(header), sizeof *fd);
    return got;
}

static void on_note(struct exec_call *op, struct exec_note *note, int *fd)
{
    if (note->kind == EXEC_TERMINAL && *fd >= 0 && op->terminal &&
        !op->ends[END_OUTPUT].open) {
        end_open(op, END_OUTPUT, fd_take(fd));
        set_size(op); /* it may have changed meanwhile */
    }
    if (note->kind != EXEC_FAILED && note->kind != EXEC_ENDED)
        return;
    op->exit_code = note->exit_code;
    if (note->kind == EXEC_FAILED) {
        note->why.message[sizeof note->why.message - 1] = '\0';
        memcpy(op->reason, note->why.message, sizeof op->reason);
    }
    op->state = EXEC_DRAIN;
}

static void read_socket(struct exec_call *op)
{
    struct exec_end *end = &op->ends[END_SOCKET];
    struct error why;

    while (op->state == EXEC_RUN && end->open) {
        struct exec_note note = {0};
        CLEANUP(fd_close) int fd = -1;
        ssize_t got = take_note(end->fd, &note, &fd);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got == (ssize_t)sizeof note) {
            on_note(op, &note, &fd);
            continue;
        }
        error_set(&why, ERROR_UNAVAILABLE, "the pod's supervisor has gone");
        exec_finish(op, &why);
    }
}

/* ---- steps -----------------------------------------------------------------
 */

static bool drained(struct exec_call *op)
{
    return call_queued_bytes(op->call) < CALL_QUEUE_HIGH_BYTES;
}

/* Do what can be done, then say what is waited for. */
static void exec_step(struct exec_call *op)
{
    bool takes;

    if (!op->call || op->state == EXEC_START || op->state == EXEC_OVER)
        return;
    if (op->state == EXEC_RUN)
        read_socket(op);
    if (op->state == EXEC_RUN)
        write_input(op);
    while (op->state != EXEC_OVER && pass_output(op, &op->ends[END_OUTPUT]))
        continue;
    while (op->state != EXEC_OVER && pass_output(op, &op->ends[END_ERRORS]))
        continue;
    if (op->state == EXEC_OVER)
        return;
    takes = drained(op);
    if (op->state == EXEC_DRAIN && takes) {
        tell_end(op);
        return;
    }
    end_want(&op->ends[END_SOCKET],
             op->state == EXEC_RUN ? UV_READABLE | UV_DISCONNECT : 0);
    end_want(&op->ends[END_ERRORS], takes ? UV_READABLE : 0);
    end_want(&op->ends[END_OUTPUT], takes ? UV_READABLE : 0);
    if (buffer_length(&op->input) == 0) {
        call_resume(op->call);
        return;
    }
    call_pause(op->call);
    end_want(input_end(op), input_end(op)->events | UV_WRITABLE);
}

static void exec_on_poll(uv_poll_t *poll, int status, int events)
{
    struct exec_end *end = container_of(poll, struct exec_end, poll);

    (void)status;
    if (events & UV_WRITABLE)
        end_want(end, end->events & ~UV_WRITABLE);
    exec_step(end->op);
}

/* ---- the start -------------------------------------------------------------
 */

/* theirs[0] is the program's socket; then stdin, stdout, stderr as wanted. */
struct exec_pipes {
    int ours[END_COUNT];
    int theirs[EXEC_DESCRIPTORS_MAX];
    size_t count;
};

static void exec_pipes_fini(struct exec_pipes *pipes)
{
    for (int i = 0; i < END_COUNT; i++)
        fd_reset(&pipes->ours[i]);
    for (int i = 0; i < EXEC_DESCRIPTORS_MAX; i++)
        fd_reset(&pipes->theirs[i]);
}

/* The end that is ours is the one to read from, but for input. */
static int add_pipe(struct exec_pipes *pipes, enum exec_end_kind kind,
                    struct error *why)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_errno(why, "make a pipe");
    pipes->ours[kind] = ends[kind == END_INPUT];
    pipes->theirs[pipes->count++] = ends[kind != END_INPUT];
    return 0;
}

static int make_pipes(struct exec_pipes *pipes,
                      const Kontor__V1__ExecStart *start, struct error *why)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return error_errno(why, "make a socket");
    pipes->ours[END_SOCKET] = pair[0];
    pipes->theirs[pipes->count++] = pair[1];
    if (start->terminal)
        return 0;
    if ((start->input && add_pipe(pipes, END_INPUT, why) != 0) ||
        add_pipe(pipes, END_OUTPUT, why) != 0 ||
        add_pipe(pipes, END_ERRORS, why) != 0)
        return (int)why->code;
    return 0;
}

static int exec_begin(struct exec_call *op, const Kontor__V1__ExecStart *start,
                      struct error *why)
{
    CLEANUP(exec_pipes_fini)
    struct exec_pipes pipes = {{-1, -1, -1, -1}, {-1, -1, -1, -1}, 0};
    Kontor__V1__StartExec asked = KONTOR__V1__START_EXEC__INIT;

    if (make_pipes(&pipes, start, why) != 0)
        return (int)why->code;
    asked.container = start->container;
    asked.argv = start->command;
    asked.n_argv = start->n_command;
    asked.env = start->env;
    asked.n_env = start->n_env;
    asked.user = start->user;
    asked.terminal = start->terminal;
    asked.input = start->input && !start->terminal;
    if (start->size) {
        asked.rows = start->size->rows;
        asked.columns = start->size->columns;
        op->size = *start->size;
    }
    if (pod_engine_exec(op->all->engine, start->pod_id, &asked, pipes.theirs,
                        pipes.count, why) != 0)
        return (int)why->code;
    op->terminal = start->terminal;
    for (int i = 0; i < END_COUNT; i++)
        if (pipes.ours[i] >= 0)
            end_open(op, (enum exec_end_kind)i, fd_take(&pipes.ours[i]));
    op->state = EXEC_RUN;
    return 0;
}

static void exec_start_call(struct exec_call *op,
                            const Kontor__V1__ExecStart *start)
{
    Kontor__V1__ExecResponse response = KONTOR__V1__EXEC_RESPONSE__INIT;
    struct error why;

    if (exec_begin(op, start, &why) != 0) {
        exec_finish(op, &why);
        return;
    }
    response.message_case = KONTOR__V1__EXEC_RESPONSE__MESSAGE_STARTED;
    response.started = true;
    if (call_send(op->call, &response.base, &why) != 0)
        exec_finish(op, &why);
}

/* ---- the call --------------------------------------------------------------
 */

static void exec_on_message(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__ExecRequest *request =
        (const Kontor__V1__ExecRequest *)message;
    struct exec_call *op = call_data(call);
    bool starts =
        request->message_case == KONTOR__V1__EXEC_REQUEST__MESSAGE_START;
    struct error why;

    if (op->state == EXEC_OVER)
        return;
    if (starts != (op->state == EXEC_START)) {
        error_set(&why, ERROR_INVALID_ARGUMENT,
                  "the start is the first message, and only that");
        exec_finish(op, &why);
        return;
    }
    switch (request->message_case) {
    case KONTOR__V1__EXEC_REQUEST__MESSAGE_START:
        exec_start_call(op, request->start);
        break;
    case KONTOR__V1__EXEC_REQUEST__MESSAGE_INPUT:
        /* A terminal may still be on its way here. */
        if ((op->terminal || op->ends[END_INPUT].open) &&
            buffer_append(&op->input, request->input.data, request->input.len,
                          &why) != 0)
            exec_finish(op, &why);
        break;
    case KONTOR__V1__EXEC_REQUEST__MESSAGE_INPUT_ENDED:
        op->input_ended = true;
        break;
    case KONTOR__V1__EXEC_REQUEST__MESSAGE_SIZE:
        op->size = *request->size;
        set_size(op);
        break;
    case KONTOR__V1__EXEC_REQUEST__MESSAGE_SIGNAL:
        send_signal(op, request->signal);
        break;
    case KONTOR__V1__EXEC_REQUEST__MESSAGE__NOT_SET:
    case _KONTOR__V1__EXEC_REQUEST__MESSAGE__CASE_IS_INT_SIZE:
        break;
    }
    exec_step(op);
}

static void exec_on_half_closed(struct call *call)
{
    struct exec_call *op = call_data(call);

    op->input_ended = true;
    exec_step(op);
}

static void exec_on_writable(struct call *call)
{
    exec_step(call_data(call));
}

static void exec_on_ended(struct call *call, const struct error *why)
{
    struct exec_call *op = call_data(call);

    (void)why;
    op->call = NULL;
    close_all(op);
    exec_free_when_closed(op);
}

static const struct call_events exec_events = {
    .message = exec_on_message,
    .half_closed = exec_on_half_closed,
    .writable = exec_on_writable,
    .ended = exec_on_ended,
};

static void ignore_end(struct call *call, const struct error *why)
{
    (void)call;
    (void)why;
}

static const struct call_events deaf = {.ended = ignore_end};

/* ---- from above ------------------------------------------------------------
 */

struct exec_streams *exec_streams_new(uv_loop_t *loop,
                                      struct pod_engine *engine)
{
    struct exec_streams *streams = memory_new(sizeof *streams);

    streams->loop = loop;
    streams->engine = engine;
    list_init(&streams->calls);
    return streams;
}

void exec_streams_add(struct exec_streams *streams, struct call *call)
{
    struct exec_call *op;

    if (streams->count == EXEC_CALLS_MAX) {
        call_listen(call, &deaf, NULL);
        call_fail(call, ERROR_RESOURCE_EXHAUSTED,
                  "%d programs are executed on this node already",
                  EXEC_CALLS_MAX);
        return;
    }
    op = memory_new(sizeof *op);
    op->all = streams;
    op->call = call;
    for (int i = 0; i < END_COUNT; i++)
        op->ends[i].fd = -1;
    buffer_init(&op->input, INPUT_MAX_BYTES);
    kontor__v1__terminal_size__init(&op->size);
    list_append(&streams->calls, &op->link);
    streams->count++;
    call_listen(call, &exec_events, op);
}

void exec_streams_hang_up(struct exec_streams *streams)
{
    struct error why;

    error_set(&why, ERROR_UNAVAILABLE, "this node is being stopped");
    list_for_each(at, following, &streams->calls)
    {
        struct exec_call *op = container_of(at, struct exec_call, link);

        if (op->call && op->state != EXEC_OVER)
            exec_finish(op, &why);
    }
}

void exec_streams_free(struct exec_streams *streams)
{
    if (!streams)
        return;
    assert(list_empty(&streams->calls));
    free(streams);
}
