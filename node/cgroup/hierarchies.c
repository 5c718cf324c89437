/* hierarchies.c - find what is mounted where. */
/* hierarchies.c - find what is mounted where. */
#include "node/cgroup/backend.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A line of mountinfo is two paths and some words. */
enum { LINE_MAX_BYTES = 4096 };

static const char *const controllers[CGROUP_CONTROLLERS] = {
    [CGROUP_CPU] = "cpu",         [CGROUP_MEMORY] = "memory",
    [CGROUP_PIDS] = "pids",       [CGROUP_FREEZER] = "freezer",
    [CGROUP_CPUACCT] = "cpuacct", [CGROUP_IO] = "blkio",
    [CGROUP_DEVICES] = "devices",
};

/* Is `word` one of `text`, whose words are divided by any of `dividers`? */
static bool has_word(const char *text, const char *word, const char *dividers)
{
    size_t length = strlen(word);

    for (text += strspn(text, dividers); *text;
         text += strspn(text, dividers)) {
        size_t part = strcspn(text, dividers);

        if (part == length && strncmp(text, word, length) == 0)
            return true;
        text += part;
    }
    return false;
}

static void keep(char root[CGROUP_ROOT_MAX], const char *path)
{
    if (root[0] == '\0' && strlen(path) < CGROUP_ROOT_MAX)
        memcpy(root, path, strlen(path) + 1);
}

static bool v2_offers(const char *path, const char *controller)
{
    char offered[CGROUP_VALUE_MAX];

    return cgroup_file_read(path, ".", "cgroup.controllers", offered,
                            sizeof offered) &&
           has_word(offered, controller, " \n");
}

/* A unified hierarchy counts when it has what pods are limited by: systems
 * that are half v1 mount one without. */
static bool v2_usable(const char *path)
{
    return v2_offers(path, "cpu") && v2_offers(path, "memory") &&
           v2_offers(path, "pids");
}

/* proc_pid_mountinfo(5): id parent major:minor root MOUNT-POINT options
 * optional... - TYPE source SUPER-OPTIONS */
static void take_line(struct cgroup_mounts *found, char *unified, char *line)
{
    char *after = strstr(line, " - ");
    char *path = line;
    char *type;
    const char *options;

    if (!after)
        return;
    *after = '\0';
    after += 3;
    for (int field = 0; field < 4 && path; field++) {
        path = strchr(path, ' ');
        path = path ? path + 1 : NULL;
    }
    type = strsep(&after, " ");
    strsep(&after, " ");
    options = after;
    if (!path || !options)
        return;
    path[strcspn(path, " ")] = '\0';
    if (strcmp(type, "cgroup2") == 0 && v2_usable(path))
        keep(unified, path);
    if (strcmp(type, "cgroup") != 0)
        return;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        if (has_word(options, controllers[i], ",\n"))
            keep(found->roots[i], path);
}

/* Call take_line() for each line; one that is too long is passed over. */
static int read_lines(struct cgroup_mounts *found, char *unified, int fd,
                      struct error *why)
{
    char line[LINE_MAX_BYTES];
    size_t length = 0;
    bool skip = false;
    char bytes[1024];
    ssize_t got;

    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] != '\n') {
                skip = skip || length == sizeof line - 1;
                if (!skip)
                    line[length++] = bytes[i];
                continue;
            }
            line[length] = '\0';
            if (!skip)
                take_line(found, unified, line);
            length = 0;
            skip = false;
        }
    return got < 0 ? error_errno(why, "read the list of mounts") : 0;
}

int cgroup_mounts_find(struct cgroup_mounts *out, const char *mountinfo,
                       struct error *why)
{
    CLEANUP(fd_close) int fd = open(mountinfo, O_RDONLY | O_CLOEXEC);
    struct cgroup_mounts found = {.backend = &cgroup_v1};
    char unified[CGROUP_ROOT_MAX] = "";

    if (fd < 0)
        return error_errno(why, "open %s", mountinfo);
    if (read_lines(&found, unified, fd, why) != 0)
        return (int)why->code;
    if (unified[0]) {
        found.backend = &cgroup_v2;
        for (int i = 0; i < CGROUP_CONTROLLERS; i++)
            memcpy(found.roots[i], unified, sizeof unified);
        if (!v2_offers(unified, "io"))
            found.roots[CGROUP_IO][0] = '\0';
    }
    *out = found;
    return 0;
}
