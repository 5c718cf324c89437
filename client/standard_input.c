#include "client/standard_input.h"

#include "base/lang.h"

#include <errno.h>
#include <unistd.h>

enum { READ_BYTES = 16384 };

static void pause_input(struct standard_input *input)
{
    if (input->always_ready)
        uv_idle_stop(&input->idle);
    else
        uv_poll_stop(&input->poll);
}

static void read_some(struct standard_input *input)
{
    uint8_t bytes[READ_BYTES];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        pause_input(input);
        input->take(input->data, bytes, 0);
    } else if (!input->take(input->data, bytes, (size_t)got)) {
        pause_input(input);
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    read_some(container_of(poll, struct standard_input, poll));
}

static void on_idle(uv_idle_t *idle)
{
    read_some(container_of(idle, struct standard_input, idle));
}

static void make_raw(struct standard_input *input)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &input->before) != 0)
        return;
    raw = input->before;
    cfmakeraw(&raw);
    input->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

void standard_input_open(struct standard_input *input, uv_loop_t *loop,
                         bool raw)
{
    if (raw)
        make_raw(input);
    input->open = true;
    /* epoll(7) takes no files. */
    input->always_ready = uv_poll_init(loop, &input->poll, STDIN_FILENO) != 0;
    if (input->always_ready)
        uv_idle_init(loop, &input->idle);
    standard_input_resume(input);
}

void standard_input_resume(struct standard_input *input)
{
    if (!input->open)
        return;
    if (input->always_ready)
        uv_idle_start(&input->idle, on_idle);
    else
        uv_poll_start(&input->poll, UV_READABLE, on_ready);
}

void standard_input_close(struct standard_input *input)
{
    if (input->raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &input->before);
    if (!input->open)
        return;
    input->open = false;
    if (input->always_ready)
        uv_close((uv_handle_t *)&input->idle, NULL);
    else
        uv_close((uv_handle_t *)&input->poll, NULL);
}
