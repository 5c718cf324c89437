/* test_net_spoof.c - what a pod sends is its own, or is not heard: each class
 * of forged frame, from a pod that may write what it likes to its interface
 * (CVE-2020-13401, CVE-2020-14386). As root. */
#include "net_world.h"

#include "base/fd.h"
#include "node/net/parts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { FRAME_BYTES = 128, SILENCE_MS = 150, MARK_AT = 100 };

/* Two pods on one bridge; the first sends, the second and the node listen. */
struct wire {
    struct net *net;
    int first, second;
    int sender;           /* raw, in the first pod */
    int listener, bridge; /* raw, in the second pod, and on the node */
    struct in_addr address, other;
    uint8_t mac[NET_MAC_BYTES], other_mac[NET_MAC_BYTES];
};

static int raw_socket(int netns, const char *interface)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL)};
    struct ifreq request = {0};
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;

    if (netns >= 0)
        enter_netns(netns);
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    assert_int_equal(ioctl(fd, SIOCGIFINDEX, &request), 0);
    at.sll_ifindex = request.ifr_ifindex;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    enter_netns(home);
    close(home);
    return fd;
}

static void open_wire(struct wire *wire)
{
    char text[INET_ADDRSTRLEN];
    struct error why;

    must(net_open(&wire->net, &net_world_config, &why));
    wire->first = start_pod(wire->net, 1, 0, text);
    assert_int_equal(inet_pton(AF_INET, text, &wire->address), 1);
    wire->second = start_pod(wire->net, 2, 0, text);
    assert_int_equal(inet_pton(AF_INET, text, &wire->other), 1);
    net_mac(wire->mac, NET_MAC_POD, wire->address);
    net_mac(wire->other_mac, NET_MAC_POD, wire->other);
    wire->sender = raw_socket(wire->first, "eth0");
    wire->listener = raw_socket(wire->second, "eth0");
    wire->bridge = raw_socket(-1, "kontor0");
}

static void close_wire(struct wire *wire)
{
    close(wire->sender);
    close(wire->listener);
    close(wire->bridge);
    close(wire->first);
    close(wire->second);
    remove_net(wire->net);
}

/* ---- frames --------------------------------------------------------------
 */

static void put_ethernet(const struct wire *wire, uint8_t *frame, uint16_t type)
{
    memset(frame, 0xff, 6); /* heard by all, whatever the bridge has learned */
    memcpy(frame + 6, wire->mac, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
}

/* The Internet's (RFC 1071), beginning with `sum`. */
static void put_checksum(uint8_t *at, const uint8_t *bytes, size_t length,
                         uint32_t sum)
{
    at[0] = at[1] = 0;
    for (size_t i = 0; i < length; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~(sum + (sum >> 16));
    at[0] = (uint8_t)(sum >> 8);
    at[1] = (uint8_t)sum;
}

/* A frame whose checksum is wrong may be dropped for that. */
static void set_checksum(uint8_t *frame)
{
    uint8_t *ip = frame + ETH_HLEN;

    put_checksum(ip + 10, ip, sizeof(struct iphdr), 0);
}

static void put_ip(const struct wire *wire, uint8_t *frame)
{
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 9, .protocol = 253};

    ip.saddr = wire->address.s_addr;
    ip.daddr = wire->other.s_addr;
    ip.tot_len = htons(FRAME_BYTES - ETH_HLEN);
    put_ethernet(wire, frame, ETH_P_IP);
    memcpy(frame + ETH_HLEN, &ip, sizeof ip);
    set_checksum(frame);
}

static void put_arp(const struct wire *wire, uint8_t *frame)
{
    struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                       .ar_pro = htons(ETH_P_IP),
                                       .ar_hln = 6,
                                       .ar_pln = 4,
                                       .ar_op = htons(ARPOP_REPLY)}};

    memcpy(arp.arp_sha, wire->mac, 6);
    memcpy(arp.arp_spa, &wire->address, 4);
    memcpy(arp.arp_tha, wire->other_mac, 6);
    memcpy(arp.arp_tpa, &wire->other, 4);
    put_ethernet(wire, frame, ETH_P_ARP);
    memcpy(frame + ETH_HLEN, &arp, sizeof arp);
}

