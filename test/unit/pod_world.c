#include "pod_world.h"

#include "base/clock.h"
#include "base/fd.h"
#include "image_archive.h"
#include "node/cgroup/cgroup.h"
#include "node/image/layer_store.h"
#include "node/log_reader.h"
#include "node/pod/folder.h"
#include "node/pod/status.h"

#include <archive_entry.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

enum { BUSYBOX_MAX_BYTES = 4 << 20, POD_WORLD_IDS_MAX = 64 };

/* ---- the image ----------------------------------------------------------- */

static void put_blob(const struct pod_world *world, const void *bytes,
                     size_t length, struct digest *digest)
{
    char *path;
    struct error why;

    digest_of(bytes, length, digest);
    path = memory_format("%s/layout/blobs/sha256/%s", world->folder,
                         digest_hex(digest));
    assert_int_equal(file_exchange(AT_FDCWD, path, bytes, length, 0644, &why),
                     0);
    free(path);
}

static void put_text(const struct pod_world *world, const char *name,
                     const char *text)
{
    char *path = memory_format("%s/layout/%s", world->folder, name);
    struct error why;

    assert_int_equal(
        file_exchange(AT_FDCWD, path, text, strlen(text), 0644, &why), 0);
    free(path);
}

static void add_busybox(struct archive_built *archive)
{
    struct buffer program;
    struct error why;

    buffer_init(&program, BUSYBOX_MAX_BYTES);
    if (file_read(AT_FDCWD, "/bin/busybox", &program, &why) != 0)
        fail_msg("%s: install busybox-static", why.message);
    archive_built_folder(archive, "bin");
    archive_built_add(archive,
                      archive_built_entry("bin/busybox", AE_IFREG, 0755),
                      buffer_data(&program), buffer_length(&program));
    archive_built_symlink(archive, "bin/sh", "busybox");
    archive_built_folder(archive, "etc");
    archive_built_file(archive, "etc/passwd",
                       "root:x:0:0:root:/root:/bin/sh\n");
    buffer_fini(&program);
}

