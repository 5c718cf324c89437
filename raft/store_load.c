#include "raft/store_load.h"

#include "base/memory.h"

#include <isa-l/crc.h>
#include <string.h>
#include <unistd.h>

static uint32_t sum_number(uint32_t sum, uint64_t number)
{
    uint8_t bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    return crc32_gzip_refl(sum, bytes, sizeof bytes);
}

uint32_t store_entry_checksum(uint64_t index, const struct raft_entry *entry)
{
    const struct raft_payload *payload = entry->payload;
    uint32_t sum = sum_number(0, index);

    sum = sum_number(sum, entry->term);
    sum = sum_number(sum, (uint64_t)entry->kind);
    if (payload)
        sum = crc32_gzip_refl(sum, payload->bytes, payload->length);
    return sum;
}

uint32_t store_identity_checksum(const char *self, uint32_t id)
{
    return sum_number(crc32_gzip_refl(0, (const uint8_t *)self, strlen(self)),
                      id);
}

uint32_t store_state_checksum(const struct store_state *state,
                              uint32_t identity)
{
    uint32_t sum = sum_number(identity, state->term);

    sum = sum_number(sum, state->voted_for);
    sum = sum_number(sum, state->snapshot_index);
    sum = sum_number(sum, state->snapshot_term);
    sum = crc32_gzip_refl(sum, state->snapshot_sha256,
                          sizeof state->snapshot_sha256);
    sum = crc32_gzip_refl(sum, state->configuration->bytes,
                          state->configuration->length);
    return sum_number(sum, state->first_index);
}

/* ---- queries ---- */

static void finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

/* The first row of a query that must have one. */
static int query_row(const struct store_file *file, const char *sql,
                     sqlite3_stmt **statement, struct error *why)
{
    int result = sqlite3_prepare_v2(file->db, sql, -1, statement, NULL);

    if (result != SQLITE_OK)
        return store_file_error(file, result, why);
    result = sqlite3_step(*statement);
    if (result == SQLITE_DONE)
        return error_set(why, ERROR_DATA_LOSS, "%s: a row is missing",
                         file->path);
    return result == SQLITE_ROW ? 0 : store_file_error(file, result, why);
}

static int query_number(const struct store_file *file, const char *sql,
                        int64_t *number, struct error *why)
{
    CLEANUP(finalize) sqlite3_stmt *statement = NULL;

    if (query_row(file, sql, &statement, why) != 0)
        return why->code;
    *number = sqlite3_column_int64(statement, 0);
    return 0;
}

static uint64_t column(sqlite3_stmt *statement, int position)
{
    return (uint64_t)sqlite3_column_int64(statement, position);
}

static const char *column_text(sqlite3_stmt *statement, int position)
{
    const char *text =
        (const char *)(const void *)sqlite3_column_text(statement, position);

    return text ? text : "";
}

/* ---- the parts ---- */

/* Every page and the order of the keys; not what the rows say. */
static int check_pages(const struct store_file *file, struct error *why)
{
    CLEANUP(finalize) sqlite3_stmt *statement = NULL;

    if (query_row(file, "PRAGMA quick_check(1)", &statement, why) != 0)
        return why->code;
    if (strcmp(column_text(statement, 0), "ok") == 0)
        return 0;
    return error_set(why, ERROR_DATA_LOSS, "%s: %s", file->path,
                     column_text(statement, 0));
}

static int check_version(const struct store_file *file, struct error *why)
{
    int64_t id = 0;
    int64_t version = 0;

    if (query_number(file, "PRAGMA application_id", &id, why) != 0 ||
        query_number(file, "PRAGMA user_version", &version, why) != 0)
        return why->code;
    if (id != STORE_APPLICATION_ID)
        return error_set(why, ERROR_DATA_LOSS, "%s is not a log of Kontor's",
                         file->path);
    if (version != STORE_VERSION)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s has format %lld, this program knows %d",
                         file->path, (long long)version, STORE_VERSION);
    /* SQLite does not write what it takes for a newer file format. */
    if (sqlite3_db_readonly(file->db, "main"))
        return access(file->path, W_OK) == 0
                   ? error_set(why, ERROR_DATA_LOSS,
                               "%s: its header is damaged", file->path)
                   : error_errno(why, "write %s", file->path);
    return 0;
}

