/* traits.h - what a seed draws for its whole run. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct traits {
    unsigned masters; /* that it begins with */
    unsigned nodes;
    unsigned clients;
    uint64_t chaos_us;
    uint64_t delay_us;       /* of a frame: up to this, now and then 20 times */
    uint64_t sync_us;        /* of a disk: likewise */
    uint64_t save_us;        /* of a snapshot */
    uint64_t turn_us;        /* of a process's loop, up to this; 0: no time */
    uint64_t fault_every_us; /* 0: none */
    bool churn;              /* leaders fall often, and come back soon */
    bool rots;               /* disks rot often */
    bool suspends;           /* leaders' machines are suspended often */
    uint64_t interrupt_every; /* looks at the clock of masters; 0: never */
    uint64_t down_us;         /* a crashed process, at most */
    uint64_t client_every_us;
    unsigned client_sessions; /* of each client, at a time */
    uint64_t change_every_us; /* members and leaders; 0: never */
    uint64_t snapshot_every;
    unsigned apply_entries; /* in a turn; 0: all */
    bool rebalances; /* nodes are emptied and filled again; pods are plain */
    bool upgrades;   /* masters begin with programs of unlike age */
    unsigned clock_spread_ppm;
    unsigned lease_drift_permille;
    uint64_t suspect_after_ms;
    uint64_t lost_after_ms;
    uint64_t patience_ms; /* of pods, until room is kept for them */
    uint64_t kept_ms;     /* and so long in vain */
};

/* Draw them with the world's generator. */
void traits_draw(struct traits *traits);
