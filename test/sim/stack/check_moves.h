/* check_moves.h - a command that moves pods is never half done.
 *
 * A rebalance moves every pod that it names to where it says, or none at all. A
 * drain leaves nothing on its node but what is ending or may not run twice: all
 * else has gone where it was to go, or waits. */
#pragma once

#include "kontor/v1/command.pb-c.h"
#include "master/cluster.h"

/* Where the pods were that such a command is about. */
struct moves_found {
    const Kontor__V1__MovePods *moves; /* borrowed; NULL: of another kind */
    struct stand *stands;              /* owned */
    size_t count;
    uint64_t next_event;
};

/* Before `command` is applied, which lives until it was. */
void check_moves_before(struct moves_found *found,
                        const struct cluster *cluster,
                        const Kontor__V1__Command *command);
/* And after; ends what the other began. */
void check_moves_after(struct moves_found *found, const struct cluster *cluster,
                       const struct cluster_result *result);
