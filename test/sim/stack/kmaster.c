#include "test/sim/stack/kmaster.h"

#include "base/fd.h"
#include "base/memory.h"
#include "raft/replica_parts.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { DRAIN_MS = 50, RESTART_US = 200000 };

struct kmaster kmasters[MASTERS_MAX];

static void take_member(struct kmaster *kmaster, const char *name,
                        const char *address)
{
    unsigned at = kmaster->member_count++;

    snprintf(kmaster->names[at], sizeof kmaster->names[at], "%s", name);
    snprintf(kmaster->addresses[at], sizeof kmaster->addresses[at], "%s",
             address);
    kmaster->members[at] = (struct replica_member){
        .name = kmaster->names[at],
        .address = kmaster->addresses[at],
    };
}

void kmasters_init(unsigned count)
{
    memset(kmasters, 0, sizeof kmasters);
    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        struct kmaster *kmaster = &kmasters[i];
        struct host *host = &world.hosts[i];

        kmaster->host = host;
        host->data = kmaster;
        snprintf(kmaster->folder, sizeof kmaster->folder, "%s/%s", world.folder,
                 host->identity.name);
        for (unsigned j = 0; j < count; j++)
            take_member(kmaster, world.hosts[j].identity.name,
                        world.hosts[j].address);
        kmaster->exists = i < count;
    }
}

static struct master_config config_of(struct kmaster *kmaster)
{
    struct master_config config = {
        .name = kmaster->host->identity.name,
        .listen = kmaster->host->address,
        .folder = kmaster->folder,
        .members = kmaster->members,
        .member_count = kmaster->member_count,
        .tls = &kmaster->host->life->tls,
        .lease_drift_permille = world.traits.lease_drift_permille,
        .election_timeout_ms = 150,
        .heartbeat_ms = 50,
        .suspect_after_ms = world.traits.suspect_after_ms,
        .lost_after_ms = world.traits.lost_after_ms,
        .snapshot_entries = world.traits.snapshot_every,
    };
    struct error why;

    pod_network_parse("10.42.0.0/16", &config.pod_network, &why);
    return config;
}

void kmaster_start(struct kmaster *kmaster)
{
    struct process *process = process_new(kmaster->host);
    struct master_config config = config_of(kmaster);
    struct error why;

    tell(kmaster->host, "starts");
    kmaster->closing = false;
    kmaster->closed = false;
    kmaster->checked_term = 0;
    kmaster->checked_commit = 0;
    kmaster->checked_role = RAFT_FOLLOWER;
    process_enter(process);
    if (folder_make(kmaster->folder, 0700, &why) != 0 ||
        master_open(&kmaster->master, &process->loop, &config, &why) != 0)
        FAIL("%s does not start: %s", kmaster->host->identity.name,
             why.message);
    process_leave(process);
    if (kmaster->host->vanished) {
        kmaster->host->vanished = false;
        wires_forgotten(kmaster->host);
    }
}

static void on_enlisted(void *data, uint64_t number)
{
    struct kmaster *kmaster = data;

    (void)number;
    if (!kmaster->host->life)
        kmaster_start(kmaster);
}

void kmaster_enlist(struct kmaster *kmaster,
                    const Kontor__V1__MastersResponse *told)
{
    kmaster->member_count = 0;
    for (size_t i = 0; i < told->n_masters; i++) {
        const Kontor__V1__Master *row = told->masters[i];

        take_member(kmaster, row->name, row->address);
        kmaster->members[i].id = row->id;
        kmaster->members[i].learner = row->learner;
    }
    kmaster->exists = true;
    kmaster->leaving = false;
    kmaster->retired = false;
    check_emptied(kmaster->host);
    world_after(0, on_enlisted, kmaster, 0);
}

void kmaster_retire(struct kmaster *kmaster)
{
    struct error why;

    kmaster->retired = true;
    kmaster_crash(kmaster, false);
    if (folder_remove(AT_FDCWD, kmaster->folder, &why) != 0)
        FAIL("%s", why.message);
}

/* ---- ending ---- */

static void on_closed(void *data)
{
    struct kmaster *kmaster = data;

    kmaster->closed = true;
    kmaster->master = NULL;
}

static void on_restart(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;

    if (!kmaster->host->life && !kmaster->retired &&
        kmaster->host->lives == lives)
        kmaster_start(kmaster);
}

/* After its last turn; libuv would end the process now. */
static void on_stopped(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;
    struct process *process = kmaster->host->life;

    if (!process || kmaster->host->lives != lives)
        return;
    if (!kmaster->closed) {
        world_after(1000, on_stopped, kmaster, lives);
        return;
    }
    wires_cut(process, false);
    process_kill(process);
    tell(kmaster->host, "has stopped");
    world_after(RESTART_US, on_restart, kmaster, lives);
}

void kmaster_stop(struct kmaster *kmaster)
{
    struct process *process = kmaster->host->life;

    if (!process || kmaster->closing)
        return;
    tell(kmaster->host, "is asked to stop");
    kmaster->closing = true;
    process_enter(process);
    master_close(kmaster->master, DRAIN_MS, on_closed, kmaster);
    process_leave(process);
    world_after(1000, on_stopped, kmaster, kmaster->host->lives);
}

void kmaster_crash(struct kmaster *kmaster, bool silent)
{
    struct process *process = kmaster->host->life;
    struct process *kept = process_now;

    if (!process)
        return;
    tell(kmaster->host, silent ? "vanishes" : "crashes");
    check_crashed(kmaster->host);
    wires_cut(process, silent);
    process_kill(process);
    kmaster->host->vanished = silent;
    process_now = process;
    if (!kmaster->closing)
        master_close(kmaster->master, 0, on_closed, kmaster);
    process_drain(process, &kmaster->closed);
    process_now = kept;
}

static void on_dying(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;

    if (!kmaster->host->life || kmaster->host->lives != lives)
        return;
    kmaster_crash(kmaster, false);
    world_after(RESTART_US, on_restart, kmaster, lives);
}

void kmaster_die_soon(struct process *process)
{
    world_after(0, on_dying, process->host->data, process->host->lives);
}

struct kmaster *kmaster_leader(void)
{
    struct kmaster *newest = NULL;

    for (unsigned i = 0; i < MASTERS_MAX; i++) {
        struct kmaster *kmaster = &kmasters[i];

        if (!kmaster->host->life || kmaster->closing ||
            !master_leads(kmaster->master))
            continue;
        if (!newest || raft_term(kmaster->master->replica->raft) >
                           raft_term(newest->master->replica->raft))
            newest = kmaster;
    }
    return newest;
}

void kmasters_fini(void)
{
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        kmaster_crash(&kmasters[i], false);
}
