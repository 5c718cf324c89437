/* test_net_tunnel.c - nodes with a router between them: their pods reach each
 * other through a tunnel, with room for its headers. As root. */
#include "net_world.h"

#include "base/fd.h"
#include "node/net/tunnel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MUCH_BYTES = 1 << 20 };

static const struct net_config far_config = {"kontor0", "10.42.3.0/24",
                                             "kontor"};
static const struct net_route to_far = {"10.42.3.0/24", "198.51.100.1"};
static const struct net_route to_near = {"10.42.2.0/24", "192.0.2.1"};

/* This namespace is the node 192.0.2.1, `far` the node 198.51.100.1. */
struct nodes {
    int home;
    int far;
    int router;
    struct net *near_net;
    struct net *far_net;
};

static int new_netns(int home)
{
    int made;

    assert_int_equal(unshare(CLONE_NEWNET), 0);
    made = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    enter_netns(home);
    return made;
}

static void run_in(const struct nodes *nodes, int netns, const char *command)
{
    enter_netns(netns);
    assert_string_equal(shell(command), "");
    enter_netns(nodes->home);
}

static void link_to_router(const struct nodes *nodes, int netns,
                           const char *node, const char *gateway)
{
    char command[512];

    snprintf(command, sizeof command,
             "exec 2>&1; ip link add up0 type veth peer name r%d netns "
             "/proc/%d/fd/%d; ip addr add %s/24 dev up0; ip link set up0 up; "
             "ip route add default via %s",
             netns, getpid(), nodes->router, node, gateway);
    run_in(nodes, netns, command);
    snprintf(command, sizeof command,
             "exec 2>&1; ip addr add %s/24 dev r%d; ip link set r%d up; echo 1 "
             ">/proc/sys/net/ipv4/ip_forward",
             gateway, netns, netns);
    run_in(nodes, nodes->router, command);
}

static void open_nodes(struct nodes *nodes)
{
    struct error why;

    nodes->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    nodes->far = new_netns(nodes->home);
    nodes->router = new_netns(nodes->home);
    link_to_router(nodes, nodes->home, "192.0.2.1", "192.0.2.254");
    link_to_router(nodes, nodes->far, "198.51.100.1", "198.51.100.254");
    must(net_open(&nodes->near_net, &net_world_config, &why));
    enter_netns(nodes->far);
    must(net_open(&nodes->far_net, &far_config, &why));
    enter_netns(nodes->home);
}

static void set_routes(const struct nodes *nodes)
{
    struct error why;

    must(net_set_routes(nodes->near_net, &to_far, 1, &why));
    enter_netns(nodes->far);
    must(net_set_routes(nodes->far_net, &to_near, 1, &why));
    enter_netns(nodes->home);
}

static void close_nodes(struct nodes *nodes)
{
    remove_net(nodes->near_net);
    assert_string_equal(shell("ip link show type vxlan"), "");
    assert_string_equal(shell("ip route show proto 107"), "");
    assert_string_equal(shell("nft list ruleset"), "");
    net_free(nodes->far_net);
    close(nodes->far);
    close(nodes->router);
    close(nodes->home);
}

static int start_far_pod(const struct nodes *nodes, uint64_t id,
                         char address[INET_ADDRSTRLEN])
{
    int pod;

    enter_netns(nodes->far);
    pod = start_pod(nodes->far_net, id, 0, address);
    enter_netns(nodes->home);
    return pod;
}

/* All of it arrives, though packets as large as the pod's interface takes do
 * not fit the tunnel. */
