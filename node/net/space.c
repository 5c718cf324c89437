/* space.c - the pods' network namespaces.
 *
 * One is made by a thread of its own, so that no other thread ever stands in a
 * foreign one, whatever fails. It takes the kernel as long as all the rest of a
 * pod's network, so while a pod starts, the next one's is made: the spare. It
 * has no name and no process, only our descriptors: it cannot be left behind.
 */
#include "node/net/parts.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

enum { LOOPBACK_INDEX = 1 }; /* in every network namespace */

pthread_mutex_t net_interfaces_turn = PTHREAD_MUTEX_INITIALIZER;

static const struct net_space none = {.fd = -1};

/* What a pod may do without CAP_NET_RAW and CAP_NET_BIND_SERVICE: ping, and
 * serve port 80 as any user; its interface has no IPv6 address. */
static void set_sysctls(void)
{
    struct error ignored; /* a kernel may lack some; none is vital */

    net_sysctl("ipv6/conf/default/disable_ipv6", "1", &ignored);
    net_sysctl("ipv6/conf/default/accept_ra", "0", &ignored);
    net_sysctl("ipv4/ping_group_range", "0 2147483647", &ignored);
    net_sysctl("ipv4/ip_unprivileged_port_start", "0", &ignored);
}

struct making {
    int given; /* 0: to be made */
    struct net_space space;
    struct error why;
};

static void *make(void *data)
{
    struct making *making = data;
    struct net_space *space = &making->space;
    int code;

    if ((making->given > 0 ? setns(making->given, CLONE_NEWNET)
                           : unshare(CLONE_NEWNET)) != 0) {
        error_errno(&making->why, "make a network namespace");
        return NULL;
    }
    space->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (space->fd < 0) {
        error_errno(&making->why, "open the new network namespace");
        return NULL;
    }
    if (netlink_open(&space->socket, &making->why) != 0)
        return NULL;
    pthread_mutex_lock(&net_interfaces_turn);
    set_sysctls();
    code = netlink_bring_up(space->socket, LOOPBACK_INDEX);
    pthread_mutex_unlock(&net_interfaces_turn);
    if (code < 0)
        netlink_error(&making->why, code, "bring the pod's loopback up");
    return NULL;
}

static int open_space(struct net_space *out, int given, struct error *why)
{
    struct making making = {.given = given, .space = none};
    pthread_t thread;

    errno = pthread_create(&thread, NULL, make, &making);
    if (errno != 0)
        return error_errno(why, "start a thread");
    pthread_join(thread, NULL);
    if (making.why.code) {
        net_space_close(&making.space);
        *why = making.why;
        return (int)why->code;
    }
    *out = making.space;
    return 0;
}

static struct net_space take_spare(struct net *net)
{
    struct net_space spare;

    pthread_mutex_lock(&net->lock);
    spare = net->spare;
    net->spare = none;
    pthread_mutex_unlock(&net->lock);
    return spare;
}

void net_prepare(struct net *net)
{
    struct net_space made = none;
    struct error ignored; /* who needs one makes it */
    bool wanted;

    pthread_mutex_lock(&net->lock);
    wanted = net->spare.fd < 0 && !net->preparing;
    net->preparing |= wanted;
    pthread_mutex_unlock(&net->lock);
    if (!wanted)
        return;
    open_space(&made, 0, &ignored);
    pthread_mutex_lock(&net->lock);
    net->spare = made;
    net->preparing = false;
    pthread_mutex_unlock(&net->lock);
}

void net_space_init(struct net *net)
{
    pthread_mutex_init(&net->lock, NULL);
    net->spare = none;
}

int net_space_open(struct net *net, int given, struct net_space *out,
                   struct error *why)
{
    struct net_space space = given ? none : take_spare(net);

    if (space.fd < 0 && open_space(&space, given, why) != 0)
        return (int)why->code;
    *out = space;
    return 0;
}

void net_space_close(struct net_space *space)
{
    fd_reset(&space->fd);
    nl_socket_free(space->socket);
    space->socket = NULL;
}
