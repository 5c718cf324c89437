/* capacity.h - what this machine has, and what of it is offered to pods. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct capacity {
    uint32_t cpu_milli;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t net_bits; /* per second; 0: none offered */
};

/* A number the user may have given. */
struct capacity_wish {
    bool set;
    uint64_t value;
};

/* Offers take the place of what was measured, whole; reserves that of the
 * default reserves, which are 5 % of what there is, but of the processor at
 * least 100m and at most 1, of memory at least 128Mi and at most 2Gi, of the
 * disk at most 10Gi. Nothing is reserved of the network. */
struct capacity_wishes {
    struct capacity_wish cpu_milli, memory_bytes, disk_bytes, net_bits;
    struct capacity_wish reserve_cpu_milli, reserve_memory_bytes,
        reserve_disk_bytes;
};

/* Look at the machine: the processors this process may run on and the
 * bandwidth and memory limits of the control group hierarchies' roots (so
 * that a node inside a container is as large as the container), the size of
 * the file system that holds `folder`, the speed of the link with the default
 * route (0 when it does not say). */
int capacity_measure(const char *folder, struct capacity *out,
                     struct error *why);

/* Pure. INVALID_ARGUMENT when more is reserved than there is. */
int capacity_offer(const struct capacity *machine,
                   const struct capacity_wishes *wishes, struct capacity *out,
                   struct error *why);

/* Pure. What the user should know of an offer: FAILED_PRECONDITION when no
 * net is offered though nobody said so, because `card`, the interface that was
 * asked ("": there is none), does not say how fast it is. */
int capacity_check_net(const struct capacity *offer,
                       const struct capacity_wishes *wishes, const char *card,
                       struct error *why);

/* Pure: "max 100000" or "150000 100000" (cpu.max), as thousandths of a core;
 * UINT32_MAX for no limit or what is no such text. */
uint32_t capacity_parse_cpu_max(const char *text);
