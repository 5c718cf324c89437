#include "node/supervisor/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAPABILITY_MAX = 63 }; /* what capset(2) has room for */

/* https://docs.docker.com/engine/security/#linux-kernel-capabilities */
static const uint64_t kept =
    1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FSETID |
    1ull << CAP_FOWNER | 1ull << CAP_SETGID | 1ull << CAP_SETUID |
    1ull << CAP_SETFCAP | 1ull << CAP_SETPCAP | 1ull << CAP_NET_BIND_SERVICE |
    1ull << CAP_SYS_CHROOT | 1ull << CAP_KILL | 1ull << CAP_AUDIT_WRITE;

/* The kernel may know capabilities that this program does not: all numbers
 * are tried until it says that there are no more. */
static int bound(uint64_t capabilities, struct error *why)
{
    for (int i = 0; i <= CAPABILITY_MAX; i++) {
        if (capabilities >> i & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            return 0;
        return error_errno(why, "drop capability %d", i);
    }
    return 0;
}

static int set(uint64_t capabilities, struct error *why)
{
    struct __user_cap_header_struct header = {.version =
                                                  _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    for (int i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(capabilities >> (32 * i));
        data[i].permitted = data[i].effective;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return error_errno(why, "clear the ambient capabilities");
    if (syscall(SYS_capset, &header, data) != 0)
        return error_errno(why, "set the capabilities");
    return 0;
}

int privileges_raise(struct error *why)
{
    struct __user_cap_header_struct header = {.version =
                                                  _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) != 0)
        return error_errno(why, "get the capabilities");
    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted;
    if (syscall(SYS_capset, &header, data) != 0)
        return error_errno(why, "raise the capabilities");
    return 0;
}

static int forbid_new(struct error *why)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return error_errno(why, "set no_new_privs");
    return 0;
}

uint64_t privileges_of(uint64_t add, uint64_t drop)
{
    return (kept & ~drop) | add;
}

int privileges_take(const struct identity *identity, uint64_t capabilities,
                    struct error *why)
{
    if (bound(capabilities, why) != 0)
        return (int)why->code;
    if (setgroups(identity->group_count, identity->groups) != 0)
        return error_errno(why, "set the groups");
    if (setresgid(identity->gid, identity->gid, identity->gid) != 0)
        return error_errno(why, "become group %u", identity->gid);
    if (setresuid(identity->uid, identity->uid, identity->uid) != 0)
        return error_errno(why, "become user %u", identity->uid);
    if (set(identity->uid == 0 ? capabilities : 0, why) != 0)
        return (int)why->code;
    return forbid_new(why);
}

int privileges_drop_all(struct error *why)
{
    if (bound(0, why) != 0 || set(0, why) != 0)
        return (int)why->code;
    return forbid_new(why);
}
