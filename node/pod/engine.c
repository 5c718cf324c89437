#include "node/pod/engine.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/cgroup/cgroup.h"
#include "node/pod/bundle.h"
#include "node/pod/folder.h"
#include "node/pod/pod.h"
#include "node/pod/status.h"
#include "node/pod/syscalls.h"
#include "node/supervisor/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POD_ID_DIGITS_MAX = 20 };

struct pod_engine {
    struct pod_site site;
    struct map by_id;
    struct list pods; /* in order of id */

    /* One sync at a time; who asks meanwhile shares the next. */
    struct list sync_waiting;
    struct list sync_active;
    bool syncing;
    uv_work_t sync_work;
    uint64_t *sync_ids; /* what the worker syncs; owned, as are the paths */
    char **sync_folders;
    size_t sync_count;
    struct error sync_why;

    bool closing;
    uv_timer_t handle; /* never started; its end is the engine's */
    void (*closed)(void *data);
    void *closed_data;
};

/* ---- the table ----------------------------------------------------------- */

static struct pod *find(const struct pod_engine *engine, uint64_t id)
{
    struct map_link *at = map_chain(&engine->by_id, map_hash_id(id));

    for (; at; at = at->next) {
        struct pod *pod = container_of(at, struct pod, map);

        if (pod->id == id)
            return pod;
    }
    return NULL;
}

/* Ids grow, so the place is nearly always the last. */
static void add(struct pod_engine *engine, struct pod *pod)
{
    struct list *before = engine->pods.prev;

    while (before != &engine->pods &&
           container_of(before, struct pod, link)->id > pod->id)
        before = before->prev;
    /* Appending to a "list" that begins behind `before` inserts there. */
    list_append(before->next, &pod->link);
    map_insert(&engine->by_id, &pod->map, map_hash_id(pod->id));
}

static void engine_on_closed(uv_handle_t *handle)
{
    struct pod_engine *engine =
        container_of((uv_timer_t *)handle, struct pod_engine, handle);
    void (*closed)(void *data) = engine->closed;
    void *data = engine->closed_data;

    map_fini(&engine->by_id);
    free(engine->site.folder);
    free(engine->site.image_folder);
    free(engine->site.kpod);
    free(engine->site.cgroup);
    syscalls_free(engine->site.filters);
    free(engine);
    if (closed)
        closed(data);
}

static void finish_close(struct pod_engine *engine)
{
    if (engine->closing && list_empty(&engine->pods) && !engine->syncing)
        uv_close((uv_handle_t *)&engine->handle, engine_on_closed);
}

static void engine_on_pod_freed(struct pod_site *site, struct pod *pod)
{
    struct pod_engine *engine = container_of(site, struct pod_engine, site);

    list_remove(&pod->link);
    map_remove(&engine->by_id, &pod->map);
    finish_close(engine);
}

/* ---- opening ------------------------------------------------------------- */

/* The id that `text` writes; 0 when it writes none (no pod has id 0). */
static uint64_t parse_id(const char *text)
{
    char *end;
    unsigned long long id;

    if (text[0] < '1' || text[0] > '9' || strlen(text) > POD_ID_DIGITS_MAX)
        return 0;
    errno = 0;
    id = strtoull(text, &end, 10);
    return *end || errno ? 0 : id;
}

static int find_pod(struct pod_engine *engine, uint64_t id, struct error *why)
{
    struct pod *pod;

    if (id == 0 || find(engine, id))
        return 0;
    if (pod_find(&engine->site, id, &pod, why) != 0)
        return (int)why->code;
    add(engine, pod);
    return 0;
}

static void close_dir(DIR **stream)
{
    if (*stream)
        closedir(*stream);
}

static int find_folders(struct pod_engine *engine, struct error *why)
{
    CLEANUP(close_dir) DIR *stream = opendir(engine->site.folder);
    struct dirent *entry;

    if (!stream)
        return error_errno(why, "open folder %s", engine->site.folder);
    while ((entry = readdir(stream)))
        if (find_pod(engine, parse_id(entry->d_name), why) != 0)
            return (int)why->code;
    return 0;
}

struct group_search {
    struct pod_engine *engine;
    struct error why;
};

/* A group without a folder is a pod of which only that is left. */
static void on_group(void *data, const char *path)
{
    struct group_search *search = data;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    struct error why;

    if (strncmp(name, "pod-", 4) == 0 &&
        find_pod(search->engine, parse_id(name + 4), &why) != 0)
        search->why = why;
}