/* Stores that were made before the identity was summed, too, do not have it in
 * the sum. */
static int load_state(struct store_file *file, uint32_t identity,
                      struct error *why)
{
    CLEANUP(finalize) sqlite3_stmt *statement = NULL;
    struct store_state *state = &file->state;

    if (query_row(file,
                  "SELECT term, voted_for, snapshot_index, snapshot_term,"
                  " first_index, checksum, snapshot_sha256, configuration"
                  " FROM state",
                  &statement, why) != 0)
        return why->code;
    state->term = column(statement, 0);
    state->voted_for = (uint32_t)column(statement, 1);
    state->snapshot_index = column(statement, 2);
    state->snapshot_term = column(statement, 3);
    state->first_index = column(statement, 4);
    if (sqlite3_column_bytes(statement, 6) == STORE_SHA256_BYTES)
        memcpy(state->snapshot_sha256, sqlite3_column_blob(statement, 6),
               STORE_SHA256_BYTES);
    state->configuration =
        raft_payload_new(sqlite3_column_blob(statement, 7),
                         (size_t)sqlite3_column_bytes(statement, 7));
    if (column(statement, 5) != store_state_checksum(state, identity) &&
        column(statement, 5) != store_state_checksum(state, 0))
        return error_set(why, ERROR_DATA_LOSS,
                         "%s: id, term and vote have a wrong checksum",
                         file->path);
    if (!raft_configuration_valid(state->configuration))
        return error_set(why, ERROR_DATA_LOSS, "%s: its members are damaged",
                         file->path);
    if (state->first_index == 0 ||
        state->first_index > state->snapshot_index + 1)
        return error_set(why, ERROR_DATA_LOSS,
                         "%s: the log begins at %llu, after its snapshot %llu",
                         file->path, (unsigned long long)state->first_index,
                         (unsigned long long)state->snapshot_index);
    return 0;
}

/* Its name may be none of ours, but only when it has not rotted. */
static int check_identity(struct store_file *file, const char *self,
                          uint32_t *id, struct error *why)
{
    CLEANUP(finalize) sqlite3_stmt *statement = NULL;
    const char *name;
    uint32_t identity;

    if (query_row(file, "SELECT self, id FROM identity", &statement, why) != 0)
        return why->code;
    name = column_text(statement, 0);
    *id = (uint32_t)column(statement, 1);
    identity = store_identity_checksum(name, *id);
    if (load_state(file, identity, why) != 0)
        return why->code;
    file->identity = identity;
    if (strcmp(name, self) != 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s belongs to the master %s, not to %s", file->path,
                         name, self);
    if (*id == RAFT_NOBODY)
        return error_set(why, ERROR_DATA_LOSS, "%s: its id is damaged",
                         file->path);
    return 0;
}

/* ---- entries ---- */

/* Copy the row into `entry`; the caller drops its payload. */
static void read_entry(sqlite3_stmt *statement, struct raft_entry *entry)
{
    const void *bytes = sqlite3_column_blob(statement, 4);
    int length = sqlite3_column_bytes(statement, 4);

    *entry = (struct raft_entry){
        .term = column(statement, 1),
        .kind = (enum raft_entry_kind)column(statement, 2),
        .payload = length > 0 ? raft_payload_new(bytes, (size_t)length) : NULL,
    };
}

static int check_entry(const struct store_file *file, sqlite3_stmt *statement,
                       const struct raft_entry *entry, uint64_t expected,
                       struct error *why)
{
    uint64_t index = column(statement, 0);

