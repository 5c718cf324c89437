/* store_file.c - what stands in raft.db.
 *
 *   identity   one row: whose log it is
 *   state      one row: term, vote, newest snapshot and the members as of it,
 *              where the log begins
 *   entries    the log, a row an entry
 *
 * Invariants:
 * 1. raft.db is created under another name and renamed when it is complete,
 *    so that a file that is empty or lacks a table is damaged, never new.
 * 2. Rows [state.first_index, last_index] are contiguous, terms never fall,
 *    each carries a CRC-32 of its index, term, kind and bytes; so does state,
 *    of identity, too.
 * 3. Rows before state.first_index are garbage: they are dropped by moving
 *    first_index and deleted a slice a transaction, so that no transaction
 *    waits for a long deletion.
 * 4. The file is locked for the process (locking_mode=EXCLUSIVE; also: no
 *    shared memory, no locking calls in a transaction). */
#include "raft/store_file.h"

#include "base/fd.h"
#include "base/memory.h"
#include "raft/store_load.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIM_ROWS_MAX = 500 }; /* deleted in one transaction; < 1 ms */

static const char update_state_text[] =
    "UPDATE state SET term = ?1, voted_for = ?2, snapshot_index = ?3, "
    "snapshot_term = ?4, snapshot_sha256 = ?5, configuration = ?6, "
    "first_index = ?7, checksum = ?8";

static const char *const statements[STORE_STATEMENT_COUNT] = {
    [STORE_BEGIN] = "BEGIN IMMEDIATE",
    [STORE_COMMIT] = "COMMIT",
    [STORE_STATE] = update_state_text,
    [STORE_INSERT] = "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5)",
    [STORE_TRUNCATE] = "DELETE FROM entries WHERE id >= ?1",
    [STORE_TRIM] = "DELETE FROM entries WHERE id < ?1",
};

/* secure_delete would write zeros over what compaction drops. */
static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE;"
                              "PRAGMA synchronous = FULL;"
                              "PRAGMA secure_delete = OFF;"
                              "PRAGMA temp_store = MEMORY;"
                              "PRAGMA cell_size_check = ON;"
                              "PRAGMA cache_size = -2048;"; /* KiB */

static const char schema[] =
    "CREATE TABLE identity (self TEXT NOT NULL, id INTEGER NOT NULL) STRICT;"
    "CREATE TABLE state (term INTEGER NOT NULL, voted_for INTEGER NOT NULL,"
    " snapshot_index INTEGER NOT NULL, snapshot_term INTEGER NOT NULL,"
    " snapshot_sha256 BLOB NOT NULL, configuration BLOB NOT NULL,"
    " first_index INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;"
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, term INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, checksum INTEGER NOT NULL,"
    " bytes BLOB NOT NULL) STRICT;";

int store_file_error(const struct store_file *file, int result,
                     struct error *why)
{
    const char *text = file->db ? sqlite3_errmsg(file->db) : "out of memory";
    int number = 0;
    enum error_code code = ERROR_INTERNAL;

    switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR: /* a table that is not there, a header of nonsense */
        code = ERROR_DATA_LOSS;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s: another process has it open", file->path);
    case SQLITE_FULL:
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "%s: no space left on the disk", file->path);
    case SQLITE_PERM:
    case SQLITE_READONLY:
        code = ERROR_PERMISSION_DENIED;
        break;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        if (result == SQLITE_IOERR_SHORT_READ)
            code = ERROR_DATA_LOSS;
        else if (file->db)
            number = sqlite3_system_errno(file->db);
        break;
    }
    return error_set(why, code, "%s: %s%s%s", file->path, text,
                     number ? ": " : "", number ? strerror(number) : "");
}

static int execute(struct store_file *file, const char *sql, struct error *why)
{
    int result = sqlite3_exec(file->db, sql, NULL, NULL, NULL);

    return result == SQLITE_OK ? 0 : store_file_error(file, result, why);
}

/* Run a statement that gives no rows, and make it ready for the next time. */
static int run(struct store_file *file, enum store_statement which,
               struct error *why)
{
    sqlite3_stmt *statement = file->statements[which];
    int result = sqlite3_step(statement);

