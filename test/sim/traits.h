/* traits.h - what kind of run a seed is. */
#pragma once

#include "raft/core/raft.h"

/* What ambush.c does to a leader. */
enum ambush_kind {
    AMBUSH_ANY,
    AMBUSH_CUT_OFF,
    AMBUSH_UNDERMINE, /* one hears nothing, then the others forget */
    AMBUSH_OTHERS,    /* all but it crash, and it is cut off */
    AMBUSH_ALL,       /* all crash */
    AMBUSH_CRASH,
    AMBUSH_HUSH,     /* only some hear it */
    AMBUSH_STRANGLE, /* nobody hears it, then it crashes */
    AMBUSH_SPLIT,
    AMBUSH_HANG,         /* its disk */
    AMBUSH_CHANGE_TWICE, /* it and the next, each heard by half */
};

/* What a seed draws for its whole run. */
struct sim_traits {
    unsigned masters;      /* that it begins with */
    bool turns;            /* events share an output for a moment */
    bool ordered;          /* links are like TCP */
    unsigned loss_percent; /* of messages */
    unsigned twice_percent;
    uint64_t delay_us;   /* of a message: up to this, now and then 20 times */
    uint64_t install_us; /* until a snapshot is loaded: likewise */
    uint64_t sync_us;    /* of a disk: likewise */
    uint64_t fault_every_us;
    bool churn;       /* leaders fall often, and come back soon */
    uint64_t down_us; /* a crashed process, at most */
    uint64_t client_every_us;
    unsigned burst; /* commands in one call, at most */
    uint64_t snapshot_every;
    unsigned clock_spread_permille; /* clocks run so much slower or faster */
    bool clocks_apart;        /* as much as they may, one way or the other */
    unsigned hints_percent;   /* crashes that the others are told of */
    uint64_t change_every_us; /* members and leaders; 0: never */
    bool ambushes;            /* faults that wait for their moment */
    enum ambush_kind theme;   /* little else goes wrong; ANY: all does */
    bool alone;            /* it is all that goes wrong, with time in between */
    unsigned late_percent; /* of messages come when their time is over */
    bool eager;            /* members are changed as soon as somebody leads */
    bool same_members;     /* who are only made voters and learners */
    bool sleeper;          /* one sleeps while much may change */
    unsigned slow_disk;    /* the number of its master; 0: none */
    unsigned rounds;       /* of chaos, each followed by recovery */
    uint64_t chaos_us;
    struct raft_config config;
    unsigned unleased; /* masters that promise nothing, by bit */
    unsigned hasty;    /* masters that promise less, by bit */
};
