/* A log as a crash left it, file and write-ahead log, with bytes written over:
 * what opens holds what was written, but for the last transaction, which a
 * crash may take; all else is refused.
 *
 * The input is patches: two bytes and one of an offset (the highest bit
 * chooses the file), a length, and that many bytes. */
#include "base/fd.h"
#include "base/memory.h"
#include "raft/store_file.h"
#include "test/unit/raft_members.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TRANSACTIONS = 12, ENTRIES_EACH = 3, FILE_MAX_BYTES = 8 << 20 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static char folder[64];
static struct buffer images[2]; /* of the file and its write-ahead log */
static struct raft_payload *members;

static const char *path_of(int which)
{
    static char path[96];

    snprintf(path, sizeof path, "%s/raft.db%s", folder, which ? "-wal" : "");
    return path;
}

static void read_image(int which)
{
    struct error why;

    buffer_init(&images[which], FILE_MAX_BYTES);
    if (file_read(AT_FDCWD, path_of(which), &images[which], &why) != 0)
        abort();
}

static void write_image(int which)
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
        if (i == TRANSACTIONS / 2 && store_file_checkpoint(&file, &why) != 0)
            abort();
    }
    read_image(0);
    read_image(1); /* not closed: as a crash would leave them */
    store_file_close(&file);
    return 0;
}

static void patch(const uint8_t *bytes, size_t length)
{
    while (length >= 4) {
        int which = bytes[0] >> 7;
        size_t offset =
            (size_t)(bytes[0] & 0x7f) << 16 | (size_t)bytes[1] << 8 | bytes[2];
        size_t count = bytes[3];
        int fd = open(path_of(which), O_WRONLY | O_CLOEXEC);

        bytes += 4;
        length -= 4;
        if (count > length)
            count = length;
        offset %= buffer_length(&images[which]);
        if (offset + count > buffer_length(&images[which]))
            count = buffer_length(&images[which]) - offset;
        assert(pwrite(fd, bytes, count, (off_t)offset) == (ssize_t)count);
        close(fd);
        bytes += count;
        length -= count;
    }
}

static void check(const struct store_content *content)
{
    unsigned number = 0;

    assert(content->term == TRANSACTIONS || content->term == TRANSACTIONS - 1);
    assert(content->entry_count == content->term * ENTRIES_EACH);
    assert(content->voted_for == (content->term - 1) % 3 + 1);
    for (size_t i = 0; i < content->entry_count; i++) {
        const struct raft_entry *entry = &content->entries[i];

        number = (unsigned)(i / ENTRIES_EACH);
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

    write_image(0);
    write_image(1);
    patch(bytes, length);
    if (open_store(&file, &content, &why) != 0) {
        assert(why.code != 0 && strstr(why.message, "raft.db"));
        return 0;
    }
    check(&content);
    store_content_fini(&content);
    store_file_close(&file);
    return 0;
}
