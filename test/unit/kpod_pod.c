#include "test/unit/kpod_pod.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "node/cgroup/cgroup.h"
#include "node/disk/disk.h"
#include "node/pod/id_range.h"
#include "node/pod/profile.h"
#include "node/pod/syscalls.h"
#include "node/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define must(call)                                  \
    do {                                            \
        if ((call) != 0)                            \
            fail_msg("%s: %s", #call, why.message); \
    } while (0)

uint32_t kpod_pod_first_id;

static void path_in(const struct kpod_pod *pod, const char *name,
                    char path[128])
{
    snprintf(path, 128, "%s/%s", pod->folder, name);
}

static void write_file(const struct kpod_pod *pod, const char *name,
                       const void *bytes, size_t length)
{
    struct error why;

    char path[128];
    path_in(pod, name, path);
    must(file_replace(AT_FDCWD, path, bytes, length, 0644, &why));
}

/* ---- the image ------------------------------------------------------------
 */

static void make_image(const struct kpod_pod *pod)
{
    static const char *const folders[] = {
        "layer",      "layer/bin", "layer/etc", "layer/tmp", "upper",
        "upper/main", "work",      "work/main", "root",      "root/main"};
    static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                                 "www:x:33:34:web:/srv/www:/bin/sh\n";
    static const char group[] = "root:x:0:\nstaff:x:50:ann,www\nlog:x:60:www\n";
    char command[512];
    char path[128];

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        path_in(pod, folders[i], path);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    path_in(pod, "layer/tmp", path);
    assert_int_equal(chmod(path, 01777), 0);
    path_in(pod, "layer/bin", path);
    snprintf(command, sizeof command,
             "cp /bin/busybox %s && %s/busybox --install %s", path, path, path);
    assert_int_equal(system(command), 0);
    write_file(pod, "layer/etc/passwd", passwd, sizeof passwd - 1);
    write_file(pod, "layer/etc/group", group, sizeof group - 1);
}

void kpod_pod_set(char **field, const char *value)
{
    if (*field != (const char *)protobuf_c_empty_string)
        free(*field);
    *field = memory_string(value);
}

static void add_string(char ***list, size_t *count, const char *value)
{
    *list = memory_resize(*list, (*count + 1) * sizeof **list);
    (*list)[(*count)++] = memory_string(value);
}

void kpod_pod_set_argv(struct kpod_pod *pod, ...)
{
    Kontor__V1__BundleContainer *container = pod->bundle->containers[0];
    const char *value;
    va_list args;

    for (size_t i = 0; i < container->n_argv; i++)
        free(container->argv[i]);
    container->n_argv = 0;
    va_start(args, pod);
    while ((value = va_arg(args, const char *)))
        add_string(&container->argv, &container->n_argv, value);
    va_end(args);
}

static Kontor__V1__Bundle *make_bundle(const struct kpod_pod *pod)
{
    Kontor__V1__Bundle *bundle = memory_new(sizeof *bundle);
    Kontor__V1__BundleContainer *container = memory_new(sizeof *container);
    char path[128];

    kontor__v1__bundle__init(bundle);
    kontor__v1__bundle_container__init(container);
    path_in(pod, "layer", path);
    add_string(&container->layers, &container->n_layers, path);
    kpod_pod_set(&container->name, "main");
    bundle->pod_id = 17;
    bundle->first_id = kpod_pod_first_id;
    bundle->generation = 3;
    bundle->restart = KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
    kpod_pod_set(&bundle->hostname, "web-1");
    kpod_pod_set(&bundle->cgroup, pod->cgroup);
    kpod_pod_set(&bundle->address, "10.42.2.7");
    kpod_pod_set(&bundle->resolv_conf, "nameserver 192.0.2.53\n");
    bundle->containers = memory_array(1, sizeof(void *));
    bundle->containers[0] = container;
    bundle->n_containers = 1;
    return bundle;
}

struct kpod_pod *kpod_pod_new(const char *script)
{
    struct kpod_pod *pod = memory_new(sizeof *pod);

    pod->socket = -1;
    strcpy(pod->folder, "/tmp/kontor-test-kpod-XXXXXX");
    assert_non_null(mkdtemp(pod->folder));
    snprintf(pod->cgroup, sizeof pod->cgroup, "kontor-test-%d/pod",
             (int)getpid());
    make_image(pod);
    pod->bundle = make_bundle(pod);
    kpod_pod_set_argv(pod, "sh", "-c", script, NULL);
    return pod;
}

void kpod_pod_add(struct kpod_pod *pod, const char *name, const char *script)
{
    static const char *const folders[] = {"upper", "work", "root"};
    Kontor__V1__Bundle *bundle = pod->bundle;
    Kontor__V1__BundleContainer *copy;
    uint8_t bytes[4096];
    size_t length;
    char path[128];

    length = kontor__v1__bundle_container__pack(bundle->containers[0], bytes);
    copy = kontor__v1__bundle_container__unpack(NULL, length, bytes);
    kpod_pod_set(&copy->name, name);
    kpod_pod_set(&copy->argv[2], script);
    bundle->containers = memory_resize(
        bundle->containers, (bundle->n_containers + 1) * sizeof(void *));
    bundle->containers[bundle->n_containers++] = copy;
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        snprintf(path, sizeof path, "%s/%s/%s", pod->folder, folders[i], name);
        assert_int_equal(mkdir(path, 0755), 0);
    }
}

