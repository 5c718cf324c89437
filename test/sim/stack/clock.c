/* clock.c - base/clock.h, base/log.h and random_bytes() (by ld's --wrap) for
 * the process that runs. */
#include "base/clock.h"

#include "base/log.h"
#include "test/sim/stack/world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* When the world begins, for its wall clocks. */
#define EPOCH_MS UINT64_C(1700000000000)

static const struct host *host(void)
{
    assert(process_now);
    return process_now->host;
}

uint64_t clock_monotonic_ms(void)
{
    process_interrupt(process_now);
    return host_local_us(host()) / 1000;
}

uint64_t clock_monotonic_ns(void)
{
    return host_local_us(host()) * 1000;
}

uint64_t clock_boot_ms(void)
{
    process_interrupt(process_now);
    return host_boot_us(host()) / 1000;
}

uint64_t clock_wall_ms(void)
{
    int64_t local_ms = (int64_t)(host_boot_us(host()) / 1000);

    return EPOCH_MS + (uint64_t)(local_ms + host()->wall_offset_ms);
}

void __wrap_random_bytes(void *bytes, unsigned length);

void __wrap_random_bytes(void *bytes, unsigned length)
{
    uint8_t *at = bytes;

    assert(process_now);
    for (unsigned i = 0; i < length; i++)
        at[i] = (uint8_t)random_next(&process_now->random);
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[STORY_LINE_MAX];
    va_list args;

    if (world.story.telling == STORY_SILENT || level == LOG_LEVEL_DEBUG)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tell(process_now ? process_now->host : NULL, "%s", text);
}