    if (result != SQLITE_DONE)
        return store_file_error(file, result, why);
    sqlite3_reset(statement);
    return 0;
}

static void bind_number(struct store_file *file, enum store_statement which,
                        int position, uint64_t value)
{
    int result = sqlite3_bind_int64(file->statements[which], position,
                                    (sqlite3_int64)value);

    assert(result == SQLITE_OK);
}

static void bind_bytes(struct store_file *file, enum store_statement which,
                       int position, const void *bytes, size_t length)
{
    int result =
        sqlite3_bind_blob64(file->statements[which], position,
                            length ? bytes : "", length, SQLITE_STATIC);

    assert(result == SQLITE_OK);
}

static int prepare(struct store_file *file, struct error *why)
{
    for (int i = 0; i < STORE_STATEMENT_COUNT; i++) {
        int result = sqlite3_prepare_v3(file->db, statements[i], -1,
                                        SQLITE_PREPARE_PERSISTENT,
                                        &file->statements[i], NULL);

        if (result != SQLITE_OK)
            return store_file_error(file, result, why);
    }
    return 0;
}

static void finalize(struct store_file *file)
{
    for (int i = 0; i < STORE_STATEMENT_COUNT; i++)
        sqlite3_finalize(file->statements[i]);
}

static int update_state(struct store_file *file, struct error *why)
{
    const struct store_state *state = &file->state;

    bind_number(file, STORE_STATE, 1, state->term);
    bind_number(file, STORE_STATE, 2, state->voted_for);
    bind_number(file, STORE_STATE, 3, state->snapshot_index);
    bind_number(file, STORE_STATE, 4, state->snapshot_term);
    bind_bytes(file, STORE_STATE, 5, state->snapshot_sha256,
               sizeof state->snapshot_sha256);
    bind_bytes(file, STORE_STATE, 6, state->configuration->bytes,
               state->configuration->length);
    bind_number(file, STORE_STATE, 7, state->first_index);
    bind_number(file, STORE_STATE, 8,
                store_state_checksum(state, file->identity));
    return run(file, STORE_STATE, why);
}

/* ---- creating ---- */

/* The one row of state has nothing in it yet. */
static int insert_identity(struct store_file *file,
                           const struct store_options *options,
                           struct error *why)
{
    char *sql = sqlite3_mprintf(
        "INSERT INTO identity VALUES (%Q, %u);"
        "INSERT INTO state VALUES (0, 0, 0, 0, zeroblob(0), zeroblob(0), 0, 0)",
        options->self, options->id);
    int code = sql ? execute(file, sql, why)
                   : store_file_error(file, SQLITE_NOMEM, why);

    sqlite3_free(sql);
    return code;
}

static int fill(struct store_file *file, const struct store_options *options,
                struct error *why)
{
    CLEANUP(free_pointer)
    char *version =
        memory_format("PRAGMA application_id = %d; PRAGMA user_version = %d",
                      STORE_APPLICATION_ID, STORE_VERSION);

    file->identity = store_identity_checksum(options->self, options->id);
    file->state = (struct store_state){
        .term = options->term,
        .snapshot_index = options->snapshot_index,
        .snapshot_term = options->snapshot_term,
        .configuration = options->configuration,
        .first_index = options->snapshot_index + 1,
    };
    memcpy(file->state.snapshot_sha256, options->snapshot_sha256,
           sizeof file->state.snapshot_sha256);
    if (execute(file, "PRAGMA synchronous = FULL; BEGIN", why) != 0 ||
        execute(file, version, why) != 0 || execute(file, schema, why) != 0 ||
        insert_identity(file, options, why) != 0 || prepare(file, why) != 0 ||
        update_state(file, why) != 0)
        return why->code;
    return execute(file, "COMMIT", why);
}

static int sync_folder(const char *folder, struct error *why)
{
    CLEANUP(fd_close)
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(why, "open folder %s", folder);
    if (fsync(fd) != 0)
        return error_errno(why, "sync folder %s", folder);
    return 0;
}

/* Invariant 1. A write-ahead log that has lost its file would be taken for the
 * new one's. */
