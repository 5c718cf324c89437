/* snapshot.c - saving runs in a forked child (base/child.h).
 *
 *   child:  write FILE.tmp, sync, hash, rename, sync folder, report on a pipe
 *   parent: end of pipe -> wait for the child -> done                       */
#include "raft/snapshot.h"

#include "base/child.h"
#include "base/fd.h"
#include "base/memory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HASH_CHUNK_BYTES = 64 << 10 };

/* What the child reports: at most PIPE_BUF bytes, so in one piece. */
struct report {
    struct error why;
    uint8_t sha256[STORE_SHA256_BYTES];
};

static const char prefix[] = "snapshot-";

char *snapshot_path(const char *folder, uint64_t index, const char *suffix)
{
    return memory_format("%s/%s%" PRIu64 "%s", folder, prefix, index, suffix);
}

void snapshot_fini(struct snapshot *snapshot)
{
    raft_payload_drop(snapshot->configuration);
    *snapshot = (struct snapshot){0};
}

/* ---- hashing ---- */

EVP_MD_CTX *snapshot_hash_new(void)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();

    if (!hash || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1)
        abort(); /* out of memory */
    return hash;
}

void snapshot_hash_add(EVP_MD_CTX *hash, const void *bytes, size_t length)
{
    int good = EVP_DigestUpdate(hash, bytes, length);

    assert(good == 1);
}

void snapshot_hash_end(EVP_MD_CTX *hash, uint8_t sha256[STORE_SHA256_BYTES])
{
    unsigned length = 0;
    int good = EVP_DigestFinal_ex(hash, sha256, &length);

    assert(good == 1 && length == STORE_SHA256_BYTES);
}

static void free_hash(EVP_MD_CTX **hash)
{
    EVP_MD_CTX_free(*hash);
}

/* Of the whole file, whose position is left at its start. */
static int hash_file(int fd, uint8_t sha256[STORE_SHA256_BYTES],
                     struct error *why)
{
    CLEANUP(free_hash) EVP_MD_CTX *hash = snapshot_hash_new();
    CLEANUP(free_pointer) uint8_t *chunk = memory_new(HASH_CHUNK_BYTES);

    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_errno(why, "seek");
    for (;;) {
        ssize_t got = read(fd, chunk, HASH_CHUNK_BYTES);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(why, "read");
        if (got == 0)
            break;
        snapshot_hash_add(hash, chunk, (size_t)got);
    }
    snapshot_hash_end(hash, sha256);
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_errno(why, "seek");
    return 0;
}

/* ---- files ---- */

int snapshot_open(const char *folder, uint64_t index, int *fd,
                  struct error *why)
{
    CLEANUP(free_pointer) char *path = snapshot_path(folder, index, "");
    int opened = open(path, O_RDONLY | O_CLOEXEC);

    if (opened < 0)
        return error_errno(why, "open %s", path);
    *fd = opened;
    return 0;
}

int snapshot_load(const char *folder, const struct snapshot *snapshot,
                  const struct replica_machine *machine, void **loaded,
                  struct error *why)
{
    CLEANUP(free_pointer)
    char *path = snapshot_path(folder, snapshot->index, "");
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t sha256[STORE_SHA256_BYTES];

    if (fd < 0 && errno == ENOENT)
        return error_set(why, ERROR_DATA_LOSS,
                         "%s is missing; the log begins after it", path);
    if (fd < 0)
        return error_errno(why, "open %s", path);
    if (hash_file(fd, sha256, why) != 0)
        return error_wrap(why, "%s", path);
    if (memcmp(sha256, snapshot->sha256, sizeof sha256) != 0)
        return error_set(why, ERROR_DATA_LOSS, "%s has a wrong checksum", path);
    if (machine->load(machine->data, fd, snapshot->index, loaded, why) != 0)
        return error_wrap(why, "load %s", path);
    return 0;
}

struct unused_state {
    uv_work_t work;
    void (*drop)(void *state);
    void *state;
};

static void drop_unused(uv_work_t *work)
{
    struct unused_state *unused = container_of(work, struct unused_state, work);

    unused->drop(unused->state);
}

static void on_dropped(uv_work_t *work, int status)
{
    (void)status; /* nobody cancels it */
    free(container_of(work, struct unused_state, work));
}

void snapshot_drop(uv_loop_t *loop, const struct replica_machine *machine,
                   void *state)
{
    struct unused_state *unused;

    if (!state)
        return;
    unused = memory_new(sizeof *unused);
    unused->drop = machine->drop;
    unused->state = state;
    uv_queue_work(loop, &unused->work, drop_unused, on_dropped);
}

static void close_dir(DIR **stream)
{
    if (*stream)
        closedir(*stream);
}

