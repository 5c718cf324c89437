#include "test/sim/stack/program.h"

#include "test/sim/stack/check.h"

enum {
    OLD_PERCENT = 70,     /* of founders */
    UPGRADE_PERCENT = 30, /* of starts */
    BACK_PERCENT = 50,
    EACH_US = 1000000,
};

/* The product's, as the program of whoever runs has it. */
uint32_t cluster_format_known(void)
{
    const struct kmaster *kmaster = process_now->host->data;

    return kmaster->format;
}

static void set_format(struct kmaster *kmaster, uint32_t format)
{
    tell(kmaster->host, "has a program of format %u", (unsigned)format);
    tally.upgrades++;
    kmaster->format = format;
}

void program_begin(struct kmaster *kmaster, bool founder)
{
    kmaster->format =
        founder && world.traits.upgrades && world_chance(OLD_PERCENT)
            ? 0
            : CLUSTER_FORMAT;
}

static bool one_went_back(void)
{
    bool one = false;

    for (unsigned i = 0; i < MASTERS_MAX; i++)
        one |= kmasters[i].went_back;
    return one;
}

/* Nobody can have asked for a format that another, who was never upgraded, does
 * not know. Nobody is upgraded after that before all is well: a leader may take
 * a while to hear of it. */
static bool may_go_back(const struct kmaster *kmaster)
{
    bool another_is_old = false;

    for (unsigned i = 0; i < MASTERS_MAX; i++)
        another_is_old |= &kmasters[i] != kmaster &&
                          kmaster_is_member(&kmasters[i]) &&
                          kmasters[i].format == 0;
    return another_is_old && !one_went_back() &&
           world.traits.change_every_us == 0;
}

void program_restart(struct kmaster *kmaster)
{
    if (!world.traits.upgrades)
        return;
    if (kmaster->format == 0) {
        if (world.healed || (!one_went_back() && world_chance(UPGRADE_PERCENT)))
            set_format(kmaster, CLUSTER_FORMAT);
    } else if (!world.healed && may_go_back(kmaster) &&
               world_chance(BACK_PERCENT)) {
        kmaster->went_back = true;
        set_format(kmaster, 0);
    }
}

static void on_turn(void *data, uint64_t number)
{
    struct kmaster *kmaster = data;

    (void)number;
    if (kmaster->format < CLUSTER_FORMAT)
        kmaster_stop(kmaster);
}

void program_upgrade_all(void)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        struct kmaster *kmaster = &kmasters[i];
        unsigned turn = kmaster->went_back ? MASTERS_MAX : i;

        if (kmaster->exists && kmaster->format < CLUSTER_FORMAT)
            world_after((turn + 1) * EACH_US, on_turn, kmaster, 0);
    }
}
