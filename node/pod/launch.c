#include "node/pod/launch.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/disk/disk.h"
#include "node/pod/bundle.h"
#include "node/pod/folder.h"
#include "node/pod/id_range.h"
#include "node/supervisor/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    RESOLV_CONF_MAX_BYTES = 16384,
    /* Descriptors for kpod are first moved above those it gets them as. */
    FD_ASIDE_MIN = 16,
};

/* ---- what the bundle says of this node ----------------------------------- */

static char *read_resolv_conf(const char *path, bool *usable)
{
    struct buffer content;
    struct error ignored;
    char *text;
    char *out;

    buffer_init(&content, RESOLV_CONF_MAX_BYTES);
    /* A host without one has pods without one. */
    if (file_read(AT_FDCWD, path, &content, &ignored) != 0)
        buffer_consume(&content, buffer_length(&content));
    text = memory_format("%.*s", (int)buffer_length(&content),
                         (const char *)buffer_data(&content));
    out = bundle_resolv_conf(text, usable);
    free(text);
    buffer_fini(&content);
    return out;
}

/* Where systemd-resolved answers on loopback, which a pod does not reach, the
 * servers behind it are in a file of their own. */
static char *find_resolv_conf(void)
{
    bool usable;
    char *text = read_resolv_conf("/etc/resolv.conf", &usable);

    if (usable)
        return text;
    free(text);
    return read_resolv_conf("/run/systemd/resolve/resolv.conf", &usable);
}

static int write_bundle(struct pod_launch *launch)
{
    CLEANUP(free_pointer) char *resolv_conf = find_resolv_conf();
    char address[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &launch->net_pod.address, address, sizeof address);
    bundle_place(launch->bundle, launch->cgroup, address, resolv_conf);
    if (pod_folder_write(launch->folder, SUPERVISOR_BUNDLE,
                         &launch->bundle->base, &launch->why) != 0)
        return (int)launch->why.code;
    /* What the pod writes is of use with these ids only: should the machine
     * stop, they are known as long as that. */
    return launch->bundle->first_id == 0
               ? 0
               : pod_folder_sync_file(launch->folder, SUPERVISOR_BUNDLE,
                                      &launch->why);
}

/* ---- folders ------------------------------------------------------------- */

static int make_folder(int dir, const char *name, struct error *why)
{
    if (mkdirat(dir, name, 0755) != 0 && errno != EEXIST)
        return error_errno(why, "create folder %s", name);
    return 0;
}

static int give_upper(struct pod_launch *launch, int dir)
{
    for (size_t i = 0; i < launch->bundle->n_containers; i++) {
        CLEANUP(free_pointer)
        char *path =
            memory_format("upper/%s", launch->bundle->containers[i]->name);

        if (disk_give(dir, path, launch->bundle->first_id, &launch->why) != 0)
            return error_wrap(&launch->why, "in %s", launch->folder);
    }
    return 0;
}

/* upper/ and work/ with a folder a container; root/. The writable layer of
 * an earlier run is kept. */
static int make_folders(struct pod_launch *launch)
{
    static const char *const names[] = {"root", "upper", "work"};
    struct error *why = &launch->why;
    CLEANUP(fd_close)
    int dir = open(launch->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return error_errno(why, "open folder %s", launch->folder);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t k = 0; k <= launch->bundle->n_containers; k++) {
            CLEANUP(free_pointer)
            char *path =
                k == 0 ? memory_string(names[i])
                       : memory_format("%s/%s", names[i],
                                       launch->bundle->containers[k - 1]->name);

            if (make_folder(dir, path, why) != 0)
                return error_wrap(why, "in %s", launch->folder);
        }
    return give_upper(launch, dir);
}

static int make_disk(struct pod_launch *launch)
{
    uint64_t log_limit_bytes = launch->bundle->containers[0]->log_limit_bytes;

    return launch->disk_bytes == 0
               ? 0
               : disk_make(launch->folder, launch->disk_bytes, log_limit_bytes,
                           &launch->why);
}

/* ---- the process --------------------------------------------------------- */

struct inheritance {
    int program; /* kpod itself; in what follows, what it gets */
    int netns;
    int socket;
    int lock;
    int errors;                         /* stderr */
    int filters[BUNDLE_CONTAINERS_MAX]; /* 0: not opened */
};

static void inheritance_fini(struct inheritance *fds)
{
    fd_reset(&fds->program);
    fd_reset(&fds->netns);
    fd_reset(&fds->socket);
    fd_reset(&fds->lock);
    fd_reset(&fds->errors);
    for (size_t i = 0; i < ARRAY_LEN(fds->filters); i++)
        if (fds->filters[i] > 0)
            close(fds->filters[i]);
}

/* So that giving one its number never overwrites another. */
static int move_aside(int *fd, struct error *why)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, FD_ASIDE_MIN);

    if (moved < 0)
        return error_errno(why, "duplicate a descriptor");
    fd_reset(fd);
    *fd = moved;
    return 0;
}

static int open_errors(struct pod_launch *launch, int *fd)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/%s", launch->folder, POD_FOLDER_KPOD_ERR);

    *fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (*fd < 0)
        return error_errno(&launch->why, "create %s", path);
    return 0;
}

static int open_filters(const struct pod_launch *launch,
                        struct inheritance *fds, struct error *why)
{
    for (size_t i = 0; i < launch->bundle->n_containers; i++)
        if (syscalls_open(launch->filters,
                          launch->bundle->containers[i]->cap_add,
                          &fds->filters[i], why) != 0 ||
            move_aside(&fds->filters[i], why) != 0)
            return (int)why->code;
    return 0;
}

/* kpod runs from a mount of its own that is read-only (sealed.h), or it would
 * have to make one and execute itself again. */
