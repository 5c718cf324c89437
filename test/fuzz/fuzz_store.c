/* A master's folder as a crash left it, with bytes written over and files cut
 * short: what opens holds what was written, but for the last transactions,
 * which may be gone where the mark is lost, too; all else is refused, by name.
 *
 * The input is patches: three bytes of an offset (the highest two bits choose
 * the file), a length, and that many bytes; length 0 cuts the file there. */
#include "base/fd.h"
#include "base/memory.h"
#include "raft/snapshot.h"
#include "raft/store_file.h"
#include "test/unit/raft_members.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    TRANSACTIONS = 12,
    CHECKPOINTED = 7, /* raft.db has so many */
    ENTRIES_EACH = 3,
    SNAPSHOT_INDEX = 18, /* taken in the middle of them */
    FIRST_INDEX = 13,    /* what is left of the log begins there */
    STATE_BYTES = 1000,
    FILE_MAX_BYTES = 4 << 20,
};

static const char *const names[] = {"raft.db", "raft.db-wal", "raft.db-mark",
                                    "snapshot-18"};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static char folder[64];
static struct buffer images[ARRAY_LEN(names)];
static struct raft_payload *members;

static const char *path_of(unsigned which)
{
    static char path[96];

    snprintf(path, sizeof path, "%s/%s", folder, names[which]);
    return path;
}

static void read_image(unsigned which)
{
    struct error why;

    buffer_init(&images[which], FILE_MAX_BYTES);
    if (file_read(AT_FDCWD, path_of(which), &images[which], &why) != 0)
        abort();
}

