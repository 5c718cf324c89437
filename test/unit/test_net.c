/* test_net.c - bridge, pods, limits and routes in a network namespace of the
 * test's own; the host is not touched. As root. */
#include "net_world.h"

#include "base/clock.h"
#include "base/fd.h"
#include "node/net/net.h"
#include "node/net/parts.h"
#include "node/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void pods_reach_each_other(void **state)
{
    char first_address[INET_ADDRSTRLEN], second_address[INET_ADDRSTRLEN];
    char peer[INET_ADDRSTRLEN];
    struct error why;
    struct net *net;
    int first, second, listener, ends[2];

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    first = start_pod(net, 0x11, 0, first_address);
    second = start_pod(net, 0xfffffffffffff, 0, second_address);
    assert_string_equal(first_address, "10.42.2.2");
    assert_string_equal(second_address, "10.42.2.3");

    listener = listen_in(second);
    join_tcp(first, listener, second_address, ends, peer);
    assert_string_equal(peer, first_address);
    close(ends[0]);
    close(ends[1]);
    join_tcp(-1, listener, second_address, ends, peer); /* from the node */
    assert_string_equal(peer, "10.42.2.1");
    close(ends[0]);
    close(ends[1]);
    close(listener);
    join_tcp(first, listener = listen_in(first), "127.0.0.1", ends, peer);
    close(ends[0]);
    close(ends[1]);
    close(listener);

    /* The same again finds everything as it is, and pods go on. */
    net_free(net);
    must(net_open(&net, &net_world_config, &why));
    listener = listen_in(second);
    join_tcp(first, listener, second_address, ends, peer);
    close(ends[0]);
    close(ends[1]);
    close(listener);

    close(first);
    close(second);
    await_interface_gone("kp11");
    await_interface_gone("kpfffffffffffff");
    remove_net(net);
    assert_int_equal(if_nametoindex("kontor0"), 0);
    assert_string_equal(shell("nft list ruleset"), "");
    must(net_remove(net_world_config.bridge, net_world_config.table, &why));
}

/* Bytes a second that pass from ends[0] to ends[1]. */
static uint64_t measure(const int ends[2], size_t bytes)
{
    static char chunk[65536];
    uint64_t started;
    pid_t pid = fork();

    if (pid == 0) {
        for (size_t sent = 0; sent < bytes;) {
            ssize_t put = write(ends[0], chunk, sizeof chunk);

            if (put < 0)
                _exit(1);
            sent += (size_t)put;
        }
        _exit(0);
    }
    started = clock_monotonic_ms();
    for (size_t got = 0; got < bytes;) {
        ssize_t now = read(ends[1], chunk, sizeof chunk);

        assert_true(now > 0);
        got += (size_t)now;
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return bytes * 1000 / (clock_monotonic_ms() - started + 1);
}

static void limit_holds_both_ways(void **state)
{
    char address[INET_ADDRSTRLEN];
    struct error why;
    struct net *net;
    int pod, listener, ends[2], back[2];

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    pod = start_pod(net, 1, 40000000, address); /* 5 MB/s */
    listener = listen_in(pod);
    join_tcp(-1, listener, address, ends, NULL);
    assert_in_range(measure(ends, 2000000), 1000000, 6500000);
    back[0] = ends[1];
    back[1] = ends[0];
    assert_in_range(measure(back, 2000000), 1000000, 6500000);
    close(ends[0]);
    close(ends[1]);
    close(listener);
    close(pod);
    remove_net(net);
}

/* As tc-tbf(8) reads them back: a burst is 5 ms of the rate within its bounds,
 * the queue holds that and 50 ms. */
static void limits_are_right_at_every_rate(void **state)
{
    static const struct {
        uint64_t bits;
        const char *shown;
    } rates[] = {
        {8000, "rate 8Kbit burst 64Kb"},
        {1000000, "rate 1Mbit burst 64Kb"},
        {100000000, "rate 100Mbit burst 64Kb"},
        {1000000000, "rate 1Gbit burst 625000b"},
        {10000000000, "rate 10Gbit burst 4Mb"},
        {100000000000, "rate 100Gbit burst 4"},
    };
    char address[INET_ADDRSTRLEN];
    struct error why;
    struct net *net;

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    for (uint64_t i = 0; i < ARRAY_LEN(rates); i++) {
        int pod = start_pod(net, i + 1, rates[i].bits, address);
        char command[64];

        snprintf(command, sizeof command, "tc qdisc show dev kp%d", (int)i + 1);
        if (!strstr(shell(command), rates[i].shown))
            fail_msg("not %s: %s", rates[i].shown, shell(command));
        close(pod);
    }
    remove_net(net);
}

/* A pod that gives itself another address is not heard. */
static void spoofing_is_dropped(void **state)
{
    char first_address[INET_ADDRSTRLEN], second_address[INET_ADDRSTRLEN];
    struct sockaddr_in target, source = socket_address("10.42.2.77", 0);
    struct error why;
    struct net *net;
    int first, second, server, client;
    struct pollfd ready;

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    first = start_pod(net, 1, 0, first_address);
    second = start_pod(net, 2, 0, second_address);
    if (fork() == 0) {
        enter_netns(first);
        _exit(system("ip addr add 10.42.2.77/24 dev eth0") != 0);
    }
    int status;
    wait(&status);
    assert_int_equal(status, 0);

    target = socket_address("0.0.0.0", NET_WORLD_PORT);
    server = socket_in(second, SOCK_DGRAM);
    assert_int_equal(bind(server, (struct sockaddr *)&target, sizeof target),
                     0);
    target = socket_address(second_address, NET_WORLD_PORT);
    client = socket_in(first, SOCK_DGRAM);
    sendto(client, "true", 4, 0, (struct sockaddr *)&target, sizeof target);
    ready = (struct pollfd){.fd = server, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, NET_WORLD_AWAIT_MS), 1);
    assert_int_equal(recv(server, (char[8]){0}, 8, 0), 4);

    close(client);
    client = socket_in(first, SOCK_DGRAM);
    assert_int_equal(bind(client, (struct sockaddr *)&source, sizeof source),
                     0);
    sendto(client, "false", 5, 0, (struct sockaddr *)&target, sizeof target);
    assert_int_equal(poll(&ready, 1, 300), 0);

    close(client);
    close(server);
    close(first);
    close(second);
    remove_net(net);
}

