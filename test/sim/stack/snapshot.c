/* snapshot.c - the saving of raft/snapshot.h (by ld's --wrap) without a child:
 * the file has the bytes of the moment at once, and its name when the virtual
 * disk has had its time. All else of snapshot.c is the real one. */
#include "raft/snapshot.h"

#include "base/fd.h"
#include "base/memory.h"
#include "test/sim/stack/world.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct saving {
    struct errand errand;
    struct snapshot_save *save; /* NULL: it was given up */
    char *fresh;                /* owned */
    char *path;                 /* owned */
};

int __wrap_snapshot_save_start(struct snapshot_save *save, uv_loop_t *loop,
                               const char *folder,
                               const struct replica_machine *machine,
                               struct error *why);
void __wrap_snapshot_save_cancel(struct snapshot_save *save);

static int hash_file(const char *path, uint8_t sha256[STORE_SHA256_BYTES],
                     struct error *why)
{
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    EVP_MD_CTX *hash;
    uint8_t chunk[4096];
    ssize_t got;

    if (fd < 0)
        return error_errno(why, "open %s", path);
    hash = snapshot_hash_new();
    while ((got = read(fd, chunk, sizeof chunk)) > 0)
        snapshot_hash_add(hash, chunk, (size_t)got);
    snapshot_hash_end(hash, sha256);
    EVP_MD_CTX_free(hash);
    return got < 0 ? error_errno(why, "read %s", path) : 0;
}

static int write_file(const char *path, const struct replica_machine *machine,
                      struct error *why)
{
    CLEANUP(fd_close)
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_errno(why, "create %s", path);
    return machine->save(machine->data, fd, why);
}

static void on_saved(struct errand *errand, bool lost)
{
    struct saving *saving = container_of(errand, struct saving, errand);
    struct snapshot_save *save = saving->save;
    static const struct error fine;
    int result = 0;

    if (!lost && save)
        result = rename(saving->fresh, saving->path);
    assert(result == 0);
    free(saving->fresh);
    free(saving->path);
    free(saving);
    if (!save)
        return;
    save->running = false;
    save->poll = NULL;
    if (!lost)
        save->done(save, &fine);
}

int __wrap_snapshot_save_start(struct snapshot_save *save, uv_loop_t *loop,
                               const char *folder,
                               const struct replica_machine *machine,
                               struct error *why)
{
    CLEANUP(free_pointer)
    char *fresh = snapshot_path(folder, save->index, ".tmp");
    struct saving *saving;

    assert(!save->running);
    if (write_file(fresh, machine, why) != 0 ||
        hash_file(fresh, save->sha256, why) != 0)
        return why->code;
    saving = memory_new(sizeof *saving);
    saving->save = save;
    saving->fresh = memory_string(fresh);
    saving->path = snapshot_path(folder, save->index, "");
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
