#include "master/cluster.h"

uint32_t cluster_format_known(void)
{
    return CLUSTER_FORMAT;
}
