/* workload.h - requests and nodes to measure placement with: the traces of a
 * folder (dlrm_items_cpu_mem_disk_net.txt, openb_*.csv), or seeded ones of
 * similar shapes. */
#pragma once

#include "base/random.h"
#include "master/placement/resources.h"

#include <stddef.h>

enum { WORKLOAD_MAX = 20000 };

struct workload {
    struct resources *wants; /* owned, in order of arrival */
    size_t want_count;
    struct resources *nodes; /* owned, capacities; one is repeated for ever */
    size_t node_count;
};

/* Large services on like machines; four dimensions, 84 shapes, repeated in
 * runs. `folder` NULL: the generator. Ends the process when a trace cannot be
 * read. */
struct workload workload_dlrm(const char *folder);

/* Small pods on unlike machines, cpu and memory; to be drawn from. */
struct workload workload_openb(const char *folder);

void workload_fini(struct workload *workload);