/* Another host, beyond an uplink of this one: pods reach it under the node's
 * address, but other nodes' pods under their own. */
static void outside_is_reached_with_nat(void **state)
{
    struct net_route route = {"10.42.9.0/24", "192.0.2.9"};
    char address[INET_ADDRSTRLEN], peer[INET_ADDRSTRLEN];
    struct error why;
    struct net *net;
    int outside, pod, listener, ends[2];
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    outside = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    enter_netns(home);
    char command[256];
    snprintf(command, sizeof command,
             "ip link add up0 mtu 1400 type veth peer name out0 netns "
             "/proc/%d/fd/%d && ip addr add 192.0.2.1/24 dev up0 && ip link "
             "set up0 up && ip route add default via 192.0.2.9 2>&1",
             getpid(), outside);
    assert_string_equal(shell(command), "");
    enter_netns(outside);
    assert_string_equal(
        shell("(ip addr add 192.0.2.9/24 dev out0; ip link set out0 up; ip "
              "link set lo up; ip addr add 10.42.9.5/32 dev lo; ip route add "
              "10.42.2.0/24 via 192.0.2.1) 2>&1"),
        "");
    enter_netns(home);

    must(net_open(&net, &net_world_config, &why));
    must(net_set_routes(net, &route, 1, &why));
    assert_non_null(
        strstr(shell("ip route show 10.42.9.0/24"),
               "10.42.9.0/24 via 192.0.2.9 dev up0 proto 107 metric "));
    pod = start_pod(net, 7, 0, address);
    assert_non_null(strstr(shell("ip link show kp7"), "mtu 1400"));
    listener = listen_in(outside);
    join_tcp(pod, listener, "192.0.2.9", ends, peer);
    assert_string_equal(peer, "192.0.2.1");
    close(ends[0]);
    close(ends[1]);
    join_tcp(pod, listener, "10.42.9.5", ends, peer);
    assert_string_equal(peer, address);
    close(ends[0]);
    close(ends[1]);

    must(net_set_routes(net, NULL, 0, &why));
    assert_string_equal(shell("ip route show 10.42.9.0/24"), "");
    strcpy(route.via, "203.0.113.1");
    net_set_overlay(net, NET_OVERLAY_NEVER);
    assert_int_equal(net_set_routes(net, &route, 1, &why), ERROR_UNAVAILABLE);
    assert_non_null(strstr(why.message, "203.0.113.1"));
    close(listener);
    close(pod);
    close(outside);
    close(home);
    remove_net(net);
}

static void what_is_in_the_way_is_named(void **state)
{
    const struct net_config bad = {"kontor0", "10.42.2.0", "kontor"};
    struct error why;
    struct net *net;

    (void)state;
    assert_int_equal(net_open(&net, &bad, &why), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(why.message, "10.42.2.0"));
    shell("ip link add kontor0 type veth peer name other0");
    assert_int_equal(net_open(&net, &net_world_config, &why),
                     ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "kontor0"));
}

