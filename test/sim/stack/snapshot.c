/* snapshot.c - the saving of raft/snapshot.h (by ld's --wrap) without a child:
 * the bytes are those of the moment, and snapshot_write() puts them on the disk
 * when that has had its time. All else of snapshot.c is the real one. */
#include "raft/snapshot.h"

#include "base/fd.h"
#include "base/memory.h"
#include "test/sim/disk/disk.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/check_state.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/world.h"

#include <assert.h>
#include <string.h>

enum {
    FAULT_PERCENT = 20,
    POWER_US = 400000,
    FAULT_WITHIN = 5, /* operations of the disk, of which it takes six */
};

struct saving {
    struct errand errand;
    struct snapshot_save *save; /* NULL: it was given up */
    char *folder;               /* owned */
    struct state_bytes bytes;   /* owned */
};

int __wrap_snapshot_save_start(struct snapshot_save *save, uv_loop_t *loop,
                               const char *folder,
                               const struct replica_machine *machine,
                               struct error *why);
void __wrap_snapshot_save_cancel(struct snapshot_save *save);

static int write_bytes(void *data, int fd, struct error *why)
{
    const struct state_bytes *bytes = data;

    return fd_write_all(fd, bytes->bytes, bytes->length, why);
}

/* Sometimes not without trouble, which it returns. */
static enum disk_fault arm_disk(const struct host *host)
{
    static const enum disk_fault kinds[] = {DISK_WRITE_EIO, DISK_SYNC_EIO,
                                            DISK_SYNC_EIO,  DISK_FULL,
                                            DISK_CUT,       DISK_STOP};
    enum disk_fault kind = kinds[world_between(0, ARRAY_LEN(kinds) - 1)];

    if (world.healed || host->rotten || host->disk_full ||
        disk_is_off(host->disk) || !world_chance(FAULT_PERCENT))
        return DISK_SOUND;
    disk_fault(host->disk, kind, (unsigned)world_between(0, FAULT_WITHIN));
    return kind;
}

static void on_power_cut(void *data, uint64_t lives)
{
    struct kmaster *kmaster = data;

    if (!kmaster->host->life || kmaster->host->lives != lives)
        return;
    kmaster_crash(kmaster, true);
    kmaster_start_after(kmaster, world_between(1, world.traits.down_us));
}

/* Whoever took a failed sync for a good one has named the file by then. */
static void cut_power_soon(const struct host *host)
{
    if (disk_fault_happened(host->disk) && !world.healed && world_chance(50))
        world_after(world_between(1, POWER_US), on_power_cut, host->data,
                    host->lives);
}

static void on_saved(struct errand *errand, bool lost)
{
    struct saving *saving = container_of(errand, struct saving, errand);
    struct snapshot_save *save = saving->save;
    const struct replica_machine machine = {.save = write_bytes,
                                            .data = &saving->bytes};
    struct host *host = errand->process->host;
    struct error why = {0};

    if (!lost && save) {
        enum disk_fault fault = arm_disk(host);

        (void)snapshot_write(saving->folder, save->index, &machine,
                             save->sha256, &why);
        cut_power_soon(host);
        if (fault == DISK_FULL) /* with it alone: it gave its room back */
            kmaster_rest_disk(host);
        tally.full += why.code == ERROR_RESOURCE_EXHAUSTED;
    }
    free(saving->folder);
    free(saving->bytes.bytes);
    free(saving);
    if (!save)
        return;
    save->running = false;
    save->poll = NULL;
    if (!lost)
        save->done(save, &why);
}

int __wrap_snapshot_save_start(struct snapshot_save *save, uv_loop_t *loop,
                               const char *folder,
                               const struct replica_machine *machine,
                               struct error *why)
{
    struct saving *saving = memory_new(sizeof *saving);

    (void)why;
    assert(!save->running);
    state_save(machine, &saving->bytes);
    check_saved(((const struct master *)machine->data)->cluster,
                &saving->bytes);
    saving->save = save;
    saving->folder = memory_string(folder);
    save->running = true;
    save->poll = (uv_poll_t *)(void *)saving; /* where cancel finds it */
    errand_start(&saving->errand, process_of(loop),
                 world_between(1, world.traits.save_us), on_saved);
    return 0;
}

void __wrap_snapshot_save_cancel(struct snapshot_save *save)
{
    if (!save->running)
        return;
    ((struct saving *)(void *)save->poll)->save = NULL;
    save->running = false;
    save->poll = NULL;
}