/* ---- running --------------------------------------------------------------
 */

/* kpod stands beside the tests: build/.../bin/kpod. */
static void find_kpod(char path[256])
{
    const char *set = getenv("KPOD");
    ssize_t length = readlink("/proc/self/exe", path, 255);

    if (set) {
        snprintf(path, 256, "%s", set);
        return;
    }
    assert_true(length > 0);
    path[length] = '\0';
    for (int i = 0; i < 3; i++)
        *strrchr(path, '/') = '\0';
    snprintf(path + strlen(path), 256 - strlen(path), "/bin/kpod");
}

static int listen_socket(const struct kpod_pod *pod)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s/kpod.sock",
             pod->folder);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int connect_socket(const struct kpod_pod *pod)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s/kpod.sock",
             pod->folder);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address),
                     0);
    return fd;
}

static int open_lock(const struct kpod_pod *pod)
{
    char path[128];
    int fd;

    path_in(pod, "kpod.lock", path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    return fd;
}

static void write_bundle(const struct kpod_pod *pod)
{
    size_t length = kontor__v1__bundle__get_packed_size(pod->bundle);
    uint8_t *bytes = memory_new(length);

    kontor__v1__bundle__pack(pod->bundle, bytes);
    write_file(pod, "bundle.pb", bytes, length);
    free(bytes);
}

/* As knode does it: the network namespace of a pod with ids of its own
 * belongs to its user namespace, and the writable layers to its root. */
static int open_netns(const struct kpod_pod *pod)
{
    uint32_t first_id = pod->bundle->first_id;
    struct error why;
    char path[128];
    int fd;

    if (first_id == 0)
        return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < pod->bundle->n_containers; i++) {
        snprintf(path, sizeof path, "%s/upper/%s", pod->folder,
                 pod->bundle->containers[i]->name);
        must(disk_give(AT_FDCWD, path, first_id, &why));
    }
    must(id_range_open(first_id, &fd, &why));
    return fd;
}

void kpod_pod_start(struct kpod_pod *pod)
{
    struct cgroup_limits limits = {.pids = pod->pids,
                                   .deny_devices =
                                       profile_reaches_devices(pod->bundle)};
    int given[3 + SUPERVISOR_CONTAINERS_MAX];
    int count = 3;
    char kpod[256];
    struct error why;

    if (pod->bundle->resources)
        limits.memory_bytes = pod->bundle->resources->memory_bytes;
    must(cgroup_create(pod->cgroup, &limits, &why));
    write_bundle(pod);
    find_kpod(kpod);
    given[0] = open_netns(pod);
    given[1] = listen_socket(pod);
    given[2] = open_lock(pod);
    pod->socket = connect_socket(pod);
    for (size_t i = 0; i < pod->bundle->n_containers; i++)
        must(syscalls_compile(pod->bundle->containers[i]->cap_add,
                              &given[count++], &why));
    pod->kpod = fork();
    if (pod->kpod == 0) {
        for (int i = 0; i < count; i++)
            given[i] = fcntl(given[i], F_DUPFD, 20);
        for (int i = 0; i < count; i++)
            dup2(given[i], SUPERVISOR_NETNS_FD + i);
        setsid();
        execl(kpod, "kpod", pod->folder, NULL);
        fprintf(stderr, "exec %s: %s\n", kpod, strerror(errno));
        _exit(99);
    }
    for (int i = 0; i < count; i++)
        close(given[i]);
}

