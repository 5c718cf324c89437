/* Cluster.Backup over real connections, and the store that kmaster restore
 * makes of it. */
#include "base/envelope.h"
#include "base/fd.h"
#include "base/memory.h"
#include "kontor/v1/backup.pb-c.h"
#include "master/backup.h"
#include "master_commands.h"
#include "master_world.h"
#include "raft/snapshot.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* More than pipe, queue and windows hold together. */
enum { MANY_PODS = 20000 };

/* A call for a backup, and what came of it. */
struct taking {
    struct call *call;
    int fd;
    uint64_t bytes;
    bool ended;
    struct error why;
};

static void on_chunk(struct call *call, const ProtobufCMessage *message)
{
    struct taking *taking = call_data(call);
    const Kontor__V1__BackupChunk *chunk =
        (const Kontor__V1__BackupChunk *)message;
    struct error why;

    assert_int_equal(
        fd_write_all(taking->fd, chunk->data.data, chunk->data.len, &why), 0);
    taking->bytes += chunk->data.len;
}

static void on_ended(struct call *call, const struct error *why)
{
    struct taking *taking = call_data(call);

    taking->ended = true;
    taking->why = *why;
}

static bool has_ended(void *data)
{
    return ((struct taking *)data)->ended;
}

static bool has_some(void *data)
{
    return ((struct taking *)data)->bytes > 64 << 10; /* the child writes */
}

static void begin(struct taking *taking, struct channel *channel)
{
    static const struct call_events events = {on_chunk, NULL, NULL, on_ended};
    Kontor__V1__BackupRequest request = KONTOR__V1__BACKUP_REQUEST__INIT;

    *taking = (struct taking){.fd = memfd_create("backup", MFD_CLOEXEC)};
    taking->call = channel_call_unary(
        channel,
        &(struct call_request){
            .path = "/kontor.v1.Cluster/Backup",
            .response = &kontor__v1__backup_chunk__descriptor,
            .events = &events,
            .data = taking,
        },
        &request.base);
}

static void end(struct taking *taking)
{
    if (!taking->ended)
        call_cancel(taking->call);
    world_until(has_ended, taking, "the end of a backup");
    fd_close(&taking->fd);
}

static void take(struct taking *taking, struct channel *channel)
{
    begin(taking, channel);
    world_until(has_ended, taking, "a backup");
}

static struct master *leader(void)
{
    return world.masters[world_leader()].master;
}

static bool none_is_made(void *data)
{
    (void)data;
    return leader()->backups == 0;
}

/* As if they had been committed: one master, and nobody else to tell. */
static void make_many_pods(void)
{
    for (unsigned i = 0; i < MANY_PODS; i++)
        do_create(leader()->cluster, (struct create){.want = {i + 1, 0, 0, 0}});
}

/* The state that a backup's file holds; its header's index, too. */
static struct cluster *loaded(const struct taking *taking, uint64_t *index)
{
    struct cluster *cluster = NULL;
    struct envelope envelope;
    Kontor__V1__BackupHeader *header;
    CLEANUP(fd_close) int body = memfd_create("body", MFD_CLOEXEC);
    CLEANUP(free_pointer) uint8_t *bytes = NULL;
    struct error why;

    if (envelope_check(taking->fd, BACKUP_KIND, &envelope, &why) != 0)
        fail_msg("%s", why.message);
    header = kontor__v1__backup_header__unpack(NULL, envelope.header_length,
                                               envelope.header);
    assert_non_null(header);
    *index = header->index;
    kontor__v1__backup_header__free_unpacked(header, NULL);
    free(envelope.header);
    bytes = memory_new(envelope.body_bytes + 1);
    assert_int_equal(pread(taking->fd, bytes, envelope.body_bytes,
                           (off_t)envelope.body_offset),
                     envelope.body_bytes);
    assert_int_equal(fd_write_all(body, bytes, envelope.body_bytes, &why), 0);
    lseek(body, 0, SEEK_SET);
    if (cluster_load(&cluster, body, &why) != 0)
        fail_msg("%s", why.message);
    return cluster;
}

/* ---- the call ---- */

