#include "node/pod/folder.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FILE_MODE = 0600, BACKLOG = 16 };

static int open_folder(const char *folder, int *fd, struct error *why)
{
    *fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return error_errno(why, "open folder %s", folder);
    return 0;
}

/* ---- messages ------------------------------------------------------------ */

int pod_folder_write(const char *folder, const char *file,
                     const ProtobufCMessage *message, struct error *why)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    CLEANUP(fd_close) int dir = -1;
    CLEANUP(free_pointer) uint8_t *bytes = NULL;

    if (length > SUPERVISOR_FILE_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "write %s/%s: %zu bytes, at most %d", folder, file,
                         length, SUPERVISOR_FILE_MAX_BYTES);
    if (open_folder(folder, &dir, why) != 0)
        return (int)why->code;
    bytes = memory_new(length + 1);
    protobuf_c_message_pack(message, bytes);
    if (file_exchange(dir, file, bytes, length, FILE_MODE, why) != 0)
        return error_wrap(why, "in %s", folder);
    return 0;
}

ProtobufCMessage *pod_folder_read(const char *folder, const char *file,
                                  const ProtobufCMessageDescriptor *type,
                                  struct error *why)
{
    CLEANUP(free_pointer) char *path = memory_format("%s/%s", folder, file);
    ProtobufCMessage *message = NULL;
    struct buffer content;

    buffer_init(&content, SUPERVISOR_FILE_MAX_BYTES);
    if (file_read(AT_FDCWD, path, &content, why) == 0) {
        message = protobuf_c_message_unpack(type, NULL, buffer_length(&content),
                                            buffer_data(&content));
        if (!message)
            error_set(why, ERROR_DATA_LOSS, "%s: not a %s", path, type->name);
    }
    buffer_fini(&content);
    return message;
}

int pod_folder_unlink(const char *folder, const char *file, struct error *why)
{
    CLEANUP(free_pointer) char *path = memory_format("%s/%s", folder, file);

    if (unlink(path) != 0 && errno != ENOENT)
        return error_errno(why, "remove %s", path);
    return 0;
}

static int sync_file(int dir, const char *file, struct error *why)
{
    CLEANUP(fd_close) int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return error_errno(why, "open %s", file);
    if (fsync(fd) != 0)
        return error_errno(why, "sync %s", file);
    return 0;
}

int pod_folder_sync(const char *folder, struct error *why)
{
    static const char *const files[] = {POD_FOLDER_ORDER, POD_FOLDER_NEXT,
                                        POD_FOLDER_DELETE};
    CLEANUP(fd_close)
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0 && errno == ENOENT)
        return 0;
    if (dir < 0)
        return error_errno(why, "open folder %s", folder);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (sync_file(dir, files[i], why) != 0)
            return error_wrap(why, "in %s", folder);
    if (fsync(dir) != 0)
        return error_errno(why, "sync folder %s", folder);
    return 0;
}

int pod_folder_sync_file(const char *folder, const char *file,
                         struct error *why)
{
    CLEANUP(fd_close) int dir = -1;

    if (open_folder(folder, &dir, why) != 0 || sync_file(dir, file, why) != 0)
        return error_wrap(why, "in %s", folder);
    if (fsync(dir) != 0)
        return error_errno(why, "sync folder %s", folder);
    return 0;
}

int pod_folder_promote(const char *folder, struct error *why)
{
    CLEANUP(fd_close) int dir = -1;

    if (open_folder(folder, &dir, why) != 0)
        return (int)why->code;
    if (renameat(dir, POD_FOLDER_NEXT, dir, POD_FOLDER_ORDER) != 0) {
        if (errno == ENOENT)
            return 0;
        return error_errno(why, "rename %s in %s", POD_FOLDER_NEXT, folder);
    }
    if (unlinkat(dir, POD_FOLDER_DELETE, 0) != 0 && errno != ENOENT)
        return error_errno(why, "remove %s in %s", POD_FOLDER_DELETE, folder);
    if (fsync(dir) != 0)
        return error_errno(why, "sync folder %s", folder);
    return 0;
}

/* ---- the lock ------------------------------------------------------------ */

int pod_folder_lock(const char *folder, int *fd, struct error *why)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/%s", folder, SUPERVISOR_LOCK);
    CLEANUP(fd_close) int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (lock < 0)
        return error_errno(why, "open %s", path);
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return error_set(why, ERROR_UNAVAILABLE,
                             "%s is held: its supervisor lives", path);
        return error_errno(why, "lock %s", path);
    }
    /* No longer the last owner's pid. */
    if (ftruncate(lock, 0) != 0)
        return error_errno(why, "truncate %s", path);
    *fd = fd_take(&lock);
    return 0;
}

pid_t pod_folder_lock_owner(const char *folder)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/%s", folder, SUPERVISOR_LOCK);
    CLEANUP(fd_close) int lock = open(path, O_RDONLY | O_CLOEXEC);
    char text[16] = "";

    if (lock < 0 || read(lock, text, sizeof text - 1) <= 0)
        return 0;
    return (pid_t)strtol(text, NULL, 10);
}

bool pod_folder_locked(const char *folder)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/%s", folder, SUPERVISOR_LOCK);
    CLEANUP(fd_close) int lock = open(path, O_RDWR | O_CLOEXEC);

    return lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0 &&
           errno == EWOULDBLOCK;
}

/* ---- the socket ---------------------------------------------------------- */

/* Unix socket paths end at 108 bytes; a folder's may be longer. So the
 * socket is named through the folder's descriptor. */
static void name_socket(int dir, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path,
             "/proc/self/fd/%d/" SUPERVISOR_SOCKET, dir);
}

static int open_socket(int *fd, struct error *why)
{
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return error_errno(why, "make a socket");
    return 0;
}

int pod_folder_listen(const char *folder, int *fd, struct error *why)
{
    CLEANUP(fd_close) int dir = -1;
    CLEANUP(fd_close) int bound = -1;
    struct sockaddr_un address;

    if (open_folder(folder, &dir, why) != 0 || open_socket(&bound, why) != 0)
        return (int)why->code;
    name_socket(dir, &address);
    if (unlinkat(dir, SUPERVISOR_SOCKET, 0) != 0 && errno != ENOENT)
        return error_errno(why, "remove %s/%s", folder, SUPERVISOR_SOCKET);
    if (bind(bound, (struct sockaddr *)&address, sizeof address) != 0 ||
        fchmodat(dir, SUPERVISOR_SOCKET, 0600, 0) != 0 ||
        listen(bound, BACKLOG) != 0)
        return error_errno(why, "listen on %s/%s", folder, SUPERVISOR_SOCKET);
    *fd = fd_take(&bound);
    return 0;
}

int pod_folder_connect(const char *folder, int *fd, struct error *why)
{
    CLEANUP(fd_close) int dir = -1;
    CLEANUP(fd_close) int connected = -1;
    struct sockaddr_un address;

    if (open_folder(folder, &dir, why) != 0 ||
        open_socket(&connected, why) != 0)
        return (int)why->code;
    name_socket(dir, &address);
    if (connect(connected, (struct sockaddr *)&address, sizeof address) != 0)
        return error_errno(why, "connect to %s/%s", folder, SUPERVISOR_SOCKET);
    *fd = fd_take(&connected);
    return 0;
}