int snapshot_clean(const char *folder, uint64_t keep, struct error *why)
{
    CLEANUP(close_dir) DIR *stream = opendir(folder);
    char kept[64];
    const struct dirent *entry;

    if (!stream)
        return error_errno(why, "open folder %s", folder);
    snprintf(kept, sizeof kept, "%s%" PRIu64, prefix, keep);
    while ((entry = readdir(stream))) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 ||
            strcmp(entry->d_name, kept) == 0)
            continue;
        if (unlinkat(dirfd(stream), entry->d_name, 0) != 0)
            return error_errno(why, "remove %s/%s", folder, entry->d_name);
    }
    return 0;
}

static void on_removed(uv_fs_t *request)
{
    uv_fs_req_cleanup(request);
    free(request);
}

void snapshot_remove(uv_loop_t *loop, const char *folder, uint64_t index)
{
    CLEANUP(free_pointer) char *path = snapshot_path(folder, index, "");
    uv_fs_t *request = memory_new(sizeof *request);

    uv_fs_unlink(loop, request, path, on_removed);
}

/* ---- writing ---- */

static int save_file(const char *path, const struct replica_machine *machine,
                     uint8_t sha256[STORE_SHA256_BYTES], struct error *why)
{
    CLEANUP(fd_close)
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_errno(why, "create %s", path);
    if (machine->save(machine->data, fd, why) != 0)
        return error_wrap(why, "write %s", path);
    if (fsync(fd) != 0)
        return error_errno(why, "sync %s", path);
    if (hash_file(fd, sha256, why) != 0)
        return error_wrap(why, "%s", path);
    return 0;
}

static int rename_durably(const char *folder, const char *from, const char *to,
                          struct error *why)
{
    CLEANUP(fd_close)
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(why, "open folder %s", folder);
    if (rename(from, to) != 0)
        return error_errno(why, "rename %s to %s", from, to);
    if (fsync(fd) != 0)
        return error_errno(why, "sync folder %s", folder);
    return 0;
}

int snapshot_write(const char *folder, uint64_t index,
                   const struct replica_machine *machine,
                   uint8_t sha256[STORE_SHA256_BYTES], struct error *why)
{
    CLEANUP(free_pointer) char *fresh = snapshot_path(folder, index, ".tmp");
    CLEANUP(free_pointer) char *path = snapshot_path(folder, index, "");

    if (save_file(fresh, machine, sha256, why) != 0 ||
        rename_durably(folder, fresh, path, why) != 0) {
        unlink(fresh);
        return why->code;
    }
    return 0;
}

/* ---- the child ---- */

static _Noreturn void run_child(const struct snapshot_save *save_op,
                                const char *folder,
                                const struct replica_machine *machine)
{
    struct report report = {0};
    struct error why;

    (void)snapshot_write(folder, save_op->index, machine, report.sha256,
                         &report.why);
    if (fd_write_all(CHILD_FD, &report, sizeof report, &why) != 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_SUCCESS);
}

/* ---- the parent ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

/* The child has ended or is being killed: no wait of any length. */
static int reap(struct snapshot_save *save_op)
{
    int status = child_reap(save_op->child);

    uv_poll_stop(save_op->poll);
    uv_close((uv_handle_t *)save_op->poll, on_poll_closed);
    fd_reset(&save_op->result_fd);
    save_op->running = false;
    return status;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct snapshot_save *save_op = poll->data;
    struct report report;
    ssize_t got;

    (void)status;
    (void)events;
    do
        got = read(save_op->result_fd, &report, sizeof report);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return;
    status = reap(save_op);
    if (got != sizeof report && WIFSIGNALED(status))
        error_set(&report.why, ERROR_ABORTED,
                  "the child that saves snapshot %" PRIu64
                  " was ended by signal %d",
                  save_op->index, WTERMSIG(status));
    else if (got != sizeof report)
        error_set(&report.why, ERROR_INTERNAL,
                  "the child that saves snapshot %" PRIu64 " reported nothing",
                  save_op->index);
    else
        memcpy(save_op->sha256, report.sha256, sizeof save_op->sha256);
    save_op->done(save_op, &report.why); /* may free it */
}

int snapshot_save_start(struct snapshot_save *save_op, uv_loop_t *loop,
                        const char *folder,
                        const struct replica_machine *machine,
                        struct error *why)
{
    CLEANUP(fd_close) int write_end = -1;
    int ends[2];
    int result;

    assert(!save_op->running);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return error_errno(why, "make a pipe");
    write_end = ends[1];
    save_op->child = child_fork(write_end, "snapshot");
    if (save_op->child == 0)
        run_child(save_op, folder, machine);
    if (save_op->child < 0) {
        error_errno(why, "fork");
        close(ends[0]);
        return why->code;
    }
    save_op->result_fd = ends[0];
    save_op->running = true;
    save_op->poll = memory_new(sizeof *save_op->poll);
    save_op->poll->data = save_op;
    result = uv_poll_init(loop, save_op->poll, save_op->result_fd);
    assert(result == 0);
    result = uv_poll_start(save_op->poll, UV_READABLE, on_readable);
    assert(result == 0);
    return 0;
}

void snapshot_save_cancel(struct snapshot_save *save_op)
{
    if (!save_op->running)
        return;
    kill(save_op->child, SIGKILL);
    (void)reap(save_op);
}