static void any_master_gives_the_leaders_state(void **state)
{
    struct cluster *copy;
    struct taking taking;
    unsigned follower;
    uint64_t index;

    (void)state;
    world_start(3, 3);
    world_node_start(0);
    world_node_register(0, world_leader());
    follower = (world_leader() + 1) % 3;
    take(&taking, world_channel(follower, "admin"));
    if (taking.why.code)
        fail_msg("%s", taking.why.message);
    copy = loaded(&taking, &index);
    assert_true(same_state(copy, leader()->cluster));
    assert_true(index >= copy->index);
    cluster_free(copy);
    end(&taking);
    world_until(none_is_made, NULL, "the end of it");
}

static void it_is_for_admins(void **state)
{
    struct taking taking;

    (void)state;
    world_start(1, 1);
    take(&taking, world_channel(0, "viewer"));
    assert_int_equal(taking.why.code, ERROR_PERMISSION_DENIED);
    end(&taking);
}

/* Of the one child that there is: 'S' when it waits for somebody to read, 'R'
 * when it works; '-' when there is none. */
static char child_state(void)
{
    char text[64] = "";
    char path[64];
    char state = '-';
    int child = 0;
    FILE *file = fopen("/proc/thread-self/children", "re");

    assert_non_null(file);
    if (fgets(text, sizeof text, file))
        child = atoi(text);
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    file = child ? fopen(path, "re") : NULL;
    if (!file)
        return '-';
    if (fscanf(file, "%*d %*s %c", &state) != 1)
        state = '-';
    fclose(file);
    return state;
}

/* For so many turns of the loop that, were it read, it would long have
 * ended. */
static bool child_waits(void *turns)
{
    unsigned *count = turns;

    *count = child_state() == 'S' ? *count + 1 : 0;
    return *count > 200;
}

/* What changes while it is read is not in it, and is not held up by it. */
static void a_slow_reader_gets_one_moment(void **state)
{
    Kontor__V1__ListNodesRequest list = KONTOR__V1__LIST_NODES_REQUEST__INIT;
    struct channel *channel;
    struct cluster *copy;
    struct taking taking;
    struct error why;
    unsigned turns = 0;
    uint64_t index;
    void *nodes;

    (void)state;
    world_start(1, 1);
    make_many_pods();
    channel = world_channel(0, "admin");
    begin(&taking, channel);
    world_until(has_some, &taking, "a part of it");
    call_pause(taking.call);
    while (!child_waits(&turns)) {
        nodes = world_call(channel, "ListNodes", &list.base, &why);
        assert_non_null(nodes);
        protobuf_c_message_free_unpacked(nodes, NULL);
        assert_int_equal(leader()->backups, 1);
        assert_int_not_equal(child_state(), '-');
    }
    do_create(leader()->cluster, (struct create){.app = "later"});
    call_resume(taking.call);
    world_until(has_ended, &taking, "its end");
    if (taking.why.code)
        fail_msg("%s", taking.why.message);
    copy = loaded(&taking, &index);
    assert_int_equal(series_count(&copy->pods.all), MANY_PODS);
    cluster_free(copy);
    end(&taking);
}

/* Each costs a copy of what changes: there is a limit, and who goes away
 * leaves nothing behind. */
static void few_at_a_time(void **state)
{
    struct taking taking[3];
    struct channel *channel;

    (void)state;
    world_start(1, 1);
    make_many_pods();
    channel = world_channel(0, "admin");
    for (int i = 0; i < 2; i++) {
        begin(&taking[i], channel);
        world_until(has_some, &taking[i], "a part of it");
        call_pause(taking[i].call);
    }
    take(&taking[2], channel);
    assert_int_equal(taking[2].why.code, ERROR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(taking[2].why.message, "2 backups"));
    end(&taking[0]); /* the reader has enough */
    end(&taking[2]);
    end(&taking[1]);
    world_until(none_is_made, NULL, "the end of all");
    take(&taking[0], channel);
    assert_int_equal(taking[0].why.code, 0);
    end(&taking[0]);
}

/* world_tear_down() closes the master beneath one. */
static void a_master_stops_meanwhile(void **state)
{
    static struct taking taking;

    (void)state;
    world_start(1, 1);
    make_many_pods();
    begin(&taking, world_channel(0, "admin"));
    world_until(has_some, &taking, "a part of it");
    call_pause(taking.call);
}

/* ---- kmaster restore ---- */

