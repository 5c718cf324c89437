#include "node/home.h"

#include "base/fd.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_FILE "names"
#define LOCK_FILE "knode.lock"

enum { NAMES_MAX_BYTES = 1024 };

static int take_lock(struct home *home, const char *path, struct error *why)
{
    home->lock =
        openat(home->folder, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (home->lock < 0)
        return error_errno(why, "open %s/%s", path, LOCK_FILE);
    if (flock(home->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s: another knode works in this folder", path);
    return error_errno(why, "lock %s/%s", path, LOCK_FILE);
}

int home_open(struct home *home, const char *path, struct error *why)
{
    *home = (struct home){.folder = -1, .lock = -1};
    error_clear(why);
    if (geteuid() != 0)
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "must run as root: a node makes namespaces, control "
                         "groups, mounts and network interfaces");
    if (folder_make(path, 0700, why) != 0)
        return (int)why->code;
    home->path = realpath(path, NULL);
    if (home->path)
        home->folder = open(home->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (home->folder < 0) {
        error_errno(why, "open folder %s", path);
        home_close(home);
        return (int)why->code;
    }
    home->pods = memory_format("%s/pods", home->path);
    home->images = memory_format("%s/images", home->path);
    if (take_lock(home, path, why) != 0)
        home_close(home);
    return (int)why->code;
}

void home_close(struct home *home)
{
    fd_reset(&home->folder);
    fd_reset(&home->lock);
    free(home->path);
    free(home->pods);
    free(home->images);
    *home = (struct home){.folder = -1, .lock = -1};
}

static int write_names(const struct home *home, const struct home_names *names,
                       struct error *why)
{
    CLEANUP(free_pointer)
    char *text = memory_format("cgroup %s\nbridge %s\ntable %s\n",
                               names->cgroup, names->bridge, names->table);

    return file_replace(home->folder, NAMES_FILE, text, strlen(text), 0600,
                        why);
}

int home_read_names(const struct home *home, struct home_names *names,
                    struct error *why)
{
    struct home_names found;
    struct buffer content;
    char text[NAMES_MAX_BYTES + 1];

    buffer_init(&content, NAMES_MAX_BYTES);
    error_clear(why);
    if (file_read(home->folder, NAMES_FILE, &content, why) == 0) {
        memcpy(text, buffer_data(&content), buffer_length(&content));
        text[buffer_length(&content)] = '\0';
        if (sscanf(text, "cgroup %255s bridge %255s table %255s", found.cgroup,
                   found.bridge, found.table) != 3)
            error_set(why, ERROR_DATA_LOSS, "%s/%s: not what knode wrote",
                      home->path, NAMES_FILE);
        else
            *names = found;
    }
    buffer_fini(&content);
    return (int)why->code;
}

static int same_name(const char *what, const char *before, const char *now,
                     struct error *why)
{
    if (strcmp(before, now) == 0)
        return 0;
    return error_set(why, ERROR_FAILED_PRECONDITION,
                     "this node has --%s %s, not %s: give it that, or `knode "
                     "remove` it first",
                     what, before, now);
}

int home_keep_names(const struct home *home, const struct home_names *names,
                    struct error *why)
{
    struct home_names before;

    if (home_read_names(home, &before, why) == ERROR_NOT_FOUND)
        return write_names(home, names, why);
    if (why->code != ERROR_OK ||
        same_name("cgroup", before.cgroup, names->cgroup, why) != 0 ||
        same_name("bridge", before.bridge, names->bridge, why) != 0)
        return (int)why->code;
    return same_name("table", before.table, names->table, why);
}

int home_remove(struct home *home, struct error *why)
{
    /* NAME.new is what a replacement that was cut off leaves. */
    static const char *const entries[] = {
        "pods",     "images",  "registered.pb", "registered.pb.new", "term",
        "term.new", LOCK_FILE, "names.new",     NAMES_FILE,
    };

    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        if (folder_remove(home->folder, entries[i], why) != 0)
            return error_wrap(why, "in %s", home->path);
    if (rmdir(home->path) != 0 && errno != ENOTEMPTY && errno != EBUSY)
        return error_errno(why, "remove folder %s", home->path);
    return 0;
}
