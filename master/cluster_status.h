/* cluster_status.h - what has become of a pod, in words. */
#pragma once

#include "master/cluster.h"

/* One line for a person: "running on n2, 10.42.2.7". Owned by the caller. */
struct text *pod_status_text(const struct cluster *cluster,
                             const struct pod_facts *facts);
