#include "net_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

const struct net_config net_world_config = {"kontor0", "10.42.2.0/24",
                                            "kontor"};

/* Every test stands in a fresh network namespace, which goes with it. */
int net_world_make(void **state)
{
    (void)state;
    return unshare(CLONE_NEWNET);
}

/* Run a shell command in this namespace; its first line of output. */
char *shell(const char *command)
{
    static char line[512];
    FILE *pipe = popen(command, "re");

    assert_non_null(pipe);
    line[0] = '\0';
    if (fgets(line, sizeof line, pipe))
        line[strcspn(line, "\n")] = '\0';
    while (fgetc(pipe) != EOF)
        continue;
    pclose(pipe);
    return line;
}

void enter_netns(int netns)
{
    if (setns(netns, CLONE_NEWNET) != 0)
        _exit(99);
}

/* A socket in the namespace `netns`, or here for -1. */
int socket_in(int netns, int type)
{
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;

    if (netns >= 0)
        enter_netns(netns);
    fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    enter_netns(home);
    close(home);
    assert_true(fd >= 0);
    return fd;
}

struct sockaddr_in socket_address(const char *address, int port)
{
    struct sockaddr_in out = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port)};

    assert_int_equal(inet_pton(AF_INET, address, &out.sin_addr), 1);
    return out;
}

int listen_in(int netns)
{
    struct sockaddr_in any = socket_address("0.0.0.0", NET_WORLD_PORT);
    int fd = socket_in(netns, SOCK_STREAM);
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* Connect from one namespace to another; both ends, and who it came from. */
void join_tcp(int from, int listener, const char *address, int ends[2],
              char *peer)
{
    struct sockaddr_in target = socket_address(address, NET_WORLD_PORT);
    struct sockaddr_in came;
    socklen_t length = sizeof came;
    struct timeval limit = {.tv_sec = 3};

    ends[0] = socket_in(from, SOCK_STREAM);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(ends[0], (struct sockaddr *)&target, sizeof target) != 0)
        fail_msg("connect to %s: %s", address, strerror(errno));
    ends[1] = accept(listener, (struct sockaddr *)&came, &length);
    assert_true(ends[1] >= 0);
    if (peer)
        inet_ntop(AF_INET, &came.sin_addr, peer, INET_ADDRSTRLEN);
}

int start_pod(struct net *net, uint64_t id, uint64_t bits,
              char address[INET_ADDRSTRLEN])
{
    struct net_pod pod = {.pod_id = id, .net_bits = bits};
    struct error why;
    int fd = -1;

    must(net_claim(net, id, &pod.address, &why));
    must(net_attach(net, &pod, &fd, &why));
    inet_ntop(AF_INET, &pod.address, address, INET_ADDRSTRLEN);
    return fd;
}

void remove_net(struct net *net)
{
    struct error why;

    must(net_remove(net_world_config.bridge, net_world_config.table, &why));
    net_free(net);
}

void await_interface_gone(const char *name)
{
    for (int ms = 0; if_nametoindex(name) != 0; ms += 5) {
        assert_true(ms < NET_WORLD_AWAIT_MS);
        usleep(5000);
    }
}
