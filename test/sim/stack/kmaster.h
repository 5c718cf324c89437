/* kmaster.h - a host that is one of the masters: the real parts, in a process
 * that is started, stopped, crashed and started again on the same folder. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "master/master.h"
#include "test/sim/stack/world.h"

struct kmaster {
    struct host *host;
    bool exists;          /* it was told to be a master */
    bool leaving;         /* it was removed, and does not know it yet */
    bool retired;         /* removed from the cluster for good */
    bool broken;          /* it refuses what is on its disk */
    bool owed;            /* it was, was removed, and is to be added again */
    uint32_t format;      /* that its program knows */
    uint32_t next_format; /* that the one it is started with next does */
    bool went_back;       /* to an older one */
    char folder[32];
    struct replica_member members[RAFT_MEMBERS_MAX]; /* that it begins with */
    unsigned member_count;
    char names[RAFT_MEMBERS_MAX][RAFT_NAME_MAX];
    char addresses[RAFT_MEMBERS_MAX][RAFT_ADDRESS_MAX];
    struct master *master; /* NULL: down */
    bool closing;
    bool closed; /* its master_close() is over */
    /* What check.c saw of it last. */
    uint64_t checked_term;
    uint64_t checked_commit;
    enum raft_role checked_role;
};

extern struct kmaster kmasters[MASTERS_MAX];

/* Hosts 0 to MASTERS_MAX - 1; the first `count` found the cluster. */
void kmasters_init(unsigned count);
void kmasters_fini(void);

/* How many vote, as far as it knows; while it is down, UINT_MAX. */
unsigned kmaster_voters(const struct kmaster *kmaster);

/* Is it told to be a master, and not removed? */
bool kmaster_is_member(const struct kmaster *kmaster);

/* Its process starts, unless it runs, was removed, or is broken. When the disk
 * fails meanwhile it starts again later. */
void kmaster_start(struct kmaster *kmaster);
/* The same after `delay_us`, if it has not lived again by then. */
void kmaster_start_after(struct kmaster *kmaster, uint64_t delay_us);
/* It begins, on an empty folder, as what it was told that it is. */
void kmaster_enlist(struct kmaster *kmaster,
                    const Kontor__V1__MastersResponse *told);
/* It was removed: its process ends, and its disk is emptied. */
void kmaster_retire(struct kmaster *kmaster);
/* SIGTERM: it drains and ends. */
void kmaster_stop(struct kmaster *kmaster);
/* It is killed; `silent`: its machine loses power, so nobody hears of it. */
void kmaster_crash(struct kmaster *kmaster, bool silent);
/* The same once its present turn is over, as its disk says. */
void kmaster_die_soon(struct process *process);
/* Its log cannot be written, as `why` says: it ends likewise. That has a cause,
 * or the run fails. */
void kmaster_fail(struct process *process, const struct error *why);

/* Its disk has no fault but to be full, if it is. */
void kmaster_rest_disk(struct host *host);

/* Whose word counts: a leader that is ready, of the newest term; or NULL. */
struct kmaster *kmaster_leader(void);