static int open_program(const struct pod_launch *launch, int *fd,
                        struct error *why)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};

    *fd =
        open_tree(AT_FDCWD, launch->kpod, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (*fd < 0 || mount_setattr(*fd, "", AT_EMPTY_PATH, &read_only,
                                 sizeof read_only) != 0)
        return error_errno(why, "mount %s read-only", launch->kpod);
    return 0;
}

static int gather(struct pod_launch *launch, struct inheritance *fds)
{
    struct error *why = &launch->why;

    if (pod_folder_lock(launch->folder, &fds->lock, why) != 0 ||
        pod_folder_listen(launch->folder, &fds->socket, why) != 0 ||
        open_errors(launch, &fds->errors) != 0 ||
        open_program(launch, &fds->program, why) != 0)
        return (int)why->code;
    if (move_aside(&fds->program, why) != 0 ||
        move_aside(&fds->socket, why) != 0 ||
        move_aside(&fds->lock, why) != 0 || move_aside(&fds->errors, why) != 0)
        return (int)why->code;
    return open_filters(launch, fds, why);
}

static void describe_files(posix_spawn_file_actions_t *files,
                           const struct inheritance *fds)
{
    posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY,
                                     0);
    posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null",
                                     O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(files, fds->errors, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(files, fds->netns, SUPERVISOR_NETNS_FD);
    posix_spawn_file_actions_adddup2(files, fds->socket, SUPERVISOR_SOCKET_FD);
    posix_spawn_file_actions_adddup2(files, fds->lock, SUPERVISOR_LOCK_FD);
    for (int i = 0; i < BUNDLE_CONTAINERS_MAX && fds->filters[i] > 0; i++)
        posix_spawn_file_actions_adddup2(files, fds->filters[i],
                                         SUPERVISOR_FILTER_FD + i);
    posix_spawn_file_actions_addchdir_np(files, "/");
}

/* A session of its own, no signal ignored or blocked. posix_spawn() does not
 * copy our page tables, and returns when kpod was executed or could not be. */
static int spawn(struct pod_launch *launch, const struct inheritance *fds)
{
    char *const argv[] = {memory_string("kpod"), memory_string(launch->folder),
                          NULL};
    char *const env[] = {NULL};
    CLEANUP(free_pointer)
    char *program = memory_format("/proc/self/fd/%d", fds->program);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    sigset_t all;
    int failed;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_init(&files);
    describe_files(&files, fds);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                       POSIX_SPAWN_SETSIGDEF);
    failed = posix_spawn(&launch->pid, program, &files, &how, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    free(argv[0]);
    free(argv[1]);
    if (failed) {
        errno = failed;
        return error_errno(&launch->why, "start %s", launch->kpod);
    }
    launch->pidfd = (int)syscall(SYS_pidfd_open, launch->pid, 0);
    return 0;
}

/* ---- the network ---------------------------------------------------------
 *
 * The kernel takes as long for it as all else takes that comes before kpod. */

struct attachment {
    pthread_t thread;
    struct pod_launch *launch; /* borrowed, and not written to */
    int netns;
    struct error why;
};

/* A namespace that is given is one of the pod's user namespace. */
static void *attach(void *data)
{
    struct attachment *attachment = data;
    struct net_pod pod = attachment->launch->net_pod;
    uint32_t first_id = attachment->launch->bundle->first_id;
    CLEANUP(fd_close) int given = -1;

    if (first_id && id_range_open(first_id, &given, &attachment->why) != 0)
        return NULL;
    pod.netns = first_id ? given : 0;
    net_attach(attachment->launch->net, &pod, &attachment->netns,
               &attachment->why);
    return NULL;
}

static int attach_start(struct attachment *attachment,
                        struct pod_launch *launch)
{
    *attachment = (struct attachment){.launch = launch, .netns = -1};
    errno = pthread_create(&attachment->thread, NULL, attach, attachment);
    return errno ? error_errno(&launch->why, "start a thread") : 0;
}

/* *netns is the caller's also when that failed. */
static int attach_finish(struct attachment *attachment, int *netns,
                         struct error *why)
{
    pthread_join(attachment->thread, NULL);
    *netns = attachment->netns;
    if (why->code)
        return (int)why->code;
    *why = attachment->why;
    return why->code ? (int)why->code : move_aside(netns, why);
}

/* ---- all of it ----------------------------------------------------------- */

static int make_group(struct pod_launch *launch)
{
    struct cgroup_limits *limits = &launch->limits;
    struct error *why = &launch->why;

    if (limits->io_bytes &&
        disk_device(launch->folder, &limits->io_device, why) != 0)
        return error_wrap(why, "limit io");
    return cgroup_create(launch->cgroup, limits, why);
}

/* launch->why tells whether it failed. */
static void prepare(struct pod_launch *launch, struct inheritance *fds)
{
    if (make_group(launch) == 0 && make_folders(launch) == 0 &&
        make_disk(launch) == 0 && write_bundle(launch) == 0)
        gather(launch, fds);
}

void pod_launch_run(struct pod_launch *launch)
{
    CLEANUP(inheritance_fini)
    struct inheritance fds = {-1, -1, -1, -1, -1, {0}};
    struct attachment attachment;
    struct error ignored;

    launch->pidfd = -1;
    launch->socket = -1;
    error_clear(&launch->why);
    if (attach_start(&attachment, launch) != 0)
        return;
    prepare(launch, &fds);
    if (attach_finish(&attachment, &fds.netns, &launch->why) != 0 ||
        spawn(launch, &fds) != 0)
        return;
    /* Should it fail, kpod lives all the same and is found by its lock. */
    pod_folder_connect(launch->folder, &launch->socket, &ignored);
    net_prepare(launch->net); /* while kpod makes the pod */
}
