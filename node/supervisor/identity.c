/* identity.c - passwd(5) and group(5) of an image, read by hand: the C
 * library's own readers would load modules that the image brings along. */
#include "node/supervisor/privileges.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MAX_BYTES = 4 << 20,
    LINE_MAX_BYTES = 8192, /* longer ones are passed over */
    FIELDS_MAX = 7,
    NAME_MAX_BYTES = 256,
};

/* The kernel's own limit: -1 means "no change" to setresuid(2). */
#define ID_MAX (UINT32_MAX - 1)

struct search {
    const char *user;
    const char *group; /* NULL: the user's own */
    bool user_is_number, group_is_number;
    uint32_t user_number, group_number;
    bool user_found, group_found;
    char name[NAME_MAX_BYTES]; /* of the user, when found */
    struct identity *out;
};

typedef void line_cb(struct search *search, char *fields[FIELDS_MAX]);

static bool parse_id(const char *text, uint32_t *id)
{
    uint64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > ID_MAX)
            return false;
    }
    *id = (uint32_t)value;
    return true;
}

static bool is_digits(const char *text)
{
    return text[strspn(text, "0123456789")] == '\0';
}

/* Missing fields are "". */
static void take_line(struct search *search, line_cb *each, char *line)
{
    static char none[] = "";
    char *fields[FIELDS_MAX];

    for (int i = 0; i < FIELDS_MAX; i++) {
        fields[i] = line ? strsep(&line, ":") : NULL;
        if (!fields[i])
            fields[i] = none;
    }
    each(search, fields);
}

static void read_lines(struct search *search, line_cb *each, int fd)
{
    char line[LINE_MAX_BYTES];
    char bytes[1024];
    size_t length = 0;
    size_t total = 0;
    ssize_t got;

    while (total < FILE_MAX_BYTES &&
           (got = read(fd, bytes, sizeof bytes)) > 0) {
        total += (size_t)got;
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] != '\n') {
                if (length < sizeof line)
                    line[length++] = bytes[i];
                continue;
            }
            if (length < sizeof line) {
                line[length] = '\0';
                take_line(search, each, line);
            }
            length = 0;
        }
    }
    if (length > 0 && length < sizeof line) {
        line[length] = '\0';
        take_line(search, each, line);
    }
}

/* A file that is not there or is none has no lines. */
static void read_file(struct search *search, line_cb *each, const char *path)
{
    CLEANUP(fd_close)
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat info;

    if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        read_lines(search, each, fd);
}

/* name:password:UID:GID:gecos:home:shell */
static void take_user(struct search *search, char *fields[FIELDS_MAX])
{
    uint32_t uid, gid;

    if (search->user_found || !parse_id(fields[2], &uid) ||
        !parse_id(fields[3], &gid))
        return;
    if (search->user_is_number ? uid != search->user_number
                               : strcmp(fields[0], search->user) != 0)
        return;
    search->user_found = true;
    search->out->uid = uid;
    search->out->gid = gid;
    snprintf(search->name, sizeof search->name, "%s", fields[0]);
    if (fields[5][0])
        snprintf(search->out->home, sizeof search->out->home, "%s", fields[5]);
}

static bool is_member(const char *members, const char *name)
{
    size_t length = strlen(name);

    while (*members) {
        size_t part = strcspn(members, ",");

        if (part == length && strncmp(members, name, length) == 0)
            return true;
        members += part + (members[part] == ',');
    }
    return false;
}

/* name:password:GID:members */
static void take_group(struct search *search, char *fields[FIELDS_MAX])
{
    struct identity *out = search->out;
    uint32_t gid;

    if (!parse_id(fields[2], &gid))
        return;
    if (search->group && !search->group_found &&
        (search->group_is_number ? gid == search->group_number
                                 : strcmp(fields[0], search->group) == 0)) {
        search->group_found = true;
        out->gid = gid;
    }
    if (!search->group && search->user_found &&
        out->group_count < PRIVILEGES_GROUPS_MAX &&
        is_member(fields[3], search->name))
        out->groups[out->group_count++] = gid;
}

static int conclude(struct search *search, struct error *why)
{
    if (!search->user_found && !search->user_is_number)
        return error_set(why, ERROR_NOT_FOUND,
                         "user %s: not in the image's /etc/passwd",
                         search->user);
    if (search->group && !search->group_found && !search->group_is_number)
        return error_set(why, ERROR_NOT_FOUND,
                         "group %s: not in the image's /etc/group",
                         search->group);
    if (!search->user_found)
        search->out->uid = search->user_number;
    if (search->group && !search->group_found)
        search->out->gid = search->group_number;
    return 0;
}

int identity_resolve(const char *user, struct identity *out, struct error *why)
{
    char copy[2 * NAME_MAX_BYTES];
    char *group = copy;
    struct search search = {.out = out};

    if (strlen(user) >= sizeof copy)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "user %.64s...: longer than a name can be", user);
    memcpy(copy, user, strlen(user) + 1);
    *out = (struct identity){.home = "/"};
    search.user = strsep(&group, ":");
    search.group = group && *group ? group : NULL;
    if (!*search.user)
        search.user = "0";
    search.user_is_number = parse_id(search.user, &search.user_number);
    search.group_is_number =
        search.group && parse_id(search.group, &search.group_number);
    /* What is written as a number never means a name, whatever passwd(5)
     * of the image says (CVE-2026-30892). */
    if ((!search.user_is_number && is_digits(search.user)) ||
        (search.group && !search.group_is_number && is_digits(search.group)))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "user %s: a number is too large", user);
    read_file(&search, take_user, "/etc/passwd");
    read_file(&search, take_group, "/etc/group");
    return conclude(&search, why);
}
