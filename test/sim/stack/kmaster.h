/* kmaster.h - a host that is one of the masters: the real parts, in a process
 * that is started, stopped, crashed and started again on the same folder. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "master/master.h"
#include "test/sim/stack/world.h"

struct kmaster {
    struct host *host;
    bool exists;  /* it was told to be a master */
    bool leaving; /* it was removed, and does not know it yet */
    bool retired; /* removed from the cluster for good */
    char folder[96];
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

/* Its process starts. A folder that cannot be opened fails the run. */
void kmaster_start(struct kmaster *kmaster);
/* It begins, on an empty folder, as what it was told that it is. */
void kmaster_enlist(struct kmaster *kmaster,
                    const Kontor__V1__MastersResponse *told);
/* It was removed: its process ends, and its folder goes. */
void kmaster_retire(struct kmaster *kmaster);
/* SIGTERM: it drains and ends. */
void kmaster_stop(struct kmaster *kmaster);
/* It is killed; `silent`: its machine loses power, so nobody hears of it. */
void kmaster_crash(struct kmaster *kmaster, bool silent);
/* The same once its present turn is over: its disk has failed. */
void kmaster_die_soon(struct process *process);

/* Whose word counts: a leader that is ready, of the newest term; or NULL. */
struct kmaster *kmaster_leader(void);
