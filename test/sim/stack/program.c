#include "test/sim/stack/program.h"

#include "test/sim/stack/check.h"
#include "test/sim/stack/check_state.h"
#include "test/sim/stack/operator.h"

enum {
    OLD_PERCENT = 80,     /* of founders */
    UPGRADE_PERCENT = 15, /* of starts */
    EACH_US = 1000000,
};

/* The product's, as the program of whoever runs has it. */
uint32_t cluster_format_known(void)
{
    const struct kmaster *kmaster = process_now->host->data;

    return kmaster->format;
}

void program_begin(struct kmaster *kmaster, bool founder)
{
    bool old = founder && world.traits.upgrades && world_chance(OLD_PERCENT);

    kmaster->format =
        old ? (uint32_t)world_between(0, CLUSTER_FORMAT - 1) : CLUSTER_FORMAT;
    kmaster->next_format = kmaster->format;
}

void program_restart(struct kmaster *kmaster)
{
    if (kmaster->format < CLUSTER_FORMAT && !world.healed &&
        world_chance(UPGRADE_PERCENT))
        kmaster->next_format = CLUSTER_FORMAT;
    if (kmaster->format == kmaster->next_format)
        return;
    kmaster->format = kmaster->next_format;
    tell(kmaster->host, "has a program of format %u now",
         (unsigned)kmaster->format);
    tally.upgrades++;
}

/* ---- in the end ---- */

static bool all_are_there(void)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (kmaster_is_member(&kmasters[i]) && !kmasters[i].host->life)
            return false;
    return kmaster_leader();
}

/* The first with an older program, who was taken back after all others. */
static struct kmaster *next_old(unsigned *count)
{
    struct kmaster *next = NULL;

    *count = 0;
    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        struct kmaster *kmaster = &kmasters[i];

        if (!kmaster_is_member(kmaster) || kmaster->leaving ||
            kmaster->format == CLUSTER_FORMAT)
            continue;
        ++*count;
        if (!next || next->went_back)
            next = kmaster;
    }
    return next;
}

/* A follower whom the leader knows to be new; NULL: there is none, or it may
 * be too late for that. */
static struct kmaster *to_take_back(void)
{
    if (check_format() == CLUSTER_FORMAT || operator_busy())
        return NULL;
    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        struct kmaster *kmaster = &kmasters[i];

        if (kmaster_is_member(kmaster) && !kmaster->leaving &&
            kmaster->format == CLUSTER_FORMAT && kmaster != kmaster_leader())
            return kmaster;
    }
    return NULL;
}

/* Before the last is upgraded another is taken back. */
static void on_turn(void *data, uint64_t taken_back)
{
    unsigned count;
    struct kmaster *next = next_old(&count);
    struct kmaster *back = count == 1 && !taken_back ? to_take_back() : NULL;

    if (!next)
        return;
    if (all_are_there() && back) {
        taken_back = true;
        back->went_back = true;
        back->next_format = check_format();
        kmaster_stop(back);
    } else if (all_are_there()) {
        next->next_format = CLUSTER_FORMAT;
        kmaster_stop(next);
    }
    world_after(EACH_US, on_turn, data, taken_back);
}

void program_upgrade_all(void)
{
    world_after(2 * EACH_US, on_turn, NULL, false);
}
