#include "master/cluster_status.h"

#include <stdio.h>

static const char *phase_text(int32_t phase)
{
    static const char *const texts[] = {
        [KONTOR__V1__POD_PHASE__POD_PENDING] = "pending",
        [KONTOR__V1__POD_PHASE__POD_PLACED] = "placed",
        [KONTOR__V1__POD_PHASE__POD_PULLING] = "pulling",
        [KONTOR__V1__POD_PHASE__POD_STARTING] = "starting",
        [KONTOR__V1__POD_PHASE__POD_RUNNING] = "running",
        [KONTOR__V1__POD_PHASE__POD_BACKOFF] = "waiting to start again",
        [KONTOR__V1__POD_PHASE__POD_STOPPING] = "stopping",
        [KONTOR__V1__POD_PHASE__POD_SUCCEEDED] = "succeeded",
        [KONTOR__V1__POD_PHASE__POD_FAILED] = "failed",
        [KONTOR__V1__POD_PHASE__POD_STOPPED] = "stopped",
    };

    return texts[phase];
}

/* How the last run ended, where it did: ", killed for want of memory". */
static void exit_text(const struct pod_facts *facts, char text[64])
{
    text[0] = '\0';
    if (facts->oom_killed)
        snprintf(text, 64, ", killed for want of memory");
    else if (facts->signal != 0)
        snprintf(text, 64, ", killed by signal %d", facts->signal);
    else if (facts->exit_code != 0)
        snprintf(text, 64, ", exit code %d", facts->exit_code);
}

struct text *pod_status_text(const struct cluster *cluster,
                             const struct pod_facts *facts)
{
    const struct node *node = nodes_find(&cluster->nodes, facts->node_id);
    const char *reason = text_string(facts->reason);
    char exit[64];

    if (facts->phase == KONTOR__V1__POD_PHASE__POD_RUNNING) {
        return text_format("running on %s%s%s",
                           node ? text_string(node->name) : "-",
                           facts->address[0] ? ", " : "", facts->address);
    }
    if (reason[0]) /* says how it ended, where it did */
        return text_format("%s: %s", phase_text(facts->phase), reason);
    exit_text(facts, exit);
    return text_format("%s%s", phase_text(facts->phase), exit);
}
