#include "node/image/archive.h"

#include "base/fd.h"
#include "node/image/docker_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNPACKED "archive" /* in the work folder */
#define CONVERTED "layout"

/* Until the unpacker takes more, or has something to say. */
static void wait_for_it(struct unpacker *unpacker)
{
    struct pollfd wait[UNPACKER_REPORTS + 1];
    int reports[UNPACKER_REPORTS];
    size_t count = unpacker_report_fds(unpacker, reports);

    for (size_t i = 0; i < count; i++)
        wait[i] = (struct pollfd){reports[i], POLLIN, 0};
    wait[count] = (struct pollfd){ring_wait_fd(&unpacker->input), POLLIN, 0};
    poll(wait, count + 1, -1);
    unpacker_on_report(unpacker);
}

static int feed(struct unpacker *unpacker, int fd, struct error *why)
{
    ssize_t got = 1;

    while (got != 0 && !unpacker_gave_up(unpacker)) {
        uint8_t *at;
        size_t room = ring_room(&unpacker->input, &at);

        if (room == 0) {
            wait_for_it(unpacker);
            continue;
        }
        got = read(fd, at, room);
        if (got > 0)
            ring_fill(&unpacker->input, (size_t)got);
        else if (got < 0 && errno != EINTR)
            return error_errno(why, "read");
    }
    unpacker_finish_input(unpacker);
    while (!unpacker_ended(unpacker) && !unpacker_gave_up(unpacker))
        wait_for_it(unpacker);
    return 0;
}

static int unpack(int fd, const struct unpack_site *site, struct error *why)
{
    CLEANUP(unpacker_fini) struct unpacker unpacker;
    struct digest unused;

    unpacker_init(&unpacker);
    if (unpacker_start(&unpacker, site, UNPACKED, why) != 0 ||
        feed(&unpacker, fd, why) != 0)
        return (int)why->code;
    return unpacker_result(&unpacker, &unused, why);
}

/* A folder of our own: nothing in it is what the archive says. */
static int convert(const struct reference *reference, int work,
                   struct error *why)
{
    CLEANUP(fd_close)
    int from = openat(work, UNPACKED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(fd_close) int to = -1;

    if (from < 0 || mkdirat(work, CONVERTED, 0700) != 0)
        return error_errno(why, "make a layout");
    to = openat(work, CONVERTED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0)
        return error_errno(why, "make a layout");
    return docker_archive_convert(reference, from, to, why);
}

int archive_open(struct layout *layout, const struct reference *reference,
                 int fd, const struct unpack_site *site, struct error *why)
{
    bool docker = reference->kind == REFERENCE_DOCKER_ARCHIVE;

    if (unpack(fd, site, why) != 0 ||
        (docker && convert(reference, site->work, why) != 0))
        return error_wrap(why, "archive %s", reference->path);
    return layout_open(layout, site->work, docker ? CONVERTED : UNPACKED, why);
}

const char *archive_tag(const struct reference *reference)
{
    /* The layout made of docker's archive has one image and no tag. */
    return reference->kind == REFERENCE_DOCKER_ARCHIVE ? "" : reference->tag;
}
