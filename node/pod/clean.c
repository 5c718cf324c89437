#include "node/pod/clean.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/cgroup/cgroup.h"
#include "node/disk/disk.h"
#include "node/pod/folder.h"
#include "node/supervisor/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Killed processes need a moment to be gone, and cgroup v1 tells nobody when
 * they are; only what a dead kpod left behind ever waits here. */
enum { GONE_TRIES = 8, GONE_FIRST_NS = 1000000 }; /* 1 ms doubling: 255 ms */

static int clean_cgroup(const char *cgroup, struct error *why)
{
    struct timespec pause = {.tv_nsec = GONE_FIRST_NS};

    for (int i = 0;; i++) {
        if (cgroup_kill(cgroup, why) != 0)
            return (int)why->code;
        if (cgroup_remove(cgroup, why) == 0)
            return 0;
        if (why->code != ERROR_FAILED_PRECONDITION || i == GONE_TRIES)
            return (int)why->code;
        nanosleep(&pause, NULL);
        pause.tv_nsec *= 2;
    }
}

/* May `name` be removed at this extent, before the orders? */
static bool goes(const char *name, enum pod_clean_extent extent)
{
    static const char *const layer[] = {
        "upper",           "work",      "root",
        SUPERVISOR_SOCKET, DISK_FOLDER, DISK_IMAGE,
        SUPERVISOR_BUNDLE,
    };
    static const char *const orders[] = {POD_FOLDER_ORDER, POD_FOLDER_NEXT,
                                         POD_FOLDER_DELETE};

    for (size_t i = 0; i < ARRAY_LEN(layer); i++)
        if (strcmp(name, layer[i]) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(orders); i++)
        if (strcmp(name, orders[i]) == 0)
            return false;
    return extent >= POD_CLEAN_HISTORY && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static void close_dir(DIR **stream)
{
    if (*stream)
        closedir(*stream);
}

static int clean_entries(int dir, enum pod_clean_extent extent,
                         struct error *why)
{
    int listed = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_dir) DIR *stream = listed < 0 ? NULL : fdopendir(listed);
    struct dirent *entry;

    if (!stream)
        return error_errno(why, "list");
    while ((entry = readdir(stream)))
        if (goes(entry->d_name, extent) &&
            folder_remove(dir, entry->d_name, why) != 0)
            return (int)why->code;
    return 0;
}

/* delete.pb goes last: as long as it is there, or no order is, a pod found
 * in this folder is one to be removed. */
static int remove_rest(int dir, const char *folder, struct error *why)
{
    if (folder_remove(dir, POD_FOLDER_NEXT, why) != 0 ||
        folder_remove(dir, POD_FOLDER_ORDER, why) != 0 ||
        folder_remove(dir, POD_FOLDER_DELETE, why) != 0)
        return (int)why->code;
    if (rmdir(folder) != 0 && errno != ENOENT)
        return error_errno(why, "remove folder");
    return 0;
}

static int clean_folder(const struct pod_clean *clean, struct error *why)
{
    CLEANUP(fd_close)
    int dir = open(clean->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0 && errno == ENOENT)
        return 0;
    if (dir < 0)
        return error_errno(why, "open folder %s", clean->folder);
    if (disk_await_unused(dir, why) != 0 ||
        clean_entries(dir, clean->extent, why) != 0)
        return error_wrap(why, "clean %s", clean->folder);
    if (clean->extent == POD_CLEAN_HISTORY &&
        pod_folder_promote(clean->folder, why) != 0)
        return (int)why->code;
    if (clean->extent == POD_CLEAN_ALL &&
        remove_rest(dir, clean->folder, why) != 0)
        return error_wrap(why, "clean %s", clean->folder);
    return 0;
}

void pod_clean_run(struct pod_clean *clean)
{
    error_clear(&clean->why);
    if (clean_cgroup(clean->cgroup, &clean->why) != 0)
        return;
    if (clean->extent >= POD_CLEAN_LAYER && clean->net)
        net_detach(clean->net, clean->pod_id, clean->address);
    if (clean->extent >= POD_CLEAN_LAYER)
        clean_folder(clean, &clean->why);
}