static void bridge_is_put_right(void **state)
{
    struct error why;
    struct net *net;

    (void)state;
    shell("ip link add kontor0 type bridge; ip addr add 10.9.9.1/24 dev "
          "kontor0");
    must(net_open(&net, &net_world_config, &why));
    assert_non_null(
        strstr(shell("ip -o -4 addr show dev kontor0"), "10.42.2.1/24"));
    assert_string_equal(shell("cat /proc/sys/net/ipv4/ip_forward"), "1");
    remove_net(net);
}

/* A namespace that was not let go of yet must not stop the pod's next run. */
static void leftover_pair_is_replaced(void **state)
{
    struct net_pod pod = {.pod_id = 3};
    struct error why;
    struct net *net;
    int first, second;

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    must(net_claim(net, 3, &pod.address, &why));
    must(net_attach(net, &pod, &first, &why));
    must(net_attach(net, &pod, &second, &why));
    assert_int_equal(
        net_claim(net, 1ull << NET_POD_ID_BITS, &pod.address, &why),
        ERROR_INVALID_ARGUMENT);
    assert_int_equal(net_claim(net, UINT64_MAX, &pod.address, &why),
                     ERROR_INVALID_ARGUMENT);
    close(first);
    close(second);
    remove_net(net);
}

/* Two nodes of two clusters stand on one machine: nothing that one does cuts
 * the other's pods off. */
static void nodes_beside_each_other(void **state)
{
    const struct net_config other = {"kontor1", "10.43.2.0/24", "kontor1"};
    const struct net_config same = {"kontor0", "10.43.2.0/24", "kontor1"};
    struct net_route routes[] = {{"10.42.9.0/24", "192.0.2.9"},
                                 {"10.43.2.0/24", "192.0.2.1"}};
    struct net_pod pod = {.pod_id = 1};
    char address[INET_ADDRSTRLEN];
    struct error why;
    struct net *net, *beside;
    int first, second;

    (void)state;
    shell("ip link add up0 type bridge; ip addr add 192.0.2.1/24 dev up0; ip "
          "link set up0 up");
    must(net_open(&net, &net_world_config, &why));
    first = start_pod(net, 1, 0, address);
    assert_int_equal(net_open(&beside, &same, &why), ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "kp1"));
    assert_non_null(
        strstr(shell("ip -o -4 addr show dev kontor0"), "10.42.2.1/24"));

    must(net_open(&beside, &other, &why));
    must(net_claim(beside, 1, &pod.address, &why));
    assert_int_equal(net_attach(beside, &pod, &second, &why),
                     ERROR_ALREADY_EXISTS);
    assert_non_null(strstr(why.message, "kp1"));
    assert_non_null(strstr(shell("ip link show kp1"), "master kontor0"));

    /* The second route leads to the node beside. */
    must(net_set_routes(net, routes, ARRAY_LEN(routes), &why));
    assert_string_equal(shell("ip route show proto 107 10.43.2.0/24"), "");
    must(net_set_routes(beside, routes, 1, &why));
    assert_string_equal(shell("ip route show proto 107 | wc -l"), "2");
    must(net_remove(other.bridge, other.table, &why));
    net_free(beside);
    assert_string_equal(shell("ip route show proto 107 | wc -l"), "1");
    close(first);
    remove_net(net);
    assert_string_equal(shell("ip route show proto 107"), "");
}

/* `knode remove` finds a file that a power cut left empty. */
static void removal_needs_only_the_names(void **state)
{
    struct home_names names = {"kontor/n1", "kontor0", "kontor"};
    char path[] = "/tmp/kontor-net-XXXXXX";
    struct home home = {.path = path};
    struct error why;
    struct net *net;

    (void)state;
    assert_non_null(mkdtemp(path));
    home.folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(net_open(&net, &net_world_config, &why));
    net_free(net);
    must(node_network_remove(&home, &names, &why)); /* never registered */
    assert_int_not_equal(if_nametoindex("kontor0"), 0);
    must(file_exchange(home.folder, "registered.pb", "", 0, 0600, &why));
    must(node_network_remove(&home, &names, &why));
    assert_int_equal(if_nametoindex("kontor0"), 0);
    close(home.folder);
    must(folder_remove(AT_FDCWD, path, &why));
}

/* An interface is being taken down as knode starts: its pod is gone, and
 * nobody would ever take it out of the packet filter. */
