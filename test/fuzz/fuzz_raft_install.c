/* fuzz_raft_install.c - a snapshot's stream as a follower gets it, chunk by
 * chunk, into a real folder: what becomes the snapshot is what was sent, whole
 * and in order; all else is refused, and nothing of it stays.
 *
 * The input: how many bytes the snapshot has and what the follower wants of it,
 * then for each chunk what is wrong with it, its length and its bytes. */
#include "base/fd.h"
#include "base/memory.h"
#include "kontor/v1/raft.pb-c.h"
#include "raft/install.h"
#include "test/unit/raft_members.h"
#include "test/unit/session_caller.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { INDEX = 50, TERM = 7, LEADER = 2, TOTAL_MAX_BYTES = 8192 };

enum wrong {
    RIGHT, /* and what is not named here */
    OFFSET = 20,
    TOTAL,
    SNAPSHOT_INDEX,
    SNAPSHOT_TERM,
    SENDER,
    SHA256_BYTES,
    SHA256_LENGTH,
    TOO_LONG,
    CONFIGURATION,
    REFUSED,   /* by the core: the leader is another now */
    CANCELLED, /* by the follower, before the chunk */
    WRONG_COUNT,
};

static char folder[64];

/* One stream, both its ends. */
struct stream {
    const uint8_t *input;
    size_t input_length;
    struct session_fixture server;
    struct session_caller *caller;
    struct install_receive *receive; /* NULL: it is over */
    /* The sender's. */
    uint64_t total_bytes;
    struct buffer sent;
    EVP_MD_CTX *hash;
    bool honest; /* all that was sent so far is in order */
    /* The follower's. */
    bool first_wanted, whole_wanted, installed, refused;
    bool ready;
};

static uint8_t take(struct stream *stream)
{
    if (stream->input_length == 0)
        return 0;
    stream->input_length--;
    return *stream->input++;
}

/* ---- the follower ---- */

static int on_chunk(void *data, uint32_t from, uint64_t term, struct error *why)
{
    const struct stream *stream = data;

    (void)from;
    (void)term;
    if (!stream->refused)
        return 0;
    return error_set(why, ERROR_FAILED_PRECONDITION, "another leads");
}

static bool is_wanted(void *data, const struct snapshot *snapshot,
                      uint64_t *settled)
{
    const struct stream *stream = data;
    bool whole = install_receive_whole(stream->receive);

    assert(snapshot->index == INDEX && (stream->honest || !whole));
    *settled = INDEX + 1;
    return whole ? stream->whole_wanted : stream->first_wanted;
}

static void check_file(const struct stream *stream)
{
    CLEANUP(free_pointer) char *path = snapshot_path(folder, INDEX, "");
    struct buffer file;
    struct error why;

    buffer_init(&file, TOTAL_MAX_BYTES);
    assert(file_read(AT_FDCWD, path, &file, &why) == 0);
    assert(buffer_length(&file) == stream->total_bytes);
    assert(buffer_length(&file) == buffer_length(&stream->sent));
    assert(stream->total_bytes == 0 ||
           memcmp(buffer_data(&file), buffer_data(&stream->sent),
                  stream->total_bytes) == 0);
    buffer_fini(&file);
}

static void on_ready(void *data, struct install_receive *receive,
                     const struct snapshot *snapshot)
{
    static const struct error broken = {ERROR_DATA_LOSS, "not a state"};
    struct stream *stream = data;

    assert(stream->honest && stream->whole_wanted && !stream->ready);
    assert(snapshot->index == INDEX && snapshot->term == TERM - 1);
    assert(raft_configuration_valid(snapshot->configuration));
    check_file(stream);
    stream->ready = true;
    if (stream->installed)
        install_receive_answer(receive, INDEX);
    else
        install_receive_fail(receive, &broken);
}

static void on_ended(void *data, struct install_receive *receive)
{
    struct stream *stream = data;

    assert(stream->receive == receive);
    stream->receive = NULL;
}

static void open_install(struct call *call)
{
    static const struct install_receive_events events = {
        .chunk = on_chunk,
        .wanted = is_wanted,
        .ready = on_ready,
        .ended = on_ended,
    };
    struct stream *stream = call_service_data(call);

    stream->receive = install_receive_new(&stream->server.loop, folder, LEADER,
                                          &events, stream);
    install_receive_start(stream->receive, call);
}

static const struct method methods[] = {{
    .name = "InstallSnapshot",
    .request = &kontor__v1__raft_snapshot_chunk__descriptor,
    .response = &kontor__v1__raft_snapshot_end__descriptor,
    .roles = RPC_ROLE_ADMIN,
    .client_streams = true,
    .open = open_install,
}};

static const struct service service = {"kontor.v1.Raft", methods, 1};

/* ---- the sender ---- */

static void put_sha256(const struct stream *stream, uint8_t *sha256)
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();

    assert(copy && EVP_MD_CTX_copy_ex(copy, stream->hash) == 1);
    snapshot_hash_end(copy, sha256);
    EVP_MD_CTX_free(copy);
}