/* A pod that fits nowhere, in earnest. */
static void schedule(struct channel *channel, uint64_t id)
{
    Kontor__V1__ScheduleRequest request = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__RequestId request_id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    struct error why;
    void *response;

    request_id.low = id;
    container.image = (char[]){"registry.local/web:1"};
    spec.containers = containers;
    spec.n_containers = 1;
    request.request_id = &request_id;
    request.spec = &spec;
    response = world_call(channel, "Schedule", &request.base, &why);
    if (!response)
        fail_msg("%s", why.message);
    protobuf_c_message_free_unpacked(response, NULL);
}

static char *write_file(const struct taking *taking, const char *name)
{
    char *path = memory_format("%s/%s", world.folder, name);
    CLEANUP(free_pointer) uint8_t *bytes = memory_new(taking->bytes + 1);
    struct error why;

    assert_int_equal(pread(taking->fd, bytes, taking->bytes, 0), taking->bytes);
    assert_int_equal(
        file_replace(AT_FDCWD, path, bytes, taking->bytes, 0600, &why), 0);
    return path;
}

static int restore(char *file, char *folder)
{
    char *words[] = {
        (char[]){"restore"},   file,
        (char[]){"--name"},    (char[]){"m1"},
        (char[]){"--data"},    folder,
        (char[]){"--members"}, (char[]){"m1=127.0.0.1:1,m2=127.0.0.1:2"},
    };

    return backup_restore_main(ARRAY_LEN(words), words);
}

/* Equal but for the ids that are left out. */
static void the_restored_state_is_the_saved_one(void **state)
{
    CLEANUP(free_pointer) char *folder = NULL;
    CLEANUP(free_pointer) char *file = NULL;
    CLEANUP(fd_close) int fd = -1;
    struct channel *channel;
    struct cluster *copy;
    struct taking taking;
    struct error why;
    uint64_t index;

    (void)state;
    world_start(1, 1);
    channel = world_channel(0, "admin");
    world_node_start(0);
    world_node_register(0, 0);
    schedule(channel, 7);
    take(&taking, channel);
    copy = loaded(&taking, &index);
    cluster_free(copy);
    file = write_file(&taking, "backup");
    folder = memory_format("%s/restored", world.folder);
    assert_int_equal(restore(file, folder), EXIT_CODE_DONE);
    assert_int_equal(restore(file, folder), EXIT_CODE_CONFLICT);

    if (snapshot_open(folder, index + RECOVER_INDICES, &fd, &why) != 0 ||
        cluster_load(&copy, fd, &why) != 0)
        fail_msg("%s", why.message);
    assert_int_equal(copy->next_pod_id,
                     2 + RECOVER_INDICES * PODS_PER_COMMAND_MAX);
    assert_int_equal(copy->next_node_id, 2 + RECOVER_INDICES);
    copy->next_pod_id -= RECOVER_INDICES * PODS_PER_COMMAND_MAX;
    copy->next_node_id -= RECOVER_INDICES;
    assert_true(same_state(copy, leader()->cluster));
    assert_non_null(requests_find(&copy->requests, (struct request_id){0, 7}));
    cluster_free(copy);
    end(&taking);
}

/* Nothing is made of a file that is not whole. */
static void a_damaged_backup_is_not_restored(void **state)
{
    CLEANUP(free_pointer) char *folder = NULL;
    CLEANUP(free_pointer) char *file = NULL;
    struct taking taking;

    (void)state;
    world_start(1, 1);
    take(&taking, world_channel(0, "admin"));
    folder = memory_format("%s/restored", world.folder);
    assert_int_equal(pwrite(taking.fd, "x", 1, (off_t)taking.bytes / 2), 1);
    file = write_file(&taking, "backup");
    assert_int_equal(restore(file, folder), EXIT_CODE_FAILED);
    assert_int_not_equal(access(folder, F_OK), 0);
    end(&taking);
}

#define STORY(name) cmocka_unit_test_teardown(name, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(any_master_gives_the_leaders_state),
        STORY(it_is_for_admins),
        STORY(a_slow_reader_gets_one_moment),
        STORY(few_at_a_time),
        STORY(a_master_stops_meanwhile),
        STORY(the_restored_state_is_the_saved_one),
        STORY(a_damaged_backup_is_not_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