static void take_status(struct kpod_pod *pod, const uint8_t *bytes,
                        size_t length)
{
    if (pod->status)
        kontor__v1__pod_status__free_unpacked(pod->status, NULL);
    pod->status = kontor__v1__pod_status__unpack(NULL, length, bytes);
    assert_non_null(pod->status);
}

void kpod_pod_next(struct kpod_pod *pod)
{
    struct pollfd ready = {.fd = pod->socket, .events = POLLIN};
    uint8_t bytes[8192];
    ssize_t length;

    assert_int_equal(poll(&ready, 1, KPOD_POD_AWAIT_MS), 1);
    length = recv(pod->socket, bytes, sizeof bytes, 0);
    if (length <= 0)
        fail_msg("kpod went; the last phase was %d: %s",
                 pod->status ? (int)pod->status->phase : -1,
                 pod->status ? pod->status->reason : "");
    take_status(pod, bytes, (size_t)length);
}

const Kontor__V1__PodStatus *kpod_pod_await(struct kpod_pod *pod,
                                            Kontor__V1__PodPhase phase)
{
    uint64_t until = clock_monotonic_ms() + KPOD_POD_AWAIT_MS;

    do {
        assert_true(clock_monotonic_ms() < until);
        kpod_pod_next(pod);
    } while (pod->status->phase != phase);
    return pod->status;
}

static void await_exit(struct kpod_pod *pod)
{
    uint64_t until = clock_monotonic_ms() + KPOD_POD_AWAIT_MS;

    while (waitpid(pod->kpod, &pod->exited, WNOHANG) == 0) {
        if (clock_monotonic_ms() > until)
            fail_msg("kpod does not end; log: %s", kpod_pod_log(pod, 0));
        usleep(1000);
    }
    pod->kpod = 0;
}

const Kontor__V1__PodStatus *kpod_pod_end(struct kpod_pod *pod)
{
    struct buffer bytes;
    struct error why;
    char path[128];

    await_exit(pod);
    assert_true(cgroup_empty(pod->cgroup));
    path_in(pod, "status.pb", path);
    buffer_init(&bytes, SUPERVISOR_FILE_MAX_BYTES);
    must(file_read(AT_FDCWD, path, &bytes, &why));
    take_status(pod, buffer_data(&bytes), buffer_length(&bytes));
    buffer_fini(&bytes);
    return pod->status;
}

const Kontor__V1__PodStatus *kpod_pod_run(struct kpod_pod *pod)
{
    kpod_pod_start(pod);
    return kpod_pod_end(pod);
}

void kpod_pod_stop(struct kpod_pod *pod, uint32_t grace_ms)
{
    Kontor__V1__SupervisorMessage message =
        KONTOR__V1__SUPERVISOR_MESSAGE__INIT;
    Kontor__V1__StopPodNow stop = KONTOR__V1__STOP_POD_NOW__INIT;
    uint8_t bytes[64];
    size_t length;

    stop.grace_ms = grace_ms;
    message.message_case = KONTOR__V1__SUPERVISOR_MESSAGE__MESSAGE_STOP;
    message.stop = &stop;
    length = kontor__v1__supervisor_message__pack(&message, bytes);
    assert_int_equal(send(pod->socket, bytes, length, MSG_NOSIGNAL), length);
}

