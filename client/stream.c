#include "client/stream.h"

#include "base/memory.h"

enum { QUEUE_MAX = 64 };

struct stream_message {
    struct stream_message *next;
    ProtobufCMessage *message; /* owned */
};

struct stream {
    struct contact *contact;      /* borrowed */
    struct channel *channel;      /* borrowed */
    struct call *call;            /* until ended */
    char *path;                   /* owned */
    struct stream_message *first; /* arrived, not yet taken */
    struct stream_message **end;  /* where the next one is linked */
    unsigned queued;
    bool paused;
    bool ended;
    struct error status;
};

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    struct stream *stream = call_data(call);
    struct stream_message *item = memory_new(sizeof *item);

    item->message = message_copy(message);
    *stream->end = item;
    stream->end = &item->next;
    if (++stream->queued >= QUEUE_MAX && !stream->paused) {
        stream->paused = true;
        call_pause(call);
    }
}

static void on_ended(struct call *call, const struct error *why)
{
    struct stream *stream = call_data(call);

    stream->ended = true;
    stream->status = *why;
}

static const struct call_events events = {
    .message = on_message,
    .ended = on_ended,
};

int stream_open(struct stream **out, struct contact *contact,
                const char *method, const ProtobufCMessage *request,
                uint64_t deadline_ms, struct error *why)
{
    struct call_request how = {.events = &events};
    struct channel *channel;
    struct stream *stream;

    if (contact_channel(contact, deadline_ms, &channel, why) != 0)
        return (int)why->code;
    stream = memory_new(sizeof *stream);
    stream->contact = contact;
    stream->channel = channel;
    stream->path = contact_method(method, &how.response);
    stream->end = &stream->first;
    how.path = stream->path;
    how.data = stream;
    stream->call = channel_call_unary(channel, &how, request);
    *out = stream;
    return 0;
}

/* The queue is not empty. */
static ProtobufCMessage *take_first(struct stream *stream)
{
    struct stream_message *item = stream->first;
    ProtobufCMessage *message = item->message;

    stream->first = item->next;
    if (!stream->first)
        stream->end = &stream->first;
    free(item);
    if (--stream->queued == 0 && stream->paused && !stream->ended) {
        stream->paused = false;
        call_resume(stream->call);
    }
    return message;
}

int stream_next(struct stream *stream, uint64_t deadline_ms,
                ProtobufCMessage **out, struct error *why)
{
    while (!stream->first) {
        if (stream->ended) {
            contact_avoid(stream->contact, stream->channel);
            *out = NULL;
            *why = stream->status;
            return (int)why->code;
        }
        if (contact_wait(stream->contact, deadline_ms, why) != 0)
            return (int)why->code;
    }
    *out = take_first(stream);
    return 0;
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    if (!stream->ended)
        call_cancel(stream->call);
    while (!stream->ended)
        contact_turn(stream->contact);
    while (stream->first)
        message_free(take_first(stream));
    free(stream->path);
    free(stream);
}