static int find_groups(struct pod_engine *engine, struct error *why)
{
    struct group_search search = {.engine = engine};

    if (cgroup_children(engine->site.cgroup, on_group, &search, why) != 0)
        return (int)why->code;
    if (search.why.code != ERROR_OK) {
        *why = search.why;
        return (int)why->code;
    }
    return 0;
}

int pod_engine_open(struct pod_engine **out, uv_loop_t *loop,
                    const struct pod_engine_config *config, struct error *why)
{
    CLEANUP(fd_close) int filter = -1;
    struct syscalls *filters;
    struct pod_engine *engine;

    if (folder_make(config->folder, 0700, why) != 0)
        return (int)why->code;
    filters = syscalls_new();
    /* That of most pods is compiled before any waits for it. */
    if (syscalls_open(filters, 0, &filter, why) != 0) {
        syscalls_free(filters);
        return (int)why->code;
    }
    engine = memory_new(sizeof *engine);
    engine->site = (struct pod_site){
        .loop = loop,
        .folder = memory_string(config->folder),
        .image_folder = memory_string(config->image_folder),
        .kpod = memory_string(config->kpod),
        .cgroup = memory_string(config->cgroup),
        .filters = filters,
        .images = config->images,
        .log_limit_bytes = config->log_limit_bytes,
        .changed = config->changed,
        .data = config->data,
        .freed = engine_on_pod_freed,
    };
    map_init(&engine->by_id);
    list_init(&engine->pods);
    list_init(&engine->sync_waiting);
    list_init(&engine->sync_active);
    uv_timer_init(loop, &engine->handle);
    if (find_folders(engine, why) != 0 || find_groups(engine, why) != 0) {
        pod_engine_close(engine, NULL, NULL);
        return (int)why->code;
    }
    list_for_each(at, following, &engine->pods)
        pod_step(container_of(at, struct pod, link));
    *out = engine;
    return 0;
}

void pod_engine_set_net(struct pod_engine *engine, struct net *net)
{
    engine->site.net = net;
    /* First what has an address, or a new pod could be given it. */
    list_for_each(at, following, &engine->pods)
        pod_adopt_address(container_of(at, struct pod, link));
    net_adopted(net);
    list_for_each(at, following, &engine->pods)
    {
        struct pod *pod = container_of(at, struct pod, link);

        if (pod->state == POD_STATE_CLAIM)
            pod_step(pod);
    }
}

/* ---- orders -------------------------------------------------------------- */

static Kontor__V1__PodOrder *copy_order(const Kontor__V1__PodOrder *order)
{
    size_t length = kontor__v1__pod_order__get_packed_size(order);
    CLEANUP(free_pointer) uint8_t *bytes = memory_new(length + 1);

    kontor__v1__pod_order__pack(order, bytes);
    return kontor__v1__pod_order__unpack(NULL, length, bytes);
}

static int create_first(struct pod_engine *engine,
                        const Kontor__V1__PodOrder *order, struct error *why)
{
    CLEANUP(free_pointer)
    char *folder =
        memory_format("%s/%" PRIu64, engine->site.folder, order->pod_id);
    struct pod *pod;

    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return error_errno(why, "create folder %s", folder);
    if (pod_folder_write(folder, POD_FOLDER_ORDER, &order->base, why) != 0) {
        rmdir(folder);
        return (int)why->code;
    }
    pod = pod_new(&engine->site, copy_order(order));
    pod->unsaved = true;
    add(engine, pod);
    pod_step(pod);
    return 0;
}

static int create_again(struct pod *pod, const Kontor__V1__PodOrder *order,
                        struct error *why)
{
    uint32_t newest =
        pod->next ? pod->next->generation : pod->order->generation;
    const char *file;

    if (order->generation < newest)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "pod %s: generation %u was replaced by %u",
                         order->name, order->generation, newest);
    if (order->generation == newest) {
        if (!pod->unsaved)
            return 0;
        /* Its sync may have failed: only writing anew makes it whole. */
        file = pod->next ? POD_FOLDER_NEXT : POD_FOLDER_ORDER;
        return pod_vanishing(pod)
                   ? 0
                   : pod_folder_write(pod->folder, file, &order->base, why);
    }
    if (pod_vanishing(pod))
        return error_set(why, ERROR_UNAVAILABLE,
                         "pod %s: generation %u is just being removed",
                         order->name, newest);
    if (pod_folder_write(pod->folder, POD_FOLDER_NEXT, &order->base, why) != 0)
        return (int)why->code;
    if (pod->next)
        kontor__v1__pod_order__free_unpacked(pod->next, NULL);
    pod->next = copy_order(order);
    pod->unsaved = true;
    pod_step(pod);
    return 0;
}