    if (index != expected)
        return error_set(why, ERROR_DATA_LOSS,
                         "%s: entry %llu is missing, %llu stands next",
                         file->path, (unsigned long long)expected,
                         (unsigned long long)index);
    if (column(statement, 3) != store_entry_checksum(index, entry))
        return error_set(why, ERROR_DATA_LOSS,
                         "%s: entry %llu has a wrong checksum", file->path,
                         (unsigned long long)index);
    if (entry->kind > RAFT_ENTRY_CONFIGURATION)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s: entry %llu is of a kind (%d) that this program "
                         "does not know: it must be upgraded",
                         file->path, (unsigned long long)index,
                         (int)entry->kind);
    if (entry->kind == RAFT_ENTRY_CONFIGURATION &&
        !raft_configuration_valid(entry->payload))
        return error_set(why, ERROR_DATA_LOSS,
                         "%s: entry %llu names no valid members", file->path,
                         (unsigned long long)index);
    return 0;
}

static int check_terms(const struct store_file *file, uint64_t index,
                       uint64_t previous, uint64_t term, struct error *why)
{
    if (term >= previous && term <= file->state.term)
        return 0;
    return error_set(why, ERROR_DATA_LOSS,
                     "%s: entry %llu has term %llu between %llu and %llu",
                     file->path, (unsigned long long)index,
                     (unsigned long long)term, (unsigned long long)previous,
                     (unsigned long long)file->state.term);
}

static void append(struct store_content *content, size_t *capacity,
                   const struct raft_entry *entry)
{
    if (content->entry_count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 1024;
        content->entries = memory_resize(content->entries,
                                         *capacity * sizeof *content->entries);
    }
    content->entries[content->entry_count++] = *entry;
}

static int load_entries(struct store_file *file, sqlite3_stmt *statement,
                        struct store_content *content, struct error *why)
{
    size_t capacity = 0;
    uint64_t expected = content->first_index;
    uint64_t term = 0;
    int result;

    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        struct raft_entry entry;

        read_entry(statement, &entry);
        append(content, &capacity, &entry);
        if (check_entry(file, statement, &entry, expected, why) != 0 ||
            check_terms(file, expected, term, entry.term, why) != 0)
            return why->code;
        term = entry.term;
        expected++;
    }
    if (result != SQLITE_DONE)
        return store_file_error(file, result, why);
    file->last_index = expected - 1;
    if (file->last_index < file->state.snapshot_index)
        return error_set(why, ERROR_DATA_LOSS,
                         "%s: the log ends at %llu, before its snapshot %llu",
                         file->path, (unsigned long long)file->last_index,
                         (unsigned long long)file->state.snapshot_index);
    return 0;
}

int store_load(struct store_file *file, const struct store_options *options,
               struct store_content *content, struct error *why)
{
    CLEANUP(finalize) sqlite3_stmt *statement = NULL;
    const struct store_state *state = &file->state;
    int64_t oldest = 0;
    uint32_t id = RAFT_NOBODY;
    int result;

    if (check_version(file, why) != 0 || check_pages(file, why) != 0 ||
        check_identity(file, options->self, &id, why) != 0)
        return why->code;
    *content = (struct store_content){
        .id = id,
        .configuration = raft_payload_new(state->configuration->bytes,
                                          state->configuration->length),
        .term = state->term,
        .voted_for = state->voted_for,
        .snapshot_index = state->snapshot_index,
        .snapshot_term = state->snapshot_term,
        .first_index = state->first_index,
    };
    memcpy(content->snapshot_sha256, state->snapshot_sha256,
           sizeof content->snapshot_sha256);

    if (query_number(file, "SELECT ifnull(min(id), 0) FROM entries", &oldest,
                     why) != 0)
        return why->code;
    file->trimmed_to = state->first_index;
    if (oldest > 0 && (uint64_t)oldest < state->first_index)
        file->trimmed_to = (uint64_t)oldest;

    result = sqlite3_prepare_v2(
        file->db,
        "SELECT id, term, kind, checksum, bytes FROM entries WHERE id >= ?1"
        " ORDER BY id",
        -1, &statement, NULL);
    if (result != SQLITE_OK)
        return store_file_error(file, result, why);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)state->first_index);
    return load_entries(file, statement, content, why);
}

void store_content_fini(struct store_content *content)
{
    for (size_t i = 0; i < content->entry_count; i++)
        raft_payload_drop(content->entries[i].payload);
    free(content->entries);
    raft_payload_drop(content->configuration);
    *content = (struct store_content){0};
}
