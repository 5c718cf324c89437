/* drill_faults.h - what is done to a master, and undone. */
#pragma once

#include "client/contact.h"
#include "client/dev_process.h"

/* One master of a dev cluster, before and after. */
struct drill_victim {
    struct dev *dev;         /* borrowed */
    struct contact *contact; /* borrowed; of those that are to be harmed */
    unsigned master;         /* which */
    struct dev_words *words; /* borrowed; of every master, as it was started */
    unsigned started;        /* times that one was started again */
};

struct drill_fault {
    const char *name;
    const char *done; /* "killed" */
    bool ends;        /* the process may end of it */
    /* Can it be done to this cluster? NULL: always. */
    int (*check)(const struct dev *dev, struct error *why);
    int (*inflict)(const struct drill_victim *victim, struct error *why);
};

extern const struct drill_fault drill_leader;
extern const struct drill_fault drill_pause;
extern const struct drill_fault drill_partition;
extern const struct drill_fault drill_disk;
extern const struct drill_fault drill_transfer;

/* Take back whatever a fault has done to the victim, but do not start it. */
int drill_undo(const struct drill_victim *victim, struct error *why);

/* Start the victim again when it has ended. */
int drill_revive(struct drill_victim *victim, struct error *why);
