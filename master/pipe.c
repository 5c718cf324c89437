#include "master/pipe.h"

static void ignore(struct call *call, const struct error *why)
{
    (void)call;
    (void)why;
}

const struct call_events pipe_deaf = {.ended = ignore};

void pipe_pass(struct call *up, struct call *down,
               const ProtobufCMessage *message)
{
    struct error why;

    if (call_send(down, message, &why) != 0) {
        call_finish(down, &why);
        call_cancel(up);
        return;
    }
    if (call_queued_bytes(down) >= CALL_QUEUE_HIGH_BYTES)
        call_pause(up);
}

void pipe_writable(struct call *up)
{
    call_resume(up);
}

void pipe_drop(struct call **call)
{
    if (!*call)
        return;
    call_listen(*call, &pipe_deaf, NULL);
    call_cancel(*call);
    *call = NULL;
}
