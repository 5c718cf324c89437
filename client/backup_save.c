#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "client/backup_file.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/progress.h"
#include "client/stream.h"
#include "client/verbs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where the backup goes: FILE.part, which becomes FILE when it has proved to be
 * whole; or, for stdout, a file without a name, so that a pipe is given all of
 * it or nothing. */
struct target {
    const char *path;
    char *part; /* owned; NULL: stdout */
    int fd;
    uint64_t bytes;
    struct progress progress;
};

static int target_open(struct target *target, const char *path, bool force,
                       struct error *why)
{
    const char *folder = getenv("TMPDIR");

    *target = (struct target){.path = path, .fd = -1};
    progress_init(&target->progress, stderr);
    target->progress.printed_ms = clock_monotonic_ms(); /* not at once */
    if (strcmp(path, "-") == 0) {
        if (!folder)
            folder = "/tmp";
        target->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        return target->fd < 0 ? error_errno(why, "make a file in %s", folder)
                              : 0;
    }
    if (!force && access(path, F_OK) == 0)
        return error_set(why, ERROR_ALREADY_EXISTS,
                         "%s is there already; --force replaces it", path);
    target->part = memory_format("%s.part", path);
    target->fd =
        open(target->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return target->fd < 0 ? error_errno(why, "create %s", target->part) : 0;
}

static void target_fini(struct target *target)
{
    if (target->part)
        unlink(target->part); /* not there when all went well */
    free(target->part);
    fd_close(&target->fd);
}

/* ---- receiving ---- */

static int take(struct target *target, const Kontor__V1__BackupChunk *chunk,
                struct error *why)
{
    char line[PROGRESS_LINE_MAX];
    char size[QUANTITY_TEXT_MAX];

    if (fd_write_all(target->fd, chunk->data.data, chunk->data.len, why) != 0)
        return error_wrap(why, "%s", target->path);
    target->bytes += chunk->data.len;
    snprintf(line, sizeof line, "%s  %s", target->path,
             quantity_format_bytes(size, target->bytes));
    progress_update(&target->progress, line, clock_monotonic_ms());
    return 0;
}

/* One stream, from its beginning to its end. */
static int receive(struct contact *contact, struct target *target,
                   struct error *why)
{
    Kontor__V1__BackupRequest request = KONTOR__V1__BACKUP_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    struct stream *stream;
    int code;

    target->bytes = 0;
    if (ftruncate(target->fd, 0) != 0 || lseek(target->fd, 0, SEEK_SET) != 0)
        return error_errno(why, "empty %s", target->path);
    if (stream_open(&stream, contact, "Backup", &request.base,
                    contact_deadline(contact), why) != 0)
        return (int)why->code;
    do {
        code = stream_next(stream, contact_deadline(contact), &message, why);
        if (code != 0 || !message)
            break;
        code = take(target, (const Kontor__V1__BackupChunk *)message, why);
        message_free(message);
    } while (code == 0);
    stream_close(stream);
    progress_clear(&target->progress);
    return code;
}

/* A master that goes away is no reason to give up: another one has it all. */
static int receive_from_any(struct contact *contact, struct target *target,
                            struct error *why)
{
    uint64_t deadline_ms = contact_deadline(contact);
    int code;

    do
        code = receive(contact, target, why);
    while (contact_may_retry(code) && !contact_expired(deadline_ms));
    return code;
}

/* ---- keeping ---- */

static int sync_folder_of(const char *path, struct error *why)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(free_pointer)
    char *folder = slash ? memory_format("%.*s/", (int)(slash - path), path)
                         : memory_string(".");
    CLEANUP(fd_close)
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return error_errno(why, "sync folder %s", folder);
    return 0;
}

static int keep(const struct target *target, struct error *why)
{
    if (fsync(target->fd) != 0)
        return error_errno(why, "sync %s", target->part);
    if (rename(target->part, target->path) != 0)
        return error_errno(why, "rename %s to %s", target->part, target->path);
    return sync_folder_of(target->path, why);
}

static int copy_to_stdout(const struct target *target, struct error *why)
{
    uint8_t bytes[BUFSIZ];
    ssize_t got;

    if (lseek(target->fd, 0, SEEK_SET) != 0)
        return error_errno(why, "seek");
    while ((got = read(target->fd, bytes, sizeof bytes)) > 0)
        if (fd_write_all(STDOUT_FILENO, bytes, (size_t)got, why) != 0)
            return error_wrap(why, "stdout");
    return got < 0 ? error_errno(why, "read what was received") : 0;
}

static int save(struct contact *contact, struct target *target, bool json,
                struct error *why)
{
    struct backup_content content;
    char size[QUANTITY_TEXT_MAX];
    int code;

    if (receive_from_any(contact, target, why) != 0)
        return (int)why->code;
    if (backup_file_read(target->fd, &content, why) != 0)
        return error_wrap(why, "what was received");
    code = target->part ? keep(target, why) : copy_to_stdout(target, why);
    if (code == 0 && json)
        output_json(backup_content_json(&content));
    else if (code == 0)
        output_line(stderr, "%s  %s, index %" PRIu64 ", term %" PRIu64,
                    target->path, quantity_format_bytes(size, target->bytes),
                    content.header->index, content.header->term);
    backup_content_fini(&content);
    return code;
}

static int run(struct words *words)
{
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    const char *format = NULL;
    bool force = false;
    const struct option options[] = {
        {"force", OPTION_FLAG, &force, NULL, "replace FILE when it is there"},
        OUTPUT_OPTION(&format),
        CONTACT_OPTIONS(&to),
        {0}};
    struct contact *contact;
    struct target target;
    struct error why;
    bool json;
    int code;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (contact_open(&contact, &to, &why) != 0)
        return exit_report(&why);
    code = target_open(&target, words->operands.values[0], force, &why);
    if (code == 0 && json && !target.part)
        code = error_set(&why, ERROR_INVALID_ARGUMENT,
                         "-o json has no place beside a backup on stdout");
    if (code == 0)
        code = save(contact, &target, json, &why);
    target_fini(&target);
    contact_close(contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_backup_save = {
    .name = "backup save",
    .summary = "Save the cluster's state to a file",
    .example = "kctl backup save kontor.backup",
    .synopsis = "kctl backup save FILE [--force] [-o json]",
    .details =
        "The whole state as of one moment: pods, nodes, events, remembered "
        "requests. FILE is\nthere when it is complete and checked, or not at "
        "all; - is stdout. Admins only.\nkmaster restore makes a new cluster "
        "of it.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
