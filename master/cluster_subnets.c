#include "master/cluster_nodes.h"

#include <stdio.h>

enum { PREFIX_MIN = 8, PREFIX_MAX = 23, SUBNET_PREFIX = 24 };

static uint32_t mask_of(uint32_t prefix)
{
    return ~(uint32_t)0 << (32 - prefix);
}

/* Five decimal numbers with three points and a slash between. */
static bool read_numbers(const char *text, uint32_t numbers[5])
{
    for (int i = 0; i < 5; i++) {
        uint32_t number = 0;

        if (*text < '0' || *text > '9')
            return false;
        for (; *text >= '0' && *text <= '9'; text++) {
            number = number * 10 + (uint32_t)(*text - '0');
            if (number > 255)
                return false;
        }
        if (*text != ".../"[i]) /* its last is the terminator */
            return false;
        numbers[i] = number;
        text++;
    }
    return true;
}

int pod_network_parse(const char *text, struct pod_network *network,
                      struct error *why)
{
    uint32_t n[5];
    uint32_t base;

    if (!read_numbers(text, n))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "pod network \"%.40s\": write it like 10.42.0.0/16",
                         text);
    if (n[4] < PREFIX_MIN || n[4] > PREFIX_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "pod network \"%.40s\": the prefix must be from /%d "
                         "to /%d, every node gets a /24 of it",
                         text, PREFIX_MIN, PREFIX_MAX);
    base = n[0] << 24 | n[1] << 16 | n[2] << 8 | n[3];
    if (base & ~mask_of(n[4]))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "pod network \"%.40s\": address bits are set beyond "
                         "the prefix",
                         text);
    network->base = base;
    network->prefix = n[4];
    return 0;
}

static char *range_text(uint32_t base, uint32_t prefix,
                        char text[POD_NETWORK_TEXT_MAX])
{
    snprintf(text, POD_NETWORK_TEXT_MAX, "%u.%u.%u.%u/%u", base >> 24,
             base >> 16 & 255, base >> 8 & 255, base & 255, prefix);
    return text;
}

char *pod_network_text(const struct pod_network *network,
                       char text[POD_NETWORK_TEXT_MAX])
{
    return range_text(network->base, network->prefix, text);
}

uint32_t pod_network_subnets(const struct pod_network *network)
{
    return (UINT32_C(1) << (SUBNET_PREFIX - network->prefix)) - 1;
}

char *pod_network_subnet(const struct pod_network *network, uint32_t number,
                         char text[POD_NETWORK_TEXT_MAX])
{
    return range_text(network->base + (number << 8), SUBNET_PREFIX, text);
}