void kpod_pod_send_exec(const struct kpod_pod *pod,
                        const Kontor__V1__StartExec *asked, const int *fds,
                        size_t count)
{
    Kontor__V1__SupervisorMessage message =
        KONTOR__V1__SUPERVISOR_MESSAGE__INIT;
    uint8_t bytes[8192];
    struct iovec part = {bytes, 0};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control = {{0}};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = CMSG_SPACE(count * sizeof *fds)};

    message.message_case = KONTOR__V1__SUPERVISOR_MESSAGE__MESSAGE_EXEC;
    message.exec = without_const(asked);
    part.iov_len = kontor__v1__supervisor_message__pack(&message, bytes);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(&control.header), fds, count * sizeof *fds);
    assert_true(sendmsg(pod->socket, &packet, MSG_NOSIGNAL) > 0);
}

void kpod_pod_exec(struct kpod_pod *pod, const char *script)
{
    static char sh[] = "sh", option[] = "-c";
    char *argv[] = {sh, option, without_const(script)};
    Kontor__V1__StartExec asked = KONTOR__V1__START_EXEC__INIT;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int pair[2];
    char end[1024];

    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    asked.argv = argv;
    asked.n_argv = 3;
    kpod_pod_send_exec(pod, &asked, (int[]){pair[1], null, null}, 3);
    close(pair[1]);
    while (recv(pair[0], end, sizeof end, 0) > 0)
        continue;
    close(pair[0]);
    close(null);
}

/* ---- the log --------------------------------------------------------------
 */

static void read_log(struct kpod_pod *pod, const char *name, int stream,
                     size_t *used)
{
    CLEANUP(fd_close) int fd = -1;
    struct log_record record;
    struct error why;
    char path[128];

    path_in(pod, name, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && read(fd, &record, sizeof record) == sizeof record) {
        char bytes[LOG_RECORD_MAX_BYTES];

        assert_in_range(record.length, 1, LOG_RECORD_MAX_BYTES);
        if (fd_read_exact(fd, bytes, record.length, &why) != 0)
            return; /* it is just being written */
        if ((stream == 0 || record.stream == stream) &&
            *used + record.length < KPOD_POD_LOG_MAX) {
            memcpy(pod->log + *used, bytes, record.length);
            *used += record.length;
        }
    }
}

const char *kpod_pod_log(struct kpod_pod *pod, int stream)
{
    size_t used = 0;

    read_log(pod, "log.1", stream, &used);
    read_log(pod, "log", stream, &used);
    pod->log[used] = '\0';
    return pod->log;
}

void kpod_pod_await_log(struct kpod_pod *pod, const char *text)
{
    uint64_t until = clock_monotonic_ms() + KPOD_POD_AWAIT_MS;

    while (!strstr(kpod_pod_log(pod, 0), text)) {
        if (clock_monotonic_ms() > until)
            fail_msg("\"%s\" does not come; log: %s", text,
                     kpod_pod_log(pod, 0));
        usleep(1000);
    }
}

/* ---- the end --------------------------------------------------------------
 */

static void clean_cgroup(const struct kpod_pod *pod)
{
    struct error why;
    char parent[64];

    snprintf(parent, sizeof parent, "kontor-test-%d", (int)getpid());
    for (int i = 0; i < 1000 && !cgroup_empty(pod->cgroup); i++) {
        cgroup_kill(pod->cgroup, &why);
        usleep(1000);
    }
    must(cgroup_remove(parent, &why));
}

void kpod_pod_free(struct kpod_pod *pod)
{
    struct error why;
    struct buffer mounts;

    if (pod->kpod > 0) {
        kill(pod->kpod, SIGKILL);
        waitpid(pod->kpod, NULL, 0);
    }
    fd_close(&pod->socket);
    clean_cgroup(pod);
    buffer_init(&mounts, 1 << 20);
    must(file_read(AT_FDCWD, "/proc/self/mountinfo", &mounts, &why));
    assert_null(memmem(buffer_data(&mounts), buffer_length(&mounts),
                       pod->folder, strlen(pod->folder)));
    buffer_fini(&mounts);
    must(folder_remove(AT_FDCWD, pod->folder, &why));
    if (pod->status)
        kontor__v1__pod_status__free_unpacked(pod->status, NULL);
    kontor__v1__bundle__free_unpacked(pod->bundle, NULL);
    free(pod);
}

bool kpod_pod_sanitized(void)
{
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return false;
#endif
}
