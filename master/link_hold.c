#include "master/link_hold.h"

#include "base/memory.h"

#include <string.h>

enum { HOLD_MIN_MS = 50, HOLD_MAX_MS = 5000 };

bool link_hold_back(struct link_hold *hold, const struct error *why,
                    uint64_t now_ms)
{
    bool news = !hold->reason || strcmp(hold->reason, why->message) != 0;

    hold->backoff_ms = hold->backoff_ms ? hold->backoff_ms * 2 : HOLD_MIN_MS;
    if (hold->backoff_ms > HOLD_MAX_MS)
        hold->backoff_ms = HOLD_MAX_MS;
    hold->until_ms = now_ms + hold->backoff_ms;
    if (news) {
        free(hold->reason);
        hold->reason = memory_string(why->message);
    }
    return news;
}

void link_hold_release(struct link_hold *hold)
{
    free(hold->reason);
    *hold = (struct link_hold){0};
}