int pod_engine_create(struct pod_engine *engine,
                      const Kontor__V1__PodOrder *order, struct error *why)
{
    struct pod *pod = find(engine, order->pod_id);

    if (order->pod_id == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "an order for pod id 0: ids begin with 1");
    return pod ? create_again(pod, order, why)
               : create_first(engine, order, why);
}

int pod_engine_delete(struct pod_engine *engine, uint64_t pod_id,
                      uint32_t generation, struct error *why)
{
    Kontor__V1__PodOrder order = KONTOR__V1__POD_ORDER__INIT;
    struct pod *pod = find(engine, pod_id);

    if (!pod || generation < pod->order->generation || pod_vanishing(pod))
        return 0;
    /* A pod without a folder, too: found by its group, it is going. */
    if (!pod->next && !pod->unsaved &&
        pod->delete_generation >= (int64_t)pod->order->generation)
        return 0;
    order.pod_id = pod_id;
    order.generation = generation;
    if (pod_folder_write(pod->folder, POD_FOLDER_DELETE, &order.base, why) != 0)
        return (int)why->code;
    if (pod->next && generation >= pod->next->generation) {
        if (pod_folder_unlink(pod->folder, POD_FOLDER_NEXT, why) != 0)
            return (int)why->code;
        kontor__v1__pod_order__free_unpacked(pod->next, NULL);
        pod->next = NULL;
    }
    pod->delete_generation = generation;
    pod->unsaved = true;
    pod_step(pod);
    return 0;
}

/* ---- the disk ------------------------------------------------------------ */

static void sync_start(struct pod_engine *engine);

static int sync_all(const struct pod_engine *engine, struct error *why)
{
    CLEANUP(fd_close) int dir = -1;

    if (engine->sync_count == 0)
        return 0;
    for (size_t i = 0; i < engine->sync_count; i++)
        if (pod_folder_sync(engine->sync_folders[i], why) != 0)
            return (int)why->code;
    dir = open(engine->site.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fsync(dir) != 0)
        return error_errno(why, "sync folder %s", engine->site.folder);
    return 0;
}

static void engine_sync_work(uv_work_t *work)
{
    struct pod_engine *engine =
        container_of(work, struct pod_engine, sync_work);

    error_clear(&engine->sync_why);
    sync_all(engine, &engine->sync_why);
}

/* What did not reach the disk is unsaved again. */
static void sync_forget(struct pod_engine *engine)
{
    for (size_t i = 0; i < engine->sync_count; i++) {
        struct pod *pod = find(engine, engine->sync_ids[i]);

        if (pod && engine->sync_why.code != ERROR_OK)
            pod->unsaved = true;
        free(engine->sync_folders[i]);
    }
    free(engine->sync_folders);
    free(engine->sync_ids);
    engine->sync_folders = NULL;
    engine->sync_ids = NULL;
    engine->sync_count = 0;
}

static void engine_on_synced(uv_work_t *work, int cancelled)
{
    struct pod_engine *engine =
        container_of(work, struct pod_engine, sync_work);
    struct pod_sync *sync;

    (void)cancelled;
    sync_forget(engine);
    while ((sync = list_first(&engine->sync_active, struct pod_sync, link))) {
        list_remove(&sync->link);
        sync->done(sync, &engine->sync_why); /* may free sync */
    }
    engine->syncing = false;
    if (!list_empty(&engine->sync_waiting))
        sync_start(engine);
    finish_close(engine);
}

static void sync_start(struct pod_engine *engine)
{
    struct pod_sync *sync;

    while ((sync = list_first(&engine->sync_waiting, struct pod_sync, link))) {
        list_remove(&sync->link);
        list_append(&engine->sync_active, &sync->link);
    }
    engine->sync_ids = memory_array(engine->by_id.count + 1, sizeof(uint64_t));
    engine->sync_folders =
        memory_array(engine->by_id.count + 1, sizeof(char *));
    list_for_each(at, following, &engine->pods)
    {
        struct pod *pod = container_of(at, struct pod, link);

        if (!pod->unsaved)
            continue;
        pod->unsaved = false;
        engine->sync_ids[engine->sync_count] = pod->id;
        engine->sync_folders[engine->sync_count++] = memory_string(pod->folder);
    }
    engine->syncing = true;
    uv_queue_work(engine->site.loop, &engine->sync_work, engine_sync_work,
                  engine_on_synced);
}