static void write_image(unsigned which)
{
    CLEANUP(fd_close)
    int fd = open(path_of(which), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct error why;

    if (fd < 0 || fd_write_all(fd, buffer_data(&images[which]),
                               buffer_length(&images[which]), &why) != 0)
        abort();
}

static int open_store(struct store_file *file, struct store_content *content,
                      struct error *why)
{
    const struct store_options options = {
        .folder = folder,
        .self = "m1",
        .id = 1,
        .configuration = members,
    };

    return store_file_open(file, &options, content, why);
}

/* Transaction `number`, from 0: its term is one more, its entries say it. */
static void write_one(struct store_file *file, unsigned number)
{
    struct raft_entry entries[ENTRIES_EACH];
    struct store_write write = {
        .has_state = true,
        .term = number + 1,
        .voted_for = number % 3 + 1,
        .from = (uint64_t)number * ENTRIES_EACH + 1,
        .entries = entries,
        .entry_count = ENTRIES_EACH,
    };
    struct error why;

    for (unsigned i = 0; i < ENTRIES_EACH; i++)
        entries[i] = (struct raft_entry){
            .term = number + 1,
            .kind = RAFT_ENTRY_COMMAND,
            .payload = raft_payload_new(&number, sizeof number),
        };
    if (store_file_begin(file, &why) != 0 ||
        store_file_write(file, &write, &why) != 0 ||
        store_file_commit(file, &why) != 0)
        abort();
    for (unsigned i = 0; i < ENTRIES_EACH; i++)
        raft_payload_drop(entries[i].payload);
}

/* ---- a snapshot ---- */

static int save_state(void *data, int fd, struct error *why)
{
    uint8_t state[STATE_BYTES];

    (void)data;
    memset(state, 'x', sizeof state);
    return fd_write_all(fd, state, sizeof state, why);
}

static int load_state(void *data, int fd, uint64_t index, void **loaded,
                      struct error *why)
{
    uint8_t state[STATE_BYTES + 1];

    (void)data;
    (void)why;
    assert(index == SNAPSHOT_INDEX);
    assert(read(fd, state, sizeof state) == STATE_BYTES);
    for (unsigned i = 0; i < STATE_BYTES; i++)
        assert(state[i] == 'x');
    *loaded = NULL;
    return 0;
}

static const struct replica_machine machine = {.save = save_state,
                                               .load = load_state};

static void compact(struct store_file *file)
{
    struct store_compaction compaction = {
        .snapshot_index = SNAPSHOT_INDEX,
        .snapshot_term = SNAPSHOT_INDEX / ENTRIES_EACH,
        .configuration = members,
        .keep_from = FIRST_INDEX,
    };
    struct error why;

    if (snapshot_write(folder, SNAPSHOT_INDEX, &machine,
                       compaction.snapshot_sha256, &why) != 0 ||
        store_file_begin(file, &why) != 0 ||
        store_file_compact(file, &compaction, &why) != 0 ||
        store_file_commit(file, &why) != 0 ||
        store_file_checkpoint(file, &why) != 0)
        abort();
}

/* As a master does that starts. */
static int restore(const struct store_content *content, struct error *why)
{
    struct snapshot snapshot = {.index = content->snapshot_index};
    void *loaded;

    memcpy(snapshot.sha256, content->snapshot_sha256, sizeof snapshot.sha256);
    if (snapshot_clean(folder, snapshot.index, why) != 0)
        return why->code;
    return snapshot_load(folder, &snapshot, &machine, &loaded, why);
}

/* ---- what a crash left ---- */

static void remove_folder(void)
{
    struct error why;

    folder_remove(AT_FDCWD, folder, &why);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct store_content content;
    struct store_file file;
    struct error why;

    (void)argc;
    (void)argv;
    snprintf(folder, sizeof folder, "/dev/shm/fuzz-store-%d", getpid());
    atexit(remove_folder);
    members = raft_members(3, 0, RAFT_NOBODY);
    if (open_store(&file, &content, &why) != 0)
        abort();
    store_content_fini(&content);
    for (unsigned i = 0; i < TRANSACTIONS; i++) {
        write_one(&file, i);
        if (i + 1 == CHECKPOINTED)
            compact(&file);
    }
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        read_image(i); /* not closed: as a crash would leave them */
    store_file_close(&file);
    return 0;
}

/* Returns the transactions that must be there. A log that is damaged beside its
 * mark does not always tell how long it was (raft/store_mark.h): what is left
 * is then what it was up to somewhere. */
static unsigned patch(const uint8_t *bytes, size_t length)
{
    bool log_damaged = false;
    bool mark_lost = false;

    while (length >= 4) {
        unsigned which = bytes[0] >> 6;
        size_t offset =
            (size_t)(bytes[0] & 0x3f) << 16 | (size_t)bytes[1] << 8 | bytes[2];
        size_t count = bytes[3];
        int fd = open(path_of(which), O_WRONLY | O_CLOEXEC);

        bytes += 4;
        length -= 4;
        if (count > length)
            count = length;
        offset %= buffer_length(&images[which]);
        if (offset + count > buffer_length(&images[which]))
            count = buffer_length(&images[which]) - offset;
        log_damaged |= which == 1;
        mark_lost |= which == 2;
        if (bytes[-1] == 0)
            assert(ftruncate(fd, (off_t)offset) == 0);
        else
            assert(pwrite(fd, bytes, count, (off_t)offset) == (ssize_t)count);
        close(fd);
        bytes += count;
        length -= count;
    }
    return log_damaged && mark_lost ? CHECKPOINTED : TRANSACTIONS - 1;
}

static void check(const struct store_content *content, unsigned least)
{
    unsigned number = 0;

    assert(content->term >= least && content->term <= TRANSACTIONS);
    assert(content->snapshot_index == SNAPSHOT_INDEX);
    assert(content->first_index == FIRST_INDEX);
    assert(content->entry_count ==
           content->term * ENTRIES_EACH - (FIRST_INDEX - 1));
    assert(content->voted_for == (content->term - 1) % 3 + 1);
    for (size_t i = 0; i < content->entry_count; i++) {
        const struct raft_entry *entry = &content->entries[i];

        number = (unsigned)((FIRST_INDEX - 1 + i) / ENTRIES_EACH);
        assert(entry->term == number + 1);
        assert(entry->payload->length == sizeof number);
        assert(memcmp(entry->payload->bytes, &number, sizeof number) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct store_content content;
    struct store_file file;
    struct error why;
    unsigned least;

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        write_image(i);
    least = patch(bytes, length);
    if (open_store(&file, &content, &why) != 0) {
        assert(why.code != 0 && strstr(why.message, "raft.db"));
        return 0;
    }
    check(&content, least);
    if (restore(&content, &why) != 0)
        assert(why.code == ERROR_DATA_LOSS && strstr(why.message, names[3]));
    store_content_fini(&content);
    store_file_close(&file);
    return 0;
}