static void only_adopted_pods_may_send(void **state)
{
    char addresses[2][INET_ADDRSTRLEN];
    struct in_addr stays;
    struct error why;
    struct net *net;
    int pods[2];

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    pods[0] = start_pod(net, 7, 0, addresses[0]);
    pods[1] = start_pod(net, 8, 0, addresses[1]);
    net_free(net);
    must(net_open(&net, &net_world_config, &why));
    assert_string_equal(shell("nft list set bridge kontor ports | grep -o "
                              "kp. | sort | xargs"),
                        "kp7 kp8");
    assert_int_equal(inet_pton(AF_INET, addresses[0], &stays), 1);
    must(net_adopt(net, 7, stays, &why));
    net_adopted(net);
    assert_string_equal(shell("nft list table bridge kontor | grep -o "
                              "'\"kp.\"' | sort | xargs"),
                        "kp7 kp7");
    close(pods[0]);
    close(pods[1]);
    remove_net(net);
}

struct attacher {
    pthread_t thread;
    struct net *net;
    struct net_pod pods[4];
    int fds[4];
    struct error why;
};

static void *attach_all(void *data)
{
    struct attacher *attacher = data;

    for (int i = 0; i < 4 && attacher->why.code == 0; i++) {
        net_attach(attacher->net, &attacher->pods[i], &attacher->fds[i],
                   &attacher->why);
        net_prepare(attacher->net);
    }
    return NULL;
}

