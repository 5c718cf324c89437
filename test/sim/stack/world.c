#include "test/sim/stack/world.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct world world;

void world_after(uint64_t delay_us, agenda_cb *run, void *data, uint64_t number)
{
    agenda_add(&world.agenda, &(struct agenda_item){
                                  .at_us = world.now_us + delay_us,
                                  .run = run,
                                  .data = data,
                                  .number = number,
                              });
}

bool world_chance(unsigned percent)
{
    return random_below(&world.random, 100) < percent;
}

uint64_t world_between(uint64_t least, uint64_t most)
{
    return least + random_below(&world.random, most - least + 1);
}

struct host *world_find(const char *address)
{
    for (unsigned i = 0; i < HOSTS_MAX; i++)
        if (strcmp(world.hosts[i].address, address) == 0)
            return &world.hosts[i];
    return NULL;
}

void *world_reach(void *array, uint64_t *capacity, uint64_t index, size_t size)
{
    uint64_t wider = *capacity ? *capacity : 256;
    char *bytes;

    while (wider <= index)
        wider *= 2;
    if (wider == *capacity)
        return array;
    bytes = memory_resize(array, wider * size);
    memset(bytes + *capacity * size, 0, (wider - *capacity) * size);
    *capacity = wider;
    return bytes;
}

static uint64_t stood_us(const struct standstill *still, uint64_t at_us)
{
    uint64_t end_us = at_us < still->until_us ? at_us : still->until_us;

    return still->before_us +
           (end_us > still->from_us ? end_us - still->from_us : 0);
}

void host_stand_still(struct standstill *still, uint64_t for_us)
{
    still->before_us = stood_us(still, world.now_us);
    still->from_us = world.now_us;
    still->until_us = world.now_us + for_us;
}

/* What a clock shows that has gone for so long. */
static uint64_t shown_us(const struct host *host, uint64_t gone_us)
{
    int64_t drift_us = (int64_t)gone_us * host->clock_rate_ppm / 1000000;

    return host->clock_offset_us + (uint64_t)((int64_t)gone_us + drift_us);
}

static uint64_t local_us(const struct host *host, uint64_t at_us)
{
    return shown_us(host, at_us - stood_us(&host->suspended, at_us) -
                              stood_us(&host->paused, at_us));
}

static uint64_t now_us(const struct host *host)
{
    return world.now_us + (host->life ? host->life->lag_us : 0);
}

uint64_t host_local_us(const struct host *host)
{
    return local_us(host, now_us(host));
}

uint64_t host_boot_us(const struct host *host)
{
    uint64_t at_us = now_us(host);

    return shown_us(host, at_us - stood_us(&host->paused, at_us));
}

uint64_t host_world_us(const struct host *host, uint64_t local)
{
    int64_t passed_us = (int64_t)(local - host->clock_offset_us);
    uint64_t at_us =
        (uint64_t)(passed_us * 1000000 / (1000000 + host->clock_rate_ppm));

    at_us += stood_us(&host->suspended, UINT64_MAX) +
             stood_us(&host->paused, UINT64_MAX);
    while (local_us(host, at_us) < local) /* it was rounded */
        at_us++;
    return at_us;
}

void tell(const struct host *host, const char *format, ...)
{
    char text[STORY_LINE_MAX];
    va_list args;

    if (world.story.telling == STORY_SILENT)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (host)
        story_line(&world.story, world.now_us, 0, "%s > %s",
                   host->identity.name, text);
    else
        story_line(&world.story, world.now_us, 0, "%s", text);
}
