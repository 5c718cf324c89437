#include "master/placement/resources.h"

const char *resource_name(enum resource_kind kind)
{
    static const char *const names[RESOURCE_COUNT] = {
        [RESOURCE_CPU] = "cpu",
        [RESOURCE_MEMORY] = "memory",
        [RESOURCE_DISK] = "disk",
        [RESOURCE_NET] = "net",
    };

    return names[kind];
}

uint32_t resource_share(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    while (whole >> 40) { /* so that the product below fits */
        whole >>= 1;
        part >>= 1;
    }
    return (uint32_t)(part * RESOURCE_SHARE_ONE / whole);
}

struct resources resources_of(const Kontor__V1__Resources *message)
{
    struct resources resources = {{0}};

    if (message) {
        resources.amount[RESOURCE_CPU] = message->cpu_milli;
        resources.amount[RESOURCE_MEMORY] = message->memory_bytes;
        resources.amount[RESOURCE_DISK] = message->disk_bytes;
        resources.amount[RESOURCE_NET] = message->net_bits;
    }
    return resources;
}

void resources_tell(const struct resources *resources,
                    Kontor__V1__Resources *message)
{
    uint64_t cpu_milli = resources->amount[RESOURCE_CPU];

    message->cpu_milli =
        cpu_milli > UINT32_MAX ? UINT32_MAX : (uint32_t)cpu_milli;
    message->memory_bytes = resources->amount[RESOURCE_MEMORY];
    message->disk_bytes = resources->amount[RESOURCE_DISK];
    message->net_bits = resources->amount[RESOURCE_NET];
}