static void send_much(int from, int to)
{
    static char bytes[65536];
    size_t got = 0;
    pid_t pid = fork();

    if (pid == 0) {
        for (size_t sent = 0; sent < MUCH_BYTES; sent += sizeof bytes)
            if (write(from, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
                _exit(1);
        _exit(0);
    }
    while (got < MUCH_BYTES) {
        struct pollfd ready = {.fd = to, .events = POLLIN};
        ssize_t length;

        assert_int_equal(poll(&ready, 1, NET_WORLD_AWAIT_MS), 1);
        length = read(to, bytes, sizeof bytes);
        assert_true(length > 0);
        got += (size_t)length;
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void exchange(int from, int to, const char *from_address,
                     const char *to_address)
{
    int listener = listen_in(to);
    char peer[INET_ADDRSTRLEN];
    int ends[2];

    join_tcp(from, listener, to_address, ends, peer);
    assert_string_equal(peer, from_address);
    send_much(ends[0], ends[1]);
    send_much(ends[1], ends[0]);
    close(ends[0]);
    close(ends[1]);
    close(listener);
}

static void pods_beyond_a_router_are_reached(void **state)
{
    char near_address[INET_ADDRSTRLEN], far_address[INET_ADDRSTRLEN];
    char new_address[INET_ADDRSTRLEN];
    struct nodes nodes;
    int near, far, newer;

    (void)state;
    open_nodes(&nodes);
    near = start_pod(nodes.near_net, 1, 0, near_address);
    far = start_far_pod(&nodes, 2, far_address);
    set_routes(&nodes);
    assert_non_null(strstr(shell("ip -o link show type vxlan"), "mtu 1450"));
    assert_non_null(strstr(shell("ip link show kp1"), "mtu 1500"));
    exchange(near, far, near_address, far_address);
    exchange(-1, far, "10.42.2.1", far_address);
    newer = start_far_pod(&nodes, 3, new_address);
    run_in(&nodes, nodes.far,
           "ip link show kp3 | grep -q 'mtu 1450' || echo no");
    exchange(near, newer, near_address, new_address);
    /* Known as neighbours are: not under the node's address. */
    exchange(newer, near, new_address, near_address);
    close(near);
    close(far);
    close(newer);
    close_nodes(&nodes);
}

static void a_restart_changes_nothing(void **state)
{
    char near_address[INET_ADDRSTRLEN], far_address[INET_ADDRSTRLEN];
    struct nodes nodes;
    struct error why;
    char before[16];
    int near, far;

    (void)state;
    open_nodes(&nodes);
    near = start_pod(nodes.near_net, 1, 0, near_address);
    far = start_far_pod(&nodes, 2, far_address);
    set_routes(&nodes);
    snprintf(before, sizeof before, "%s",
             shell("ip -o link show type vxlan | cut -d: -f1"));
    net_free(nodes.near_net);
    must(net_open(&nodes.near_net, &net_world_config, &why));
    exchange(near, far, near_address, far_address);
    must(net_set_routes(nodes.near_net, &to_far, 1, &why));
    assert_string_equal(shell("ip -o link show type vxlan | cut -d: -f1"),
                        before);
    exchange(near, far, near_address, far_address);
    close(near);
    close(far);
    close_nodes(&nodes);
}

/* Each end goes with its route, the tunnel with the last. */
static void what_leads_nowhere_is_removed(void **state)
{
    const struct net_route both[] = {to_far, {"10.42.4.0/24", "203.0.113.7"}};
    char address[INET_ADDRSTRLEN];
    struct nodes nodes;
    struct error why;
    int pod;

    (void)state;
    open_nodes(&nodes);
    must(net_set_routes(nodes.near_net, both, 2, &why));
    assert_string_equal(shell("ip neigh show nud permanent | wc -l"), "2");
    assert_string_equal(shell("bridge fdb show | grep -c dst"), "2");
    net_free(nodes.near_net);
    must(net_open(&nodes.near_net, &net_world_config, &why));
    must(net_set_routes(nodes.near_net, both, 1, &why));
    assert_string_equal(shell("ip neigh show nud permanent | wc -l"), "1");
    assert_string_equal(shell("bridge fdb show | grep -c dst"), "1");
    must(net_set_routes(nodes.near_net, NULL, 0, &why));
    assert_string_equal(shell("ip link show type vxlan"), "");
    pod = start_pod(nodes.near_net, 1, 0, address);
    assert_non_null(strstr(shell("ip link show kp1"), "mtu 1500"));
    close(pod);
    close_nodes(&nodes);
}

static void who_has_tunnels_can_be_said(void **state)
{
    const struct net_route routes[] = {to_far, {"10.42.4.0/24", "192.0.2.7"}};
    struct nodes nodes;
    struct error why;

    (void)state;
    open_nodes(&nodes);
    net_set_overlay(nodes.near_net, NET_OVERLAY_NEVER);
    assert_int_equal(net_set_routes(nodes.near_net, routes, 2, &why),
                     ERROR_UNAVAILABLE);
    assert_non_null(strstr(why.message, "198.51.100.1"));
    assert_string_equal(shell("ip link show type vxlan"), "");
    assert_non_null(strstr(shell("ip route show 10.42.4.0/24"), "dev up0"));
    net_set_overlay(nodes.near_net, NET_OVERLAY_AUTO);
    must(net_set_routes(nodes.near_net, routes, 2, &why));
    assert_non_null(strstr(shell("ip route show 10.42.3.0/24"), "onlink"));
    assert_non_null(strstr(shell("ip route show 10.42.4.0/24"), "dev up0"));
    net_set_overlay(nodes.near_net, NET_OVERLAY_ALWAYS);
    must(net_set_routes(nodes.near_net, routes, 2, &why));
    assert_non_null(strstr(shell("ip route show 10.42.4.0/24"), "onlink"));
    close_nodes(&nodes);
}

/* ---- a stranger's packet -------------------------------------------------
 */

/* A datagram for the pod, as the other node's tunnel would bring it. */
struct tunnelled {
    uint8_t vxlan[8];
    uint8_t to[6], from[6];
    uint8_t type[2];
    struct iphdr ip;
    struct udphdr udp;
    char text[4];
} __attribute__((packed));

static uint16_t checksum(const struct iphdr *header)
{
    uint16_t words[sizeof *header / 2];
    uint32_t sum = 0;

    memcpy(words, header, sizeof words);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static struct tunnelled make_tunnelled(const char *pod)
{
    struct tunnelled out = {
        .vxlan = {0x08, 0, 0, 0, 0x6b, 0x6f, 0x6e, 0},
        .to = {0x0a, 'k', 10, 42, 2, 0},
        .from = {0x0a, 'k', 10, 42, 3, 0},
        .type = {8, 0},
        .ip = {.version = 4, .ihl = 5, .ttl = 9, .protocol = IPPROTO_UDP},
        .text = "hey",
    };
    struct iphdr header; /* where it is aligned */

    out.ip.tot_len = htons(sizeof out.ip + sizeof out.udp + sizeof out.text);
    out.ip.saddr = inet_addr("10.42.3.9");
    out.ip.daddr = inet_addr(pod);
    header = out.ip;
    out.ip.check = checksum(&header);
    out.udp.dest = htons(NET_WORLD_PORT);
    out.udp.len = htons(sizeof out.udp + sizeof out.text);
    return out;
}

static void send_tunnelled(int netns, const char *pod)
{
    struct sockaddr_in node = socket_address("192.0.2.1", NET_TUNNEL_PORT);
    struct tunnelled packet = make_tunnelled(pod);
    int fd = socket_in(netns, SOCK_DGRAM);

    assert_int_equal(sendto(fd, &packet, sizeof packet, 0,
                            (struct sockaddr *)&node, sizeof node),
                     sizeof packet);
    close(fd);
}

static void only_nodes_are_heard(void **state)
{
    struct sockaddr_in any = socket_address("0.0.0.0", NET_WORLD_PORT);
    struct pollfd ready = {.events = POLLIN};
    char address[INET_ADDRSTRLEN];
    struct nodes nodes;
    int pod;

    (void)state;
    open_nodes(&nodes);
    pod = start_pod(nodes.near_net, 1, 0, address);
    set_routes(&nodes);
    ready.fd = socket_in(pod, SOCK_DGRAM);
    assert_int_equal(bind(ready.fd, (struct sockaddr *)&any, sizeof any), 0);
    send_tunnelled(nodes.router, address);
    assert_int_equal(poll(&ready, 1, 300), 0);
    send_tunnelled(nodes.far, address);
    assert_int_equal(poll(&ready, 1, NET_WORLD_AWAIT_MS), 1);
    close(ready.fd);
    close(pod);
    close_nodes(&nodes);
}

static void words_are_checked(void **state)
{
    enum net_overlay overlay = NET_OVERLAY_AUTO;
    struct error why;

    (void)state;
    must(net_overlay_parse("always", &overlay, &why));
    assert_int_equal(overlay, NET_OVERLAY_ALWAYS);
    assert_int_equal(net_overlay_parse("yes", &overlay, &why),
                     ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(why.message, "yes"));
    assert_int_equal(overlay, NET_OVERLAY_ALWAYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_checked),
        cmocka_unit_test_setup(pods_beyond_a_router_are_reached,
                               net_world_make),
        cmocka_unit_test_setup(a_restart_changes_nothing, net_world_make),
        cmocka_unit_test_setup(what_leads_nowhere_is_removed, net_world_make),
        cmocka_unit_test_setup(who_has_tunnels_can_be_said, net_world_make),
        cmocka_unit_test_setup(only_nodes_are_heard, net_world_make),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