static int create(const char *path, const struct store_options *options,
                  struct error *why)
{
    CLEANUP(free_pointer) char *wal = memory_format("%s-wal", path);
    CLEANUP(free_pointer) char *fresh = memory_format("%s.new", path);
    CLEANUP(free_pointer) char *journal = memory_format("%s-journal", fresh);
    CLEANUP(free_pointer) char *mark = memory_format("%s-mark", path);
    struct store_file file = {.path = fresh};
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int result;
    int code;

    if (access(wal, F_OK) == 0)
        return error_set(why, ERROR_DATA_LOSS, "%s is there and %s is missing",
                         wal, path);
    unlink(fresh);
    unlink(journal);
    unlink(mark);
    result = sqlite3_open_v2(fresh, &file.db, flags, NULL);
    code = result == SQLITE_OK ? fill(&file, options, why)
                               : store_file_error(&file, result, why);
    finalize(&file);
    sqlite3_close(file.db);
    if (code)
        return code;
    if (rename(fresh, path) != 0)
        return error_errno(why, "rename %s to %s", fresh, path);
    return sync_folder(options->folder, why);
}

/* ---- opening ---- */

/* Having a hook of our own also means that SQLite makes no checkpoints by
 * itself: store.c chooses when. */
static int count_pages(void *data, sqlite3 *db, const char *name, int pages)
{
    struct store_file *file = data;

    (void)db;
    (void)name;
    file->wal_pages = (unsigned)pages;
    return SQLITE_OK;
}

/* A transaction takes the lock that is then kept (invariant 4). What a crash
 * left in the write-ahead log is moved into the file, and cannot be taken for
 * part of the next log (store_wal.h). */
static int take(struct store_file *file, struct error *why)
{
    /* Closing after an error changes nothing more. */
    sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (execute(file, pragmas, why) != 0 ||
        execute(file, "PRAGMA journal_mode = WAL", why) != 0 ||
        execute(file, "BEGIN IMMEDIATE; COMMIT", why) != 0)
        return why->code;
    return store_file_checkpoint(file, why);
}

static int open_existing(struct store_file *file,
                         const struct store_options *options,
                         struct store_content *content, struct error *why)
{
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    struct stat info;
    int result;

    if (stat(file->path, &info) != 0)
        return error_errno(why, "stat %s", file->path);
    if (info.st_size == 0)
        return error_set(why, ERROR_DATA_LOSS, "%s is empty", file->path);
    if (store_wal_open(&file->wal, file->path, options->prepared_bytes, why) !=
            0 ||
        sync_folder(options->folder, why) != 0)
        return why->code;
    result = sqlite3_open_v2(file->path, &file->db, flags, NULL);
    if (result != SQLITE_OK)
        return store_file_error(file, result, why);
    if (take(file, why) != 0 || prepare(file, why) != 0)
        return why->code;
    return store_load(file, options, content, why);
}

void store_file_abandon(struct store_file *file)
{
    finalize(file);
    sqlite3_close(file->db);
    store_wal_close(&file->wal);
    raft_payload_drop(file->state.configuration);
    free(file->path);
}

int store_file_open(struct store_file *file,
                    const struct store_options *options,
                    struct store_content *content, struct error *why)
{
    struct store_file opened = {
        .path = memory_format("%s/raft.db", options->folder),
        .wal.fd = -1,
        .wal.mark.fd = -1,
    };
    int code;

    *content = (struct store_content){0};
    code = folder_make(options->folder, 0700, why);
    if (!code && access(opened.path, F_OK) != 0)
        code = create(opened.path, options, why);
    if (!code)
        code = open_existing(&opened, options, content, why);
    if (code) {
        store_content_fini(content);
        store_file_abandon(&opened);
        return code;
    }
    *file = opened;
    sqlite3_wal_hook(file->db, count_pages, file);
    return 0;
}

/* SQLite removes a write-ahead log that is of no more use. */
void store_file_close(struct store_file *file)
{
    struct error why;

    if (store_file_checkpoint(file, &why) == 0)
        sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    store_file_abandon(file);
}

