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

uint64_t host_local_us(const struct host *host)
{
    int64_t drift_us = (int64_t)world.now_us * host->clock_rate_ppm / 1000000;

    return host->clock_offset_us + (uint64_t)((int64_t)world.now_us + drift_us);
}

uint64_t host_world_us(const struct host *host, uint64_t local_us)
{
    int64_t passed_us = (int64_t)(local_us - host->clock_offset_us);
    uint64_t guess_us =
        (uint64_t)(passed_us * 1000000 / (1000000 + host->clock_rate_ppm));

    while (
        host_local_us(host) > 0 && guess_us > 0 &&
        host->clock_offset_us + guess_us +
                (uint64_t)((int64_t)guess_us * host->clock_rate_ppm / 1000000) <
            local_us)
        guess_us++;
    return guess_us;
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
