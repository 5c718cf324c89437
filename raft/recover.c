#include "raft/recover.h"

#include "base/fd.h"
#include "raft/replica_parts.h"
#include "raft/store_file.h"

#include <assert.h>
#include <string.h>

void recover_log_fini(struct recover_log *log)
{
    if (log->members)
        kontor__v1__raft_configuration__free_unpacked(log->members, NULL);
    *log = (struct recover_log){0};
}

/* ---- of a log that is there ---- */

/* The newest, committed or not: as raft_new() would take it. */
static Kontor__V1__RaftConfiguration *
newest_members(const struct store_content *content)
{
    for (size_t i = content->entry_count; i > 0; i--)
        if (content->entries[i - 1].kind == RAFT_ENTRY_CONFIGURATION)
            return raft_configuration_unpack(content->entries[i - 1].payload);
    return raft_configuration_unpack(content->configuration);
}

static struct recover_log describe(const struct store_content *content)
{
    size_t count = content->entry_count;

    return (struct recover_log){
        .first_index = content->first_index,
        .last_index = content->first_index + count - 1,
        .last_term =
            count ? content->entries[count - 1].term : content->snapshot_term,
        .snapshot_index = content->snapshot_index,
        .term = content->term,
        .members = newest_members(content),
    };
}

/* Open it; the id is whose it is. */
static int open_log(const char *folder, const char *name,
                    struct store_file *file, struct recover_log *out,
                    uint32_t *id, struct error *why)
{
    const struct store_options options = {.folder = folder, .self = name};
    struct store_content content;

    if (!store_exists(folder))
        return error_set(why, ERROR_NOT_FOUND, "%s holds no master's log",
                         folder);
    if (store_file_open(file, &options, &content, why) != 0)
        return why->code;
    *out = describe(&content);
    *id = content.id;
    store_content_fini(&content);
    return 0;
}

int recover_look(const char *folder, const char *name, struct recover_log *out,
                 struct error *why)
{
    struct store_file file;
    uint32_t id;

    if (open_log(folder, name, &file, out, &id, why) != 0)
        return why->code;
    store_file_close(&file);
    return 0;
}

/* As the leader of a later term would append it; but nobody is asked, and from
 * this entry on `self` is a quorum. */
static int append_alone(struct store_file *file, const struct recover_log *log,
                        const Kontor__V1__RaftMember *self, struct error *why)
{
    Kontor__V1__RaftConfiguration configuration = *log->members;
    Kontor__V1__RaftMember alone = *self;
    Kontor__V1__RaftMember *members[] = {&alone};
    struct raft_entry entry = {
        .term = log->term + RECOVER_TERMS,
        .kind = RAFT_ENTRY_CONFIGURATION,
    };
    struct store_write write = {
        .has_state = true,
        .term = entry.term,
        .voted_for = self->id,
        .from = log->last_index + 1,
        .entries = &entry,
        .entry_count = 1,
    };
    int code;

    alone.learner = false;
    configuration.members = members;
    configuration.n_members = 1;
    entry.payload = raft_configuration_pack(&configuration);
    code = store_file_begin(file, why);
    if (!code)
        code = store_file_write(file, &write, why);
    if (!code)
        code = store_file_commit(file, why);
    raft_payload_drop(entry.payload);
    return code;
}

static const Kontor__V1__RaftMember *find(const struct recover_log *log,
                                          uint32_t id)
{
    assert(log->members); /* checked when the store was read */
    for (size_t i = 0; i < log->members->n_members; i++)
        if (log->members->members[i]->id == id)
            return log->members->members[i];
    return NULL;
}

int recover_alone(const char *folder, const char *name, struct recover_log *out,
                  struct error *why)
{
    const Kontor__V1__RaftMember *self;
    struct recover_log log = {0};
    struct store_file file = {0};
    uint32_t id = RAFT_NOBODY;
    int code;

    if (open_log(folder, name, &file, &log, &id, why) != 0)
        return why->code;
    self = find(&log, id);
    if (self)
        code = append_alone(&file, &log, self, why);
    else
        code = error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s was removed from the cluster: what it holds is "
                         "no longer the cluster's",
                         name);
    if (code) {
        store_file_abandon(&file);
        recover_log_fini(&log);
        return code;
    }
    store_file_close(&file);
    *out = log;
    return 0;
}

/* ---- of a backup ---- */

static int compare_names(const void *a, const void *b)
{
    const struct replica_member *left = a;
    const struct replica_member *right = b;

    return strcmp(left->name, right->name);
}

/* Who was given another backup, or other members, gets other ids, and is no
 * member for the rest. */
static void give_ids(struct replica_member *members, unsigned count,
                     const struct recover_backup *backup)
{
    uint8_t sha256[STORE_SHA256_BYTES];
    EVP_MD_CTX *hash = snapshot_hash_new();
    uint32_t first = backup->next_id;

    qsort(members, count, sizeof *members, compare_names);
    snapshot_hash_add(hash, backup->sha256, sizeof backup->sha256);
    for (unsigned i = 0; i < count; i++)
        snapshot_hash_add(hash, members[i].name, strlen(members[i].name) + 1);
    snapshot_hash_end(hash, sha256);
    EVP_MD_CTX_free(hash);
    first +=
        (uint32_t)(sha256[0] | sha256[1] << 8 | sha256[2] << 16) % RECOVER_IDS;
    for (unsigned i = 0; i < count; i++)
        members[i].id = first + i;
}

static int check_folder(const char *folder, const struct recover_backup *backup,
                        struct error *why)
{
    if (store_exists(folder))
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s holds a master's log already: a backup is "
                         "restored into an empty folder",
                         folder);
    if (backup->next_id > UINT32_MAX - RECOVER_IDS - RAFT_MEMBERS_MAX ||
        backup->index > RAFT_NUMBER_MAX / 2 ||
        backup->term > RAFT_NUMBER_MAX / 2)
        return error_set(why, ERROR_DATA_LOSS,
                         "the backup's counters cannot be right");
    return 0;
}

/* The snapshot's file first: what has no store is an empty folder still. */
static int make_store(const struct replica_config *config,
                      struct store_options *options, struct recover_log *out,
                      struct error *why)
{
    struct store_content content;
    struct store *store;

    if (folder_make(options->folder, 0700, why) != 0 ||
        snapshot_write(options->folder, options->snapshot_index,
                       &config->machine, options->snapshot_sha256, why) != 0 ||
        store_open(&store, options, &content, why) != 0)
        return why->code;
    *out = describe(&content);
    store_content_fini(&content);
    store_free(store);
    return 0;
}

int recover_restore(const struct replica_config *config,
                    const struct recover_backup *backup,
                    struct recover_log *out, struct error *why)
{
    struct replica_member members[RAFT_MEMBERS_MAX];
    struct replica_config founding = *config;
    struct store_options options = {
        .folder = config->folder,
        .self = config->name,
        .term = backup->term + RECOVER_TERMS,
        .snapshot_index = backup->index + RECOVER_INDICES,
        .snapshot_term = backup->term + RECOVER_TERMS,
    };
    int code = check_folder(config->folder, backup, why);

    if (code)
        return code;
    assert(config->member_count <= RAFT_MEMBERS_MAX);
    memcpy(members, config->members, config->member_count * sizeof *members);
    give_ids(members, config->member_count, backup);
    founding.members = members;
    options.configuration = replica_founders(&founding, &options.id, why);
    if (!options.configuration)
        return why->code;
    code = make_store(config, &options, out, why);
    raft_payload_drop(options.configuration);
    return code;
}