static void put_manifest(const struct pod_world *world, size_t layer_length,
                         const struct digest *layer,
                         const struct digest *diff_id)
{
    char *config = memory_format(
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":"
        "[\"/bin/sh\"],\"Env\":[\"A=1\"],\"StopSignal\":\"SIGTERM\"},"
        "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
        diff_id->text);
    struct digest digest;
    char *text;

    put_blob(world, config, strlen(config), &digest);
    text = memory_format(
        "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":"
        "{\"mediaType\":\"" CONFIG_TYPE "\",\"digest\":\"%s\",\"size\":%zu},"
        "\"layers\":[{\"mediaType\":\"" LAYER_TYPE "\",\"digest\":\"%s\","
        "\"size\":%zu}]}",
        digest.text, strlen(config), layer->text, layer_length);
    free(config);
    put_blob(world, text, strlen(text), &digest);
    config = memory_format(
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MANIFEST_TYPE
        "\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":"
        "{\"org.opencontainers.image.ref.name\":\"1\"}}]}",
        digest.text, strlen(text));
    put_text(world, "index.json", config);
    put_text(world, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    free(config);
    free(text);
}

static void make_image(const struct pod_world *world)
{
    struct archive_built archive;
    struct digest diff_id;
    struct digest digest;
    struct error why;
    size_t length;
    uint8_t *bytes;
    char *blobs = memory_format("%s/layout/blobs/sha256", world->folder);

    assert_int_equal(folder_make(blobs, 0755, &why), 0);
    free(blobs);
    archive_built_begin(&archive);
    add_busybox(&archive);
    archive_built_end(&archive);
    digest_of(archive.bytes, archive.length, &diff_id);
    bytes = gzip_bytes(archive.bytes, archive.length, &length);
    put_blob(world, bytes, length, &digest);
    put_manifest(world, length, &digest, &diff_id);
    archive_built_free(&archive);
    free(bytes);
}

/* ---- the store ----------------------------------------------------------- */

struct first_pull {
    struct image_pull pull;
    const struct pod_world *world;
    bool done;
};

/* The layout's image is also what a registry's reference led to once: found
 * in the store without asking anybody. */
static void on_first_pull(struct image_pull *pull,
                          const Kontor__V1__Image *image,
                          const struct error *why)
{
    struct first_pull *first = container_of(pull, struct first_pull, pull);
    struct layer_store store;
    struct reference reference;
    struct error unheard;

    if (why->code != ERROR_OK)
        fail_msg("%s", why->message);
    assert_int_equal(reference_parse(first->world->image, &reference, &unheard),
                     0);
    assert_int_equal(layer_store_open(&store, first->world->images, &unheard),
                     0);
    assert_int_equal(
        layer_store_save_image(&store, store.fd, &reference, image, &unheard),
        0);
    layer_store_close(&store);
    first->done = true;
}

static void on_closed(void *data)
{
    (void)data;
}

static void fill_store(const struct pod_world *world)
{
    struct image_store_config config = {.folder = world->images};
    struct first_pull first = {.pull = {.done = on_first_pull}, .world = world};
    struct image_store *store;
    uv_loop_t loop;
    struct error why;

    uv_loop_init(&loop);
    if (image_store_open(&store, &loop, &config, &why) != 0)
        fail_msg("%s", why.message);
    image_pull_start(store, &first.pull, world->layout);
    while (!first.done)
        uv_run(&loop, UV_RUN_ONCE);
    image_store_close(store, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

/* ---- the group's world --------------------------------------------------- */

static char *build_program(const char *name)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    assert_true(length > 0);
    self[length] = '\0';
    for (int i = 0; i < 3; i++) /* test/unit/<program> */
        *strrchr(self, '/') = '\0';
    return memory_format("%s/bin/%s", self, name);
}

int pod_world_make(void **state)
{
    struct pod_world *world = memory_new(sizeof *world);

    world->folder = temporary_folder();
    world->pods = memory_format("%s/pods", world->folder);
    world->images = memory_format("%s/images", world->folder);
    world->cgroup = memory_format("kontor-test-%d", (int)getpid());
    world->layout = memory_format("oci:%s/layout:1", world->folder);
    world->image = memory_string("127.0.0.1:1/busybox:1");
    world->kpod = build_program("kpod");
    if (access(world->kpod, X_OK) != 0) {
        fprintf(stderr, "%s is not built\n", world->kpod);
        return -1;
    }
    /* Before libuv makes its workers: they are to stand in it, too. Workers
     * left outside would look for the bridge's index among the host's
     * interfaces ("create interface: Operation not supported": that one is no
     * bridge). CLONE_THREAD refuses a process that has threads already. */
    if (unshare(CLONE_NEWNET | CLONE_THREAD) != 0)
        return -1;
    make_image(world);
    fill_store(world);
    *state = world;
    return 0;
}

/* After a test that failed in the middle: nothing may outlive the program. */
static void kill_what_is_left(const struct pod_world *world)
{
    struct error ignored;

    for (int id = 1; id < POD_WORLD_IDS_MAX; id++) {
        char *folder = memory_format("%s/%d", world->pods, id);
        pid_t pid = pod_folder_lock_owner(folder);

        if (pid > 0 && pod_folder_locked(folder))
            kill(pid, SIGKILL);
        free(folder);
    }
    cgroup_kill(world->cgroup, &ignored);
}

int pod_world_unmake(void **state)
{
    struct pod_world *world = *state;
    struct error why;
    int failed;

    kill_what_is_left(world);
    failed = cgroup_remove(world->cgroup, &why);
    temporary_remove(world->folder);
    free(world->folder);
    free(world->pods);
    free(world->images);
    free(world->cgroup);
    free(world->image);
    free(world->layout);
    free(world->kpod);
    free(world);
    return failed;
}

/* ---- one life of a knode ------------------------------------------------- */

static void note(void *data, const Kontor__V1__PodStatus *status)
{
    struct pod_world *world = data;
    size_t length = strlen(world->seen);
    const char *phase =
        protobuf_c_enum_descriptor_get_value(&kontor__v1__pod_phase__descriptor,
                                             (int)status->phase)
            ->name;

    if (status->pod_id != world->last->pod_id ||
        status->phase != world->last->phase)
        snprintf(world->seen + length, sizeof world->seen - length,
                 "%" PRIu64 ":%s ", status->pod_id, phase + strlen("POD_"));
    status_copy(world->last, status);
}

void pod_world_begin_life(struct pod_world *world, bool with_net)
{
    struct image_store_config images = {.folder = world->images};
    struct net_config net = {"kontor0", "10.42.2.0/24", "kontor"};
    struct pod_engine_config config = {
        .folder = world->pods,
        .image_folder = world->images,
        .kpod = world->kpod,
        .cgroup = world->cgroup,
        .log_limit_bytes = 1 << 20,
        .changed = note,
        .data = world,
    };
    struct error why;

    world->seen[0] = '\0';
    world->last = memory_new(sizeof *world->last);
    status_init(world->last, 0, 0);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    if (image_store_open(&world->store, &world->loop, &images, &why) != 0)
        fail_msg("%s", why.message);
    config.images = world->store;
    if (pod_engine_open(&world->engine, &world->loop, &config, &why) != 0)
        fail_msg("%s", why.message);
    if (!with_net)
        return;
    if (net_open(&world->net, &net, &why) != 0)
        fail_msg("%s", why.message);
    pod_engine_set_net(world->engine, world->net);
}

void pod_world_end_life(struct pod_world *world)
{
    pod_engine_close(world->engine, NULL, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    image_store_close(world->store, on_closed, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    net_free(world->net);
    world->net = NULL;
    status_fini(world->last);
    free(world->last);
}

int pod_world_open(void **state)
{
    pod_world_begin_life(*state, true);
    return 0;
}

/* ---- nothing may be left ------------------------------------------------- */

static bool file_mentions(const char *path, const char *what)
{
    FILE *file = fopen(path, "re");
    char line[4096];
    bool found = false;

    while (file && fgets(line, sizeof line, file))
        found |= strstr(line, what) != NULL;
    if (file)
        fclose(file);
    return found;
}

static void count_child(void *data, const char *child)
{
    (void)child;
    ++*(int *)data;
}

static void count_pod(void *data, const Kontor__V1__PodStatus *status)
{
    (void)status;
    ++*(int *)data;
}

/* A dead namespace's interfaces go a moment later, in the kernel. */
static bool veth_left(void)
{
    for (int tries = 0; tries < 200; tries++) {
        struct if_nameindex *list = if_nameindex();
        bool found = false;

        for (struct if_nameindex *at = list; at && at->if_index; at++)
            found |= strcmp(at->if_name, "lo") != 0 &&
                     strcmp(at->if_name, "kontor0") != 0;
        if_freenameindex(list);
        if (!found)
            return false;
        usleep(10000);
    }
    return true;
}

static void delete_pod(void *data, const Kontor__V1__PodStatus *status)
{
    struct pod_world *world = data;
    char *marker = memory_format("%" PRIu64, status->pod_id);

    /* Remembered by its id alone: deleting changes the table we walk. */
    strcat(strcat(world->seen, "!"), marker);
    free(marker);
}

static void delete_all(struct pod_world *world)
{
    struct error why;
    char *rest;

    world->seen[0] = '\0';
    pod_engine_each(world->engine, delete_pod, world);
    rest = memory_string(world->seen);
    for (char *at = strchr(rest, '!'); at; at = strchr(at + 1, '!')) {
        uint64_t id = strtoull(at + 1, NULL, 10);

        pod_engine_delete(world->engine, id, UINT32_MAX, &why);
        pod_world_await(world, id, KONTOR__V1__POD_PHASE__POD_STOPPED);
    }
    free(rest);
}

int pod_world_close(void **state)
{
    struct pod_world *world = *state;
    int pods = 0;
    int groups = 0;
    struct error why;

    /* Pods that a test left (it failed, or did not care). */
    delete_all(world);
    pod_engine_each(world->engine, count_pod, &pods);
    pod_world_end_life(world);
    assert_int_equal(cgroup_children(world->cgroup, count_child, &groups, &why),
                     0);
    assert_int_equal(pods, 0);
    assert_int_equal(groups, 0);
    assert_false(file_mentions("/proc/self/mountinfo", world->pods));
    assert_false(veth_left());
    assert_int_equal(rmdir(world->pods), 0);
    return 0;
}

/* ---- orders and waiting -------------------------------------------------- */

Kontor__V1__PodOrder *pod_world_order(const struct pod_world *world,
                                      uint64_t id, const char *script)
{
    Kontor__V1__PodOrder *order = memory_new(sizeof *order);
    Kontor__V1__ContainerSpec *container = memory_new(sizeof *container);

    kontor__v1__pod_order__init(order);
    kontor__v1__container_spec__init(container);
    order->pod_id = id;
    order->generation = 1;
    order->name = memory_format("web-%" PRIu64, id);
    order->spec = memory_new(sizeof *order->spec);
    kontor__v1__pod_spec__init(order->spec);
    order->spec->restart = KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
    order->spec->stop_grace_ms = 2000;
    order->spec->n_containers = 1;
    order->spec->containers = memory_array(1, sizeof(void *));
    order->spec->containers[0] = container;
    container->image = memory_string(world->image);
    container->n_command = 3;
    container->command = memory_array(3, sizeof(char *));
    container->command[0] = memory_string("/bin/sh");
    container->command[1] = memory_string("-c");
    container->command[2] = memory_string(script);
    return order;
}

struct saved {
    struct pod_sync sync;
    bool done;
    struct error why;
};

static void on_saved(struct pod_sync *sync, const struct error *why)
{
    struct saved *saved = container_of(sync, struct saved, sync);

    saved->done = true;
    saved->why = *why;
}

static void await_disk(struct pod_world *world)
{
    struct saved saved = {.sync = {.done = on_saved}};

    pod_engine_sync(world->engine, &saved.sync);
    while (!saved.done)
        uv_run(&world->loop, UV_RUN_ONCE);
    if (saved.why.code)
        fail_msg("%s", saved.why.message);
}

void pod_world_create(struct pod_world *world,
                      const Kontor__V1__PodOrder *order)
{
    struct error why;

    if (pod_engine_create(world->engine, order, &why) != 0)
        fail_msg("%s", why.message);
    await_disk(world);
}

void pod_world_delete(struct pod_world *world, uint64_t id, uint32_t generation)
{
    struct error why;

    if (pod_engine_delete(world->engine, id, generation, &why) != 0)
        fail_msg("%s", why.message);
    await_disk(world);
}

int pod_world_run(struct pod_world *world, uint64_t id, const char *script)
{
    Kontor__V1__PodOrder *order = pod_world_order(world, id, script);

    pod_world_create(world, order);
    kontor__v1__pod_order__free_unpacked(order, NULL);
    pod_world_await(world, id, KONTOR__V1__POD_PHASE__POD_RUNNING);
    return pod_engine_status(world->engine, id)->pid;
}

static void on_time_out(uv_timer_t *timer)
{
    struct pod_world *world = timer->data;

    world->timed_out = true;
}

void pod_world_await_that(struct pod_world *world,
                          bool (*found)(struct pod_world *world))
{
    uv_timer_t timer;

    world->timed_out = false;
    uv_timer_init(&world->loop, &timer);
    timer.data = world;
    uv_timer_start(&timer, on_time_out, POD_WORLD_WAIT_MS, 0);
    while (!found(world) && !world->timed_out)
        uv_run(&world->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&world->loop, UV_RUN_NOWAIT);
    if (world->timed_out)
        fail_msg("waited too long; seen: %s, last reason \"%s\"", world->seen,
                 world->last->reason);
}

static struct {
    uint64_t id;
    Kontor__V1__PodPhase phase;
} awaited;

static bool in_phase(struct pod_world *world)
{
    const Kontor__V1__PodStatus *status =
        pod_engine_status(world->engine, awaited.id);

    if (!status)
        return awaited.phase == KONTOR__V1__POD_PHASE__POD_STOPPED;
    if (status->phase != awaited.phase ||
        awaited.phase == KONTOR__V1__POD_PHASE__POD_STOPPED)
        return false;
    status_copy(world->last, status);
    return true;
}

void pod_world_await(struct pod_world *world, uint64_t id,
                     Kontor__V1__PodPhase phase)
{
    awaited.id = id;
    awaited.phase = phase;
    pod_world_await_that(world, in_phase);
}

/* ---- looking ------------------------------------------------------------- */

bool pod_world_has(const struct pod_world *world, uint64_t id, const char *name)
{
    char *path = memory_format("%s/%" PRIu64 "/%s", world->pods, id, name);
    bool there = access(path, F_OK) == 0;

    free(path);
    return there;
}

char *pod_world_log(const struct pod_world *world, uint64_t id)
{
    char *folder = memory_format("%s/%" PRIu64, world->pods, id);
    struct log_reader reader;
    struct error why;
    char *text = memory_string("");
    size_t length;

    log_reader_init(&reader, folder);
    while (log_reader_next(&reader, &length, &why) == 0 && length > 0) {
        char *longer = memory_format("%s%.*s", text, (int)length,
                                     (const char *)buffer_data(&reader.out));

        free(text);
        text = longer;
    }
    log_reader_fini(&reader);
    free(folder);
    return text;
}