/* Over the addresses, too, length and protocol (RFC 8200, 8.1). */
static void set_icmp6_checksum(uint8_t *frame)
{
    uint8_t *ip = frame + ETH_HLEN;
    size_t length = FRAME_BYTES - ETH_HLEN - sizeof(struct ip6_hdr);

    put_checksum(ip + sizeof(struct ip6_hdr) + 2, ip + 8, 32 + length,
                 (uint32_t)length + 58);
}

/* A router advertisement to all nodes: RFC 4861. */
static void put_router_advertisement(const struct wire *wire, uint8_t *frame)
{
    static const uint8_t to[] = {0x33, 0x33, 0, 0, 0, 1};
    struct ip6_hdr ip = {.ip6_nxt = 58, .ip6_hlim = 255};

    put_ethernet(wire, frame, ETH_P_IPV6);
    memcpy(frame, to, sizeof to);
    ip.ip6_vfc = 0x60; /* of a union: an initialiser of another would win */
    ip.ip6_plen = htons(FRAME_BYTES - ETH_HLEN - sizeof ip);
    inet_pton(AF_INET6, "fe80::1", &ip.ip6_src);
    inet_pton(AF_INET6, "ff02::1", &ip.ip6_dst);
    memcpy(frame + ETH_HLEN, &ip, sizeof ip);
    frame[ETH_HLEN + sizeof ip] = 134;
    set_icmp6_checksum(frame);
}

/* Does what the pod sends come to the other pod, or the node? (A VLAN's tag
 * is taken off by the kernel, which moves the rest.) */
static bool is_heard(const struct wire *wire, uint8_t frame[FRAME_BYTES])
{
    static uint8_t mark;
    struct pollfd ready[] = {{.fd = wire->listener, .events = POLLIN},
                             {.fd = wire->bridge, .events = POLLIN}};
    uint8_t came[2048];

    frame[MARK_AT] = ++mark;
    if (frame[12] == ETH_P_IPV6 >> 8)
        set_icmp6_checksum(frame);
    assert_int_equal(send(wire->sender, frame, FRAME_BYTES, 0), FRAME_BYTES);
    while (poll(ready, ARRAY_LEN(ready), SILENCE_MS) > 0)
        for (size_t i = 0; i < ARRAY_LEN(ready); i++)
            if ((ready[i].revents & POLLIN) &&
                recv(ready[i].fd, came, sizeof came, MSG_DONTWAIT) > MARK_AT &&
                (came[MARK_AT] == mark || came[MARK_AT - 4] == mark))
                return true;
    return false;
}

/* ---- what is forged ------------------------------------------------------
 */

typedef void put_cb(const struct wire *wire, uint8_t *frame);

static void change_nothing(const struct wire *wire, uint8_t *frame)
{
    (void)wire;
    (void)frame;
}

static void forge_mac(const struct wire *wire, uint8_t *frame)
{
    (void)wire;
    frame[11] ^= 0x40;
}

static void forge_ip(const struct wire *wire, uint8_t *frame)
{
    (void)wire;
    frame[ETH_HLEN + 15] = 77;
    set_checksum(frame);
}

static void forge_both(const struct wire *wire, uint8_t *frame)
{
    memcpy(frame + 6, wire->other_mac, 6);
    memcpy(frame + ETH_HLEN + 12, &wire->other, 4);
    set_checksum(frame);
}

static void forge_arp_ip(const struct wire *wire, uint8_t *frame)
{
    /* "The gateway is me". */
    (void)wire;
    frame[ETH_HLEN + 17] = 1;
}

static void forge_arp_mac(const struct wire *wire, uint8_t *frame)
{
    memcpy(frame + ETH_HLEN + 8, wire->other_mac, 6);
}

static void forge_arp_length(const struct wire *wire, uint8_t *frame)
{
    forge_arp_ip(wire, frame);
    frame[ETH_HLEN + 4] = 8; /* of hardware addresses */
}

/* The true frame, shifted behind a tag (IEEE 802.1Q). */
static void add_vlan_tag(const struct wire *wire, uint8_t *frame)
{
    static const uint8_t tag[] = {0x81, 0, 0, 1};

    (void)wire;
    memmove(frame + 16, frame + 12, MARK_AT - 16);
    memcpy(frame + 12, tag, sizeof tag);
}

