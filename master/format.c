#include "master/format.h"

#include "base/clock.h"
#include "base/memory.h"
#include "master/master.h"
#include "master/propose.h"
#include "raft/replica_members.h"

/* Who has led for less may not have heard all masters that are there. */
enum { NEWS_MS = 1000, AGAIN_MS = 1000 };

void format_lead(struct master *master)
{
    master->raise.lead_ms = clock_monotonic_ms();
}

static void on_raised(struct replica_proposal *proposal, uint64_t index,
                      const struct error *why)
{
    struct format_raise *raise =
        container_of(proposal, struct format_raise, proposal);

    (void)index;
    raise->under_way = false;
    if (why->code != 0)
        raise->again_ms = clock_monotonic_ms() + AGAIN_MS;
}

void format_step(struct master *master)
{
    struct format_raise *raise = &master->raise;
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;

    if (master->cluster->format >= master->cluster->known || raise->under_way ||
        clock_monotonic_ms() < raise->again_ms || !master_leads(master))
        return;
    command.format = replica_formats(master->replica).least;
    if (command.format <= master->cluster->format)
        return;
    raise->under_way = true;
    raise->proposal.done = on_raised;
    propose(master->replica, &raise->proposal, &command);
}

int format_check(struct master *master, uint32_t format, struct error *why)
{
    struct replica_formats formats;
    uint64_t led_ms = clock_monotonic_ms() - master->raise.lead_ms;

    if (format <= master->cluster->format)
        return 0;
    if (!master_leads(master))
        return error_set(why, ERROR_UNAVAILABLE, "%s does not lead",
                         master->config.name);
    formats = replica_formats(master->replica);
    if (formats.least >= format || (!formats.heard && led_ms < NEWS_MS))
        return error_set(why, ERROR_UNAVAILABLE,
                         "the cluster has not reached format %u yet", format);
    return error_set(why, ERROR_FAILED_PRECONDITION,
                     "this needs format %u, the cluster is at %u: %s %s",
                     format, master->cluster->format, formats.oldest,
                     formats.heard ? "runs an older program"
                                   : "does not answer, its program may be an "
                                     "older one");
}
