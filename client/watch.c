#include "client/watch.h"

/* Several events may share an index and the connection may break between
 * them, so a watch goes on at the last index and skips what it has seen. */
static int start(struct watch *watch, uint64_t deadline_ms, struct error *why)
{
    Kontor__V1__WatchRequest request = KONTOR__V1__WATCH_REQUEST__INIT;
    bool resumes = watch->seen > 0;

    request.pod = message_text(watch->pod);
    request.app = message_text(watch->app ? watch->app : "");
    request.after_index = resumes ? watch->last_index - 1 : watch->last_index;
    request.until_now = watch->until_now;
    watch->skip = watch->seen;
    return stream_open(&watch->stream, watch->contact, "Watch", &request.base,
                       deadline_ms, why);
}

/* Count an event; false when it was seen before. */
static bool is_new(struct watch *watch, const Kontor__V1__Event *event)
{
    if (event->index == 0) /* progress: not kept, has no place */
        return true;
    if (event->index == watch->last_index) {
        if (watch->skip > 0) {
            watch->skip--;
            return false;
        }
        watch->seen++;
        return true;
    }
    watch->last_index = event->index;
    watch->seen = 1;
    watch->skip = 0;
    return true;
}

int watch_next(struct watch *watch, uint64_t deadline_ms,
               Kontor__V1__Event **out, struct error *why)
{
    for (;;) {
        ProtobufCMessage *message;
        int code;

        if (!watch->stream && start(watch, deadline_ms, why) != 0)
            return (int)why->code;
        code = stream_next(watch->stream, deadline_ms, &message, why);
        if (code == 0 && !message && watch->until_now) {
            *out = NULL;
            return 0;
        }
        if (code == 0 && message) {
            *out = (Kontor__V1__Event *)message;
            if (is_new(watch, *out))
                return 0;
            message_free(message);
            continue;
        }
        /* RESOURCE_EXHAUSTED: we read too slowly; what we missed is kept. */
        if (code != 0 && !contact_may_retry(code) &&
            code != ERROR_RESOURCE_EXHAUSTED)
            return code;
        stream_close(watch->stream);
        watch->stream = NULL;
    }
}

void watch_fini(struct watch *watch)
{
    stream_close(watch->stream);
    watch->stream = NULL;
}