static void make_bpdu(const struct wire *wire, uint8_t *frame)
{
    static const uint8_t to[] = {1, 0x80, 0xc2, 0, 0, 0};

    (void)wire;
    memcpy(frame, to, sizeof to);
    frame[12] = 0;
    frame[13] = 38;
}

static void only_what_is_true_is_heard(void **state)
{
    static const struct {
        const char *what;
        put_cb *put, *forge;
        bool heard;
    } frames[] = {
        {"IPv4", put_ip, change_nothing, true},
        {"IPv4 from another MAC", put_ip, forge_mac, false},
        {"IPv4 from another address", put_ip, forge_ip, false},
        {"IPv4 from another pod, MAC and all", put_ip, forge_both, false},
        {"IPv4 in a VLAN", put_ip, add_vlan_tag, false},
        {"ARP", put_arp, change_nothing, true},
        {"ARP from another MAC", put_arp, forge_mac, false},
        {"ARP that tells the gateway's address", put_arp, forge_arp_ip, false},
        {"ARP that tells another MAC", put_arp, forge_arp_mac, false},
        {"ARP of odd lengths", put_arp, forge_arp_length, false},
        {"a router advertisement", put_router_advertisement, change_nothing,
         false},
        {"spanning tree", put_ip, make_bpdu, false},
        {"IPv4 again", put_ip, change_nothing, true},
    };
    struct wire wire;
    int wrong = 0;

    (void)state;
    open_wire(&wire);
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        uint8_t frame[FRAME_BYTES] = {0};

        frames[i].put(&wire, frame);
        frames[i].forge(&wire, frame);
        if (is_heard(&wire, frame) == frames[i].heard)
            continue;
        print_error("%s is%s heard\n", frames[i].what,
                    frames[i].heard ? " not" : "");
        wrong++;
    }
    close_wire(&wire);
    assert_int_equal(wrong, 0);
}

/* Neither end of the pod's network takes what a router would tell it. */
static void there_is_no_ipv6_to_be_led_astray(void **state)
{
    struct wire wire;
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    (void)state;
    open_wire(&wire);
    assert_string_equal(shell("ip -6 addr show dev kontor0"), "");
    assert_string_equal(shell("ip -6 addr show dev kp1"), "");
    enter_netns(wire.first);
    assert_string_equal(shell("ip -6 addr show dev eth0"), "");
    assert_string_equal(shell("ip -6 route show"), "");
    assert_string_equal(shell("ip -4 addr show tentative"), "");
    enter_netns(home);
    close(home);
    close_wire(&wire);
}

/* A pod that is behind a service of the node's reaches itself through it. */
static void a_pod_reaches_itself_by_way_of_the_node(void **state)
{
    char address[INET_ADDRSTRLEN], peer[INET_ADDRSTRLEN];
    struct error why;
    struct net *net;
    int pod, listener, ends[2];

    (void)state;
    must(net_open(&net, &net_world_config, &why));
    pod = start_pod(net, 1, 0, address);
    assert_non_null(
        strstr(shell("bridge -d link show dev kp1 | tail -1"), "hairpin on"));
    /* What published ports will do: a port of the node's leads to the pod. */
    assert_string_equal(
        shell("exec 2>&1; nft add table ip service; nft 'add chain ip service "
              "to { type nat hook prerouting priority -100; }'; nft add rule "
              "ip service to ip daddr 10.42.2.1 tcp dport 7000 dnat to "
              "10.42.2.2; nft 'add chain ip service from { type nat hook "
              "postrouting priority 100; }'; nft add rule ip service from ip "
              "saddr 10.42.2.2 ip daddr 10.42.2.2 masquerade"),
        "");
    listener = listen_in(pod);
    join_tcp(pod, listener, "10.42.2.1", ends, peer);
    assert_string_equal(peer, "10.42.2.1");
    close(ends[0]);
    close(ends[1]);
    close(listener);
    close(pod);
    shell("nft delete table ip service");
    remove_net(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_what_is_true_is_heard, net_world_make),
        cmocka_unit_test_setup(there_is_no_ipv6_to_be_led_astray,
                               net_world_make),
        cmocka_unit_test_setup(a_pod_reaches_itself_by_way_of_the_node,
                               net_world_make),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
