/* control_file.c - a group's files: each a value or a short list. */
#include "node/cgroup/backend.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_file(const char *root, const char *path, const char *file,
                     int flags)
{
    char name[CGROUP_FILE_PATH_MAX];
    int length = snprintf(name, sizeof name, "%s/%s/%s", root, path, file);

    if (length < 0 || (size_t)length >= sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(name, flags | O_CLOEXEC);
}

int cgroup_file_write(const char *root, const char *path, const char *file,
                      const char *value, struct error *why)
{
    CLEANUP(fd_close) int fd = open_file(root, path, file, O_WRONLY);

    if (fd < 0)
        return error_errno(why, "open %s/%s/%s", root, path, file);
    /* One write is one setting: the kernel never takes a part of it. */
    if (write(fd, value, strlen(value)) < 0)
        return error_errno(why, "write \"%s\" to %s/%s/%s", value, root, path,
                           file);
    return 0;
}

bool cgroup_file_read(const char *root, const char *path, const char *file,
                      char *out, size_t size)
{
    CLEANUP(fd_close) int fd = open_file(root, path, file, O_RDONLY);
    ssize_t got = fd < 0 ? -1 : read(fd, out, size - 1);

    if (got < 0)
        return false;
    out[got] = '\0';
    return true;
}

bool cgroup_file_exists(const char *root, const char *path, const char *file)
{
    CLEANUP(fd_close) int fd = open_file(root, path, file, O_PATH);

    return fd >= 0;
}

void cgroup_file_lift(const char *root, const char *path, const char *file,
                      const char *none)
{
    char text[CGROUP_TABLE_MAX];
    char value[CGROUP_VALUE_MAX];
    char *rest = text;
    char *line;
    struct error ignored; /* the device is gone */

    if (!cgroup_file_read(root, path, file, text, sizeof text))
        return;
    while ((line = strsep(&rest, "\n"))) {
        int length = (int)strcspn(line, " ");

        snprintf(value, sizeof value, "%.*s %s", length, line, none);
        if (length > 0)
            cgroup_file_write(root, path, file, value, &ignored);
    }
}

uint64_t cgroup_file_number(const char *root, const char *path,
                            const char *file, const char *key)
{
    char text[CGROUP_TABLE_MAX];
    size_t length = strlen(key);
    char *rest = text;
    char *line;

    if (!cgroup_file_read(root, path, file, text, sizeof text))
        return 0;
    while ((line = strsep(&rest, "\n")))
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length + 1, NULL, 10);
    return 0;
}

uint64_t cgroup_file_whole_number(const char *root, const char *path,
                                  const char *file)
{
    char text[CGROUP_VALUE_MAX];

    return cgroup_file_read(root, path, file, text, sizeof text)
               ? strtoull(text, NULL, 10)
               : 0;
}

uint64_t cgroup_working_set(const char *root, const char *path,
                            const char *total, const char *unused)
{
    uint64_t used = cgroup_file_whole_number(root, path, total);
    uint64_t idle = cgroup_file_number(root, path, "memory.stat", unused);

    return used > idle ? used - idle : 0;
}

int cgroup_processes(const char *root, const char *path,
                     void (*each)(void *data, pid_t pid), void *data,
                     struct error *why)
{
    CLEANUP(fd_close)
    int fd = open_file(root, path, "cgroup.procs", O_RDONLY);
    char bytes[1024];
    pid_t pid = 0;
    ssize_t got;

    if (fd < 0)
        return errno == ENOENT
                   ? 0
                   : error_errno(why, "open %s/%s/cgroup.procs", root, path);
    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] >= '0' && bytes[i] <= '9') {
                pid = pid * 10 + (bytes[i] - '0');
                continue;
            }
            /* 0 is a process of a foreign pid namespace; kill(0) would hit
             * the caller's own process group. */
            if (pid > 0)
                each(data, pid);
            pid = 0;
        }
    /* ENODEV: the group was removed meanwhile. */
    if (got < 0 && errno != ENODEV)
        return error_errno(why, "read %s/%s/cgroup.procs", root, path);
    return 0;
}
