/* kmaster restore: the folder of a new cluster's founder, made of a backup. */
#include "master/backup.h"

#include "base/envelope.h"
#include "base/fd.h"
#include "base/options.h"
#include "kontor/v1/backup.pb-c.h"
#include "master/cluster.h"
#include "master/member_list.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COPY_BYTES = 64 << 10 };

struct line {
    const char *name;
    const char *data;
    const char *members;
    const char *file;
};

struct restore {
    int fd;
    struct envelope envelope;
    struct recover_backup backup;
    struct cluster *cluster; /* owned: the state */
};

static void restore_fini(struct restore *restore)
{
    cluster_free(restore->cluster);
    free(restore->envelope.header);
    fd_close(&restore->fd);
}

/* ---- reading ---- */

/* The state as it stands in the file, to `out`. */
static int copy_state(const struct restore *restore, int out, struct error *why)
{
    uint64_t left = restore->envelope.body_bytes;
    off_t from = (off_t)restore->envelope.body_offset;
    uint8_t bytes[COPY_BYTES];

    if (lseek(restore->fd, from, SEEK_SET) != from)
        return error_errno(why, "seek");
    while (left > 0) {
        size_t length = left < sizeof bytes ? (size_t)left : sizeof bytes;

        if (fd_read_exact(restore->fd, bytes, length, why) != 0 ||
            fd_write_all(out, bytes, length, why) != 0)
            return (int)why->code;
        left -= length;
    }
    return 0;
}

static int load_state(struct restore *restore, struct error *why)
{
    CLEANUP(fd_close) int state = memfd_create("state", MFD_CLOEXEC);

    if (state < 0)
        return error_errno(why, "make a file in memory");
    if (copy_state(restore, state, why) != 0)
        return (int)why->code;
    if (lseek(state, 0, SEEK_SET) != 0)
        return error_errno(why, "seek");
    if (cluster_load(&restore->cluster, state, why) != 0)
        return (int)why->code;
    if (restore->cluster->index > restore->backup.index)
        return error_set(why, ERROR_DATA_LOSS,
                         "its state is newer than it says");
    return 0;
}

static int read_header(struct restore *restore, struct error *why)
{
    const struct envelope *envelope = &restore->envelope;
    Kontor__V1__BackupHeader *header = kontor__v1__backup_header__unpack(
        NULL, envelope->header_length, envelope->header);
    bool good = header && header->members;

    if (good) {
        restore->backup = (struct recover_backup){
            .index = header->index,
            .term = header->term,
            .next_id = header->members->next_id,
        };
        memcpy(restore->backup.sha256, envelope->sha256,
               sizeof envelope->sha256);
    }
    if (header)
        kontor__v1__backup_header__free_unpacked(header, NULL);
    return good ? 0
                : error_set(why, ERROR_DATA_LOSS,
                            "it is damaged: its header is none");
}

static int read_backup(struct restore *restore, const char *path,
                       struct error *why)
{
    restore->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (restore->fd < 0)
        return error_errno(why, "open %s", path);
    if (envelope_check(restore->fd, BACKUP_KIND, &restore->envelope, why) !=
            0 ||
        read_header(restore, why) != 0 || load_state(restore, why) != 0)
        return error_wrap(why, "%s", path);
    return 0;
}

/* ---- writing ---- */

static int save_state(void *data, int fd, struct error *why)
{
    return cluster_save(data, fd, why);
}

/* Ids that were given after the backup may be in use on nodes, for pods that
 * nobody here knows of: no more nodes than there are indices, each took a
 * command, and no more pods than so many commands could make. */
static void leave_out_ids(struct cluster *cluster)
{
    cluster->next_pod_id += RECOVER_INDICES * PODS_PER_COMMAND_MAX;
    cluster->next_node_id += RECOVER_INDICES;
}

static int make_store(const struct restore *restore, const struct line *line,
                      const struct member_list *founders,
                      struct recover_log *out, struct error *why)
{
    const struct replica_config config = {
        .name = line->name,
        .folder = line->data,
        .members = founders->members,
        .member_count = founders->count,
        .machine = {.save = save_state, .data = restore->cluster},
    };

    assert(restore->cluster);
    leave_out_ids(restore->cluster);
    return recover_restore(&config, &restore->backup, out, why);
}

static int restore(const struct line *line, struct error *why)
{
    CLEANUP(restore_fini)
    struct restore restore = {.fd = -1};
    CLEANUP(member_list_fini) struct member_list founders = {0};
    struct recover_log made;

    if (backup_need(line->name, "name", why) != 0 ||
        backup_need(line->data, "data", why) != 0 ||
        backup_need(line->members, "members", why) != 0 ||
        member_list_parse(&founders, line->members, why) != 0)
        return (int)why->code;
    if (read_backup(&restore, line->file, why) != 0 ||
        make_store(&restore, line, &founders, &made, why) != 0)
        return (int)why->code;
    printf("%s holds the state at index %" PRIu64 ", term %" PRIu64
           ", and goes on after index %" PRIu64 ", term %" PRIu64 "\n"
           "masters: ",
           line->name, restore.backup.index, restore.backup.term,
           made.last_index, made.term);
    backup_print_members(&made);
    recover_log_fini(&made);
    return 0;
}

static const char restore_usage[] =
    "kmaster restore kontor.backup --name m1 --data /var/lib/kontor/m1 \\\n"
    "  --members m1=10.0.0.1:7400,m2=10.0.0.2:7400,m3=10.0.0.3:7400\n"
    "\n"
    "Makes the folder of a new cluster's founder of a backup. Do it for each\n"
    "founder, with the same file and members, then start them as usual.\n"
    "\n";

int backup_restore_main(int argc, char **argv)
{
    struct line line = {0};
    const struct option options[] = {
        {"name", OPTION_STRING, &line.name, "NAME", "this master's name"},
        {"data", OPTION_STRING, &line.data, "DIR", "an empty folder, or none"},
        {"members", OPTION_STRING, &line.members, "NAME=HOST:PORT,...",
         "all founders of the new cluster, this one too"},
        {0},
    };
    struct operands operands;
    struct error why;
    int code;

    if (!backup_parse(options, restore_usage, argc, argv, &operands, &code))
        return code;
    if (operands.count != 1) {
        error_set(&why, ERROR_INVALID_ARGUMENT,
                  "one file is needed; kmaster restore --help shows an "
                  "example");
        return backup_report(&why);
    }
    line.file = operands.values[0];
    return restore(&line, &why) == 0 ? EXIT_CODE_DONE : backup_report(&why);
}
