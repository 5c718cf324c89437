/* net_world.h - pods' networks in network namespaces of a test's own; the
 * host is not touched. Root. */
#pragma once

#include "node/net/net.h"

#include <netinet/in.h>

enum { NET_WORLD_PORT = 7000, NET_WORLD_AWAIT_MS = 5000 };

/* kontor0, 10.42.2.0/24. */
extern const struct net_config net_world_config;

/* Needs a `struct error why`. */
#define must(call)                                  \
    do {                                            \
        if ((call) != 0)                            \
            fail_msg("%s: %s", #call, why.message); \
    } while (0)

/* For cmocka's setup: a fresh network namespace, which goes with the test. */
int net_world_make(void **state);

/* Run a shell command in this namespace; its first line of output, static. */
char *shell(const char *command);

/* This thread stands in `netns` from now on. */
void enter_netns(int netns);

/* A socket in the namespace `netns`, or here for -1. */
int socket_in(int netns, int type);
struct sockaddr_in socket_address(const char *address, int port);
int listen_in(int netns);

/* Connect from one namespace to another; both ends, and who it came from. */
void join_tcp(int from, int listener, const char *address, int ends[2],
              char *peer);

/* Claim and attach: the pod's namespace and address. */
int start_pod(struct net *net, uint64_t id, uint64_t bits,
              char address[INET_ADDRSTRLEN]);
void remove_net(struct net *net);
void await_interface_gone(const char *name);