bool store_exists(const char *folder)
{
    CLEANUP(free_pointer) char *path = memory_format("%s/raft.db", folder);

    return access(path, F_OK) == 0;
}

/* ---- transactions ---- */

int store_file_begin(struct store_file *file, struct error *why)
{
    file->state_changed = false;
    return run(file, STORE_BEGIN, why);
}

static int insert(struct store_file *file, uint64_t index,
                  const struct raft_entry *entry, struct error *why)
{
    const struct raft_payload *payload = entry->payload;

    bind_number(file, STORE_INSERT, 1, index);
    bind_number(file, STORE_INSERT, 2, entry->term);
    bind_number(file, STORE_INSERT, 3, entry->kind);
    bind_number(file, STORE_INSERT, 4, store_entry_checksum(index, entry));
    bind_bytes(file, STORE_INSERT, 5, payload ? payload->bytes : NULL,
               payload ? payload->length : 0);
    return run(file, STORE_INSERT, why);
}

int store_file_write(struct store_file *file, const struct store_write *write,
                     struct error *why)
{
    if (write->has_state) {
        file->state.term = write->term;
        file->state.voted_for = write->voted_for;
        file->state_changed = true;
    }
    if (write->from == 0)
        return 0;
    assert(write->from >= file->state.first_index);
    assert(write->from <= file->last_index + 1);
    if (write->from <= file->last_index) {
        bind_number(file, STORE_TRUNCATE, 1, write->from);
        if (run(file, STORE_TRUNCATE, why) != 0)
            return why->code;
    }
    for (size_t i = 0; i < write->entry_count; i++)
        if (insert(file, write->from + i, &write->entries[i], why) != 0)
            return why->code;
    file->last_index = write->from + write->entry_count - 1;
    return 0;
}

int store_file_compact(struct store_file *file,
                       const struct store_compaction *compaction,
                       struct error *why)
{
    struct store_state *state = &file->state;

    state->snapshot_index = compaction->snapshot_index;
    state->snapshot_term = compaction->snapshot_term;
    memcpy(state->snapshot_sha256, compaction->snapshot_sha256,
           sizeof state->snapshot_sha256);
    raft_payload_drop(state->configuration);
    state->configuration = raft_payload_new(compaction->configuration->bytes,
                                            compaction->configuration->length);
    file->state_changed = true;
    if (compaction->replaces_log) {
        state->first_index = compaction->snapshot_index + 1;
        file->last_index = compaction->snapshot_index;
        file->trimmed_to = state->first_index;
        return execute(file, "DELETE FROM entries", why);
    }
    assert(compaction->keep_from <= file->last_index + 1);
    if (compaction->keep_from > state->first_index)
        state->first_index = compaction->keep_from;
    return 0;
}

/* Invariant 3. */
static int trim(struct store_file *file, struct error *why)
{
    uint64_t to = file->trimmed_to + TRIM_ROWS_MAX;

    if (to > file->state.first_index)
        to = file->state.first_index;
    bind_number(file, STORE_TRIM, 1, to);
    if (run(file, STORE_TRIM, why) != 0)
        return why->code;
    file->trimmed_to = to;
    return 0;
}

int store_file_commit(struct store_file *file, struct error *why)
{
    if (store_file_has_garbage(file) && trim(file, why) != 0)
        return why->code;
    if (file->state_changed && update_state(file, why) != 0)
        return why->code;
    if (run(file, STORE_COMMIT, why) != 0)
        return why->code;
    return store_wal_note(&file->wal, file->wal_pages, why);
}

int store_file_checkpoint(struct store_file *file, struct error *why)
{
    int result;

    /* From here on raft.db may be between two states, and needs the log. */
    if (store_wal_settle(&file->wal, why) != 0)
        return why->code;
    result = sqlite3_wal_checkpoint_v2(file->db, "main",
                                       SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    if (result != SQLITE_OK)
        return store_file_error(file, result, why);
    file->wal_pages = 0;
    return file->wal.needed ? store_wal_retire(&file->wal, why) : 0;
}

int store_file_settle(struct store_file *file, struct error *why)
{
    return store_wal_settle(&file->wal, why);
}