/* As libuv's workers do; none may end up in a pod's namespace. */
static void threads_attach_at_once(void **state)
{
    struct attacher attachers[4] = {0};
    struct error why;
    struct net *net;
    uint64_t id = 1;

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    for (size_t i = 0; i < ARRAY_LEN(attachers); i++) {
        attachers[i].net = net;
        for (int k = 0; k < 4; k++, id++) {
            attachers[i].pods[k].pod_id = id;
            must(net_claim(net, id, &attachers[i].pods[k].address, &why));
        }
        pthread_create(&attachers[i].thread, NULL, attach_all, &attachers[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(attachers); i++) {
        pthread_join(attachers[i].thread, NULL);
        if (attachers[i].why.code)
            fail_msg("%s", attachers[i].why.message);
    }
    assert_int_not_equal(if_nametoindex("kp1"), 0);
    assert_int_not_equal(if_nametoindex("kp10"), 0);
    for (size_t i = 0; i < ARRAY_LEN(attachers); i++)
        for (int k = 0; k < 4; k++)
            close(attachers[i].fds[k]);
    remove_net(net);
}

static ino_t namespace_of(int fd)
{
    struct stat info;

    assert_int_equal(fstat(fd, &info), 0);
    return info.st_ino;
}

/* Two pods never share one; what was made before is as what is made anew. */
static void the_spare_is_given_once(void **state)
{
    struct net_pod pods[2] = {{.pod_id = 1}, {.pod_id = 2}};
    int fds[2];
    struct error why;
    struct net *net;
    ino_t spare;

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    net_prepare(net);
    spare = namespace_of(net->spare.fd);
    net_prepare(net);
    assert_int_equal(namespace_of(net->spare.fd), spare);
    for (int i = 0; i < 2; i++) {
        must(net_claim(net, pods[i].pod_id, &pods[i].address, &why));
        must(net_attach(net, &pods[i], &fds[i], &why));
        assert_int_equal(net->spare.fd, -1);
        assert_int_equal(namespace_of(fds[i]) == spare, i == 0);
    }
    for (int i = 0; i < 2; i++)
        close(fds[i]);
    net_prepare(net); /* it goes with net */
    remove_net(net);
}

/* ---- addresses ------------------------------------------------------------
 */

static unsigned last_byte(struct in_addr address)
{
    return ntohl(address.s_addr) & 255;
}

static void addresses_are_reused_last(void **state)
{
    struct net_pool pool;
    struct in_addr address;
    struct error why;

    (void)state;
    net_pool_init(&pool, 0x0a2a0200, 29); /* .2 to .6 */
    for (unsigned i = 0; i < 5; i++) {
        must(net_pool_claim(&pool, i, &address, &why));
        assert_int_equal(last_byte(address), 2 + i);
    }
    must(net_pool_claim(&pool, 3, &address, &why));
    assert_int_equal(last_byte(address), 5); /* has one */
    assert_int_equal(net_pool_claim(&pool, 9, &address, &why),
                     ERROR_RESOURCE_EXHAUSTED);
    assert_true(net_pool_release(&pool, 4, &address));
    assert_true(net_pool_release(&pool, 0, &address));
    assert_false(net_pool_release(&pool, 0, &address));
    must(net_pool_claim(&pool, 10, &address, &why));
    assert_int_equal(last_byte(address), 6);
    must(net_pool_claim(&pool, 11, &address, &why));
    assert_int_equal(last_byte(address), 2);
    net_pool_fini(&pool);
}

static void addresses_are_adopted(void **state)
{
    struct net_pool pool;
    struct in_addr address = {htonl(0x0a2a0204)};
    struct error why;

    (void)state;
    net_pool_init(&pool, 0x0a2a0200, 29);
    must(net_pool_adopt(&pool, 40, address, &why));
    must(net_pool_adopt(&pool, 40, address, &why));
    assert_int_equal(net_pool_adopt(&pool, 41, address, &why),
                     ERROR_ALREADY_EXISTS);
    for (unsigned i = 0; i < 4; i++) {
        must(net_pool_claim(&pool, i, &address, &why));
        assert_int_not_equal(last_byte(address), 4);
    }
    assert_int_equal(net_pool_claim(&pool, 4, &address, &why),
                     ERROR_RESOURCE_EXHAUSTED);
    address.s_addr = htonl(0x0a2a0201); /* the bridge's */
    assert_int_equal(net_pool_adopt(&pool, 42, address, &why),
                     ERROR_OUT_OF_RANGE);
    address.s_addr = htonl(0x0a2a0302);
    assert_int_equal(net_pool_adopt(&pool, 42, address, &why),
                     ERROR_OUT_OF_RANGE);
    net_pool_fini(&pool);
}

/* A bridge without ports has no speed, as most virtual cards. */
static void the_card_that_is_asked_is_named(void **state)
{
    char name[NET_LINK_NAME_MAX];

    (void)state;
    net_link_name(name);
    assert_string_equal(name, "");
    assert_int_equal(net_link_speed(), 0);
    shell("ip link add out0 type veth peer name in0; ip link set in0 up; ip "
          "link set out0 up; ip addr add 192.0.2.9/24 dev out0; ip route add "
          "default via 192.0.2.1");
    net_link_name(name);
    assert_string_equal(name, "out0");
    assert_true(net_link_speed() > 0);
    shell("ip route del default; ip link add br0 type bridge; ip link set br0 "
          "up; ip addr add 198.51.100.9/24 dev br0; ip route add default via "
          "198.51.100.1");
    net_link_name(name);
    assert_string_equal(name, "br0");
    assert_int_equal(net_link_speed(), 0);
}

static void subnets_are_checked(void **state)
{
    static const char *const bad[] = {
        "",           "10.42.2.0",     "10.42.2.0/",   "10.42.2.0/33",
        "10.42/16",   "10.42.2.0/24x", "10.42.2.1/24", "a.b.c.d/24",
        "10.0.0.0/8", "10.42.2.0/-1",  "10.42.2.0/30"};
    struct error why;
    in_addr_t first;
    unsigned bits;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(net_subnet_parse(bad[i], &first, &bits, &why),
                         ERROR_INVALID_ARGUMENT);
    must(net_subnet_parse("10.42.2.0/24", &first, &bits, &why));
    assert_int_equal(first, 0x0a2a0200);
    assert_int_equal(bits, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_reused_last),
        cmocka_unit_test(addresses_are_adopted),
        cmocka_unit_test(subnets_are_checked),
        cmocka_unit_test_setup(pods_reach_each_other, net_world_make),
        cmocka_unit_test_setup(limit_holds_both_ways, net_world_make),
        cmocka_unit_test_setup(limits_are_right_at_every_rate, net_world_make),
        cmocka_unit_test_setup(spoofing_is_dropped, net_world_make),
        cmocka_unit_test_setup(outside_is_reached_with_nat, net_world_make),
        cmocka_unit_test_setup(what_is_in_the_way_is_named, net_world_make),
        cmocka_unit_test_setup(bridge_is_put_right, net_world_make),
        cmocka_unit_test_setup(nodes_beside_each_other, net_world_make),
        cmocka_unit_test_setup(removal_needs_only_the_names, net_world_make),
        cmocka_unit_test_setup(only_adopted_pods_may_send, net_world_make),
        cmocka_unit_test_setup(threads_attach_at_once, net_world_make),
        cmocka_unit_test_setup(leftover_pair_is_replaced, net_world_make),
        cmocka_unit_test_setup(the_spare_is_given_once, net_world_make),
        cmocka_unit_test_setup(the_card_that_is_asked_is_named, net_world_make),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