void pod_engine_sync(struct pod_engine *engine, struct pod_sync *sync)
{
    list_append(&engine->sync_waiting, &sync->link);
    if (!engine->syncing)
        sync_start(engine);
}

/* ---- looking and leaving ------------------------------------------------- */

void pod_engine_each(struct pod_engine *engine,
                     void (*each)(void *data,
                                  const Kontor__V1__PodStatus *status),
                     void *data)
{
    list_for_each(at, following, &engine->pods)
    {
        const struct pod *pod = container_of(at, struct pod, link);

        if (pod->state != POD_STATE_GONE)
            each(data, &pod->status);
    }
}

const Kontor__V1__PodStatus *pod_engine_status(const struct pod_engine *engine,
                                               uint64_t pod_id)
{
    const struct pod *pod = find(engine, pod_id);

    return pod ? &pod->status : NULL;
}

/* Layers of the store are beneath its folder; their names there are told. */
static void tell_layers(const struct pod_engine *engine,
                        const Kontor__V1__Bundle *bundle, image_used_cb *used,
                        void *to)
{
    size_t length = strlen(engine->site.image_folder);

    for (size_t i = 0; i < bundle->n_containers; i++) {
        const Kontor__V1__BundleContainer *container = bundle->containers[i];

        for (size_t k = 0; k < container->n_layers; k++)
            if (strncmp(container->layers[k], engine->site.image_folder,
                        length) == 0 &&
                container->layers[k][length] == '/')
                used(to, container->layers[k] + length + 1,
                     k + 1 == container->n_layers);
    }
}

int pod_engine_each_layer(const struct pod_engine *engine, image_used_cb *used,
                          void *to, struct error *why)
{
    list_for_each(at, following, &engine->pods)
    {
        const struct pod *pod = container_of(at, struct pod, link);
        struct error unread;
        Kontor__V1__Bundle *bundle = (Kontor__V1__Bundle *)pod_folder_read(
            pod->folder, SUPERVISOR_BUNDLE, &kontor__v1__bundle__descriptor,
            &unread);

        if (pod->bundle)
            tell_layers(engine, pod->bundle, used, to);
        if (bundle) {
            tell_layers(engine, bundle, used, to);
            kontor__v1__bundle__free_unpacked(bundle, NULL);
        } else if (unread.code != ERROR_NOT_FOUND) {
            *why = unread;
            return error_wrap(why, "the layers of pod %" PRIu64, pod->id);
        }
    }
    return 0;
}

int pod_engine_exec(struct pod_engine *engine, uint64_t pod_id,
                    const Kontor__V1__StartExec *asked, const int *fds,
                    size_t fd_count, struct error *why)
{
    struct pod *pod = find(engine, pod_id);

    if (!pod)
        return error_set(why, ERROR_NOT_FOUND,
                         "pod %" PRIu64 " is not on this node", pod_id);
    return kpod_exec(&pod->kpod, asked, fds, fd_count, why);
}

const struct pod_site *pod_engine_site(const struct pod_engine *engine)
{
    return &engine->site;
}

int pod_engine_container(const struct pod_engine *engine, uint64_t pod_id,
                         const char *name)
{
    const struct pod *pod = find(engine, pod_id);

    for (size_t i = 0; pod && i < pod->order->spec->n_containers; i++) {
        const Kontor__V1__ContainerSpec *spec = pod->order->spec->containers[i];

        if (name[0] ? strcmp(bundle_container_name(spec), name) == 0
                    : !spec->init)
            return (int)i;
    }
    return -1;
}

const char *pod_engine_folder(const struct pod_engine *engine, uint64_t pod_id)
{
    const struct pod *pod = find(engine, pod_id);

    return pod ? pod->folder : NULL;
}

void pod_engine_close(struct pod_engine *engine, void (*closed)(void *data),
                      void *data)
{
    engine->closed = closed;
    engine->closed_data = data;
    engine->closing = true;
    list_for_each(at, following, &engine->pods)
        pod_close(container_of(at, struct pod, link));
    finish_close(engine);
}