/* False: this chunk is as it should be all the same. */
static bool spoil(struct stream *stream, enum wrong wrong,
                  Kontor__V1__RaftSnapshotChunk *chunk)
{
    uint64_t by = 1 + (uint64_t)take(stream);
    bool first = chunk->offset == 0;

    switch (wrong) {
    case OFFSET:
        chunk->offset -= by;
        return true;
    case TOTAL:
        chunk->total_bytes -= by << 32;
        return true;
    case SNAPSHOT_INDEX:
        chunk->snapshot_index = by % 2 ? RAFT_NUMBER_MAX + by : 0;
        return true;
    case SNAPSHOT_TERM:
        chunk->snapshot_term += by + 1; /* newer than the leader's */
        return true;
    case SENDER:
        chunk->from += (uint32_t)by;
        return true;
    case SHA256_BYTES:
        if (chunk->sha256.len)
            chunk->sha256.data[by % 32] ^= 1;
        return chunk->sha256.len > 0;
    case SHA256_LENGTH:
        chunk->sha256.len = chunk->sha256.len ? by % 32 : 32;
        return true;
    case CONFIGURATION:
        chunk->configuration.len /= 2;
        return first;
    case REFUSED:
        stream->refused = true;
        return true;
    case RIGHT:
    case TOO_LONG:
    case CANCELLED:
    case WRONG_COUNT:
        break;
    }
    return false;
}

static void send_chunk(struct stream *stream, enum wrong wrong)
{
    uint8_t data[256];
    uint8_t sha256[STORE_SHA256_BYTES];
    struct raft_payload *members = raft_members(3, 0, RAFT_NOBODY);
    uint64_t left = stream->total_bytes - buffer_length(&stream->sent);
    size_t length = take(stream);
    Kontor__V1__RaftSnapshotChunk chunk = KONTOR__V1__RAFT_SNAPSHOT_CHUNK__INIT;
    struct error why;

    if (length > left && wrong != TOO_LONG)
        length = (size_t)left;
    memset(data, take(stream), sizeof data);
    chunk.term = TERM;
    chunk.from = LEADER;
    chunk.snapshot_index = INDEX;
    chunk.snapshot_term = TERM - 1;
    chunk.total_bytes = stream->total_bytes;
    chunk.offset = buffer_length(&stream->sent);
    chunk.data.data = data;
    chunk.data.len = length;
    chunk.configuration.data = members->bytes;
    chunk.configuration.len = members->length;
    snapshot_hash_add(stream->hash, data, length);
    put_sha256(stream, sha256);
    chunk.sha256.data = sha256;
    chunk.sha256.len = length == left ? sizeof sha256 : 0;
    if (length > left || (length == 0 && left > 0) ||
        spoil(stream, wrong, &chunk))
        stream->honest = false;
    if (buffer_append(&stream->sent, data, length, &why) != 0)
        abort();
    session_caller_send_message(stream->caller, &chunk.base, false);
    session_caller_turn(stream->caller);
    raft_payload_drop(members);
}

/* ---- the whole ---- */

/* Those of the folder; removes the one that was installed. */
static void check_folder(const struct stream *stream)
{
    DIR *listing = opendir(folder);
    const struct dirent *entry;
    unsigned files = 0;

    assert(listing);
    while ((entry = readdir(listing))) {
        if (entry->d_name[0] == '.')
            continue;
        assert(strcmp(entry->d_name, "snapshot-50") == 0);
        unlinkat(dirfd(listing), entry->d_name, 0);
        files++;
    }
    closedir(listing);
    assert(files == (stream->ready && stream->installed));
}

static void begin(struct stream *stream)
{
    uint8_t wishes;

    stream->total_bytes = (uint64_t)take(stream) << 5 | take(stream) % 32;
    wishes = take(stream);
    stream->first_wanted = (wishes & 3) != 0;
    stream->whole_wanted = (wishes & 12) != 0;
    stream->installed = wishes & 16;
    stream->honest = true;
    buffer_init(&stream->sent, TOTAL_MAX_BYTES + 256);
    stream->hash = snapshot_hash_new();
    session_fixture_init_server(&stream->server);
    registry_add(&stream->server.registry, &service, stream);
    stream->caller =
        session_caller_new(&stream->server, "/kontor.v1.Raft/InstallSnapshot");
    session_caller_turn(stream->caller);
    assert(stream->receive);
}

/* Sends until the input ends or the snapshot is complete; then, perhaps, goes
 * away. */
static void run(struct stream *stream)
{
    bool cancelled = false;
    bool complete = false;

    while (stream->input_length > 0 && stream->receive && !complete) {
        enum wrong wrong = (enum wrong)(take(stream) % WRONG_COUNT);

        if (wrong == CANCELLED && stream->receive)
            cancelled = install_receive_cancel(stream->receive, ERROR_ABORTED,
                                               "a newer one");
        send_chunk(stream, wrong);
        complete = buffer_length(&stream->sent) >= stream->total_bytes;
    }
    if (take(stream) % 4 != 1)
        session_caller_send(stream->caller, NULL, 0, true);
    session_caller_turn(stream->caller);
    while (stream->receive && install_receive_whole(stream->receive)) {
        uv_run(&stream->server.loop, UV_RUN_ONCE);
        session_caller_turn(stream->caller);
    }
    if (stream->honest && complete && !cancelled && stream->first_wanted &&
        stream->whole_wanted)
        assert(stream->ready);
}

static void remove_folder(void)
{
    struct error why;

    folder_remove(AT_FDCWD, folder, &why);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct error why;

    (void)argc;
    (void)argv;
    snprintf(folder, sizeof folder, "/dev/shm/fuzz-install-%d", getpid());
    atexit(remove_folder);
    return folder_make(folder, 0700, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct stream stream = {.input = bytes, .input_length = length};

    begin(&stream);
    run(&stream);
    session_caller_free(stream.caller);
    session_fixture_fini(&stream.server);
    assert(!stream.receive);
    check_folder(&stream);
    EVP_MD_CTX_free(stream.hash);
    buffer_fini(&stream.sent);
    return 0;
}
