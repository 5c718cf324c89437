#include "node/pod/id_range.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RANGES = ID_RANGE_END - ID_RANGE_FIRST, PATH_BYTES = 48 };

static bool is_taken(const struct id_ranges *ranges, uint32_t at)
{
    return ranges->taken[at / 64] >> (at % 64) & 1;
}

int id_ranges_claim(struct id_ranges *ranges, struct in_addr address,
                    uint32_t *first_id, struct error *why)
{
    uint32_t start = ntohl(address.s_addr) % RANGES;

    for (uint32_t i = 0; i < RANGES; i++) {
        uint32_t at = ID_RANGE_FIRST + (start + i) % RANGES;

        if (is_taken(ranges, at))
            continue;
        ranges->taken[at / 64] |= UINT64_C(1) << (at % 64);
        *first_id = at * SUPERVISOR_IDS;
        return 0;
    }
    return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                     "all %d ranges of user ids are taken", RANGES);
}

int id_ranges_adopt(struct id_ranges *ranges, uint32_t first_id,
                    struct error *why)
{
    uint32_t at = first_id / SUPERVISOR_IDS;

    if (first_id % SUPERVISOR_IDS || at < ID_RANGE_FIRST || at >= ID_RANGE_END)
        return error_set(why, ERROR_OUT_OF_RANGE,
                         "user ids from %u are no pod's range", first_id);
    if (is_taken(ranges, at))
        return error_set(why, ERROR_ALREADY_EXISTS,
                         "user ids from %u are another pod's", first_id);
    ranges->taken[at / 64] |= UINT64_C(1) << (at % 64);
    return 0;
}

void id_ranges_release(struct id_ranges *ranges, uint32_t first_id)
{
    uint32_t at = first_id / SUPERVISOR_IDS;

    ranges->taken[at / 64] &= ~(UINT64_C(1) << (at % 64));
}

/* ---- the namespaces -------------------------------------------------------
 */

/* In the fork: system calls only. It ends when it is killed, or when nobody
 * holds the other end of `pipe`. It has nothing else of ours. */
static _Noreturn void hold(const int pipe[2])
{
    char byte;

    if (dup2(pipe[0], 0) == 0 && close_range(1, ~0u, 0) == 0)
        while (read(0, &byte, 1) != 0)
            continue;
    _exit(0);
}

/* One write is the whole map: user_namespaces(7). */
static int write_map(pid_t holder, const char *name, uint32_t first_id,
                     struct error *why)
{
    CLEANUP(fd_close) int fd = -1;
    char path[PATH_BYTES];
    char map[PATH_BYTES];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)holder, name);
    snprintf(map, sizeof map, "0 %u %d", first_id, SUPERVISOR_IDS);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, map, strlen(map)) != (ssize_t)strlen(map))
        return error_errno(why, "write \"%s\" to the %s of a user namespace",
                           map, name);
    return 0;
}

static int set_up(pid_t holder, uint32_t first_id, int *netns,
                  struct error *why)
{
    char path[PATH_BYTES];
    int fd;

    if (write_map(holder, "uid_map", first_id, why) != 0 ||
        write_map(holder, "gid_map", first_id, why) != 0)
        return (int)why->code;
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)holder);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(why, "open the new network namespace");
    *netns = fd;
    return 0;
}

/* Who makes a network namespace in a user namespace must stand in it, and a
 * thread cannot go there alone. */
int id_range_open(uint32_t first_id, int *netns, struct error *why)
{
    struct clone_args arguments = {.flags = CLONE_NEWUSER | CLONE_NEWNET,
                                   .exit_signal = SIGCHLD};
    int pipe[2];
    pid_t holder;

    if (pipe2(pipe, O_CLOEXEC) != 0)
        return error_errno(why, "make a pipe");
    holder = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (holder == 0)
        hold(pipe);
    if (holder < 0) {
        error_errno(why, "make a user namespace");
    } else {
        error_clear(why);
        set_up(holder, first_id, netns, why);
        kill(holder, SIGKILL);
        waitpid(holder, NULL, 0);
    }
    fd_reset(&pipe[0]);
    fd_reset(&pipe[1]);
    return (int)why->code;
}
