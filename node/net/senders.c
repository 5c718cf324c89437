/* senders.c - one pod more or less in the packet filter's sets (table.c), by
 * messages of our own.
 *
 * libnftables reads all that is there before it changes anything, and its
 * socket lives for one transaction: where an earlier one took something away,
 * closing a socket of netfilter's waits until nobody can see that any more,
 * which takes milliseconds. These few bytes on a socket that stays open wait
 * for nothing. They are one transaction:
 *
 *   begin | senders: interface . MAC . address | ports: interface | end
 *
 * The kernel has done it, and answered, when it has taken the bytes. */
#include "node/net/senders.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH_MAX_BYTES = 2048, ANSWER_MAX_BYTES = 4096 };

/* A key of the set: each part takes whole words of 4 bytes. */
struct sender {
    char interface[IFNAMSIZ];
    unsigned char mac[NET_MAC_BYTES + 2];
    struct in_addr address;
};

struct batch {
    const char *table;
    uint32_t first, last; /* numbers of its messages */
    size_t length;        /* more than there is room for: some are missing */
    unsigned char bytes[BATCH_MAX_BYTES];
};

pthread_mutex_t net_filter_turn = PTHREAD_MUTEX_INITIALIZER;

int net_senders_open(struct net *net, struct error *why)
{
    net->filter =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    return net->filter < 0 ? error_errno(why, "open a socket of netfilter") : 0;
}

/* ---- what is said ---------------------------------------------------------
 */

static struct nl_msg *message_new(int type, int flags, uint8_t family,
                                  uint16_t resource)
{
    struct nfgenmsg header = {family, NFNETLINK_V0, htons(resource)};
    struct nl_msg *message = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);

    if (message &&
        nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO) != 0) {
        nlmsg_free(message);
        return NULL;
    }
    return message;
}

/* Takes `message`; NULL: there was no room for it. */
static void add_message(struct batch *batch, struct nl_msg *message)
{
    struct nlmsghdr *header = message ? nlmsg_hdr(message) : NULL;

    if (header && batch->length + header->nlmsg_len <= sizeof batch->bytes) {
        header->nlmsg_seq = ++batch->last;
        memcpy(batch->bytes + batch->length, header, header->nlmsg_len);
        batch->length += header->nlmsg_len;
    } else {
        batch->length = sizeof batch->bytes + 1;
    }
    nlmsg_free(message);
}

static bool put_key(struct nl_msg *message, const void *key, int length)
{
    struct nlattr *list = nla_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
    struct nlattr *element = nla_nest_start(message, NFTA_LIST_ELEM);
    struct nlattr *value = nla_nest_start(message, NFTA_SET_ELEM_KEY);

    return list && element && value &&
           nla_put(message, NFTA_DATA_VALUE, length, key) == 0 &&
           nla_nest_end(message, value) == 0 &&
           nla_nest_end(message, element) == 0 &&
           nla_nest_end(message, list) == 0;
}

static void add_element(struct batch *batch, int type, const char *set,
                        const void *key, int length)
{
    struct nl_msg *message = message_new(NFNL_SUBSYS_NFTABLES << 8 | type,
                                         NLM_F_ACK, NFPROTO_BRIDGE, 0);

    if (message &&
        (nla_put_string(message, NFTA_SET_ELEM_LIST_TABLE, batch->table) != 0 ||
         nla_put_string(message, NFTA_SET_ELEM_LIST_SET, set) != 0 ||
         !put_key(message, key, length))) {
        nlmsg_free(message);
        message = NULL;
    }
    add_message(batch, message);
}

static void add_pod(struct batch *batch, int type, const char *name,
                    struct in_addr address)
{
    struct sender sender = {.address = address};

    memcpy(sender.interface, name, strnlen(name, IFNAMSIZ - 1));
    net_mac(sender.mac, NET_MAC_POD, address);
    add_element(batch, type, "senders", &sender, sizeof sender);
    add_element(batch, type, "ports", sender.interface,
                sizeof sender.interface);
}

/* ---- what is answered -----------------------------------------------------
 */

/* Why the first that was refused was, as errno has it; 0: none was. */
static int take_answers(void *bytes, int length, const struct batch *batch,
                        bool *done)
{
    for (struct nlmsghdr *at = bytes; nlmsg_ok(at, length);
         at = nlmsg_next(at, &length)) {
        const struct nlmsgerr *answer = nlmsg_data(at);

        /* What is older belongs to a batch of which one was refused. */
        if (at->nlmsg_type != NLMSG_ERROR || at->nlmsg_seq < batch->first)
            continue;
        if (answer->error != 0)
            return -answer->error;
        *done |= at->nlmsg_seq + 1 == batch->last; /* to the end comes none */
    }
    return 0;
}

static int run(int filter, const struct batch *batch, struct error *why)
{
    _Alignas(struct nlmsghdr) unsigned char bytes[ANSWER_MAX_BYTES];
    bool done = false;

    if (batch->length > sizeof batch->bytes)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED, "no room for it");
    if (send(filter, batch->bytes, batch->length, 0) < 0)
        return error_errno(why, "tell netfilter");
    while (!done) {
        ssize_t got = recv(filter, bytes, sizeof bytes, MSG_DONTWAIT);

        if (got < 0)
            return error_errno(why, "hear netfilter");
        errno = take_answers(bytes, (int)got, batch, &done);
        if (errno != 0)
            return error_errno(why, "netfilter");
    }
    return 0;
}

/* ---- one pod --------------------------------------------------------------
 */

/* Deleting what is not there is an error, adding what is there none: what is to
 * go is added first. */
static int change(struct net *net, bool stays, const char *name,
                  struct in_addr address, struct error *why)
{
    const uint16_t all = NFNL_SUBSYS_NFTABLES;
    struct batch batch = {.table = net->table};
    int code;

    pthread_mutex_lock(&net_filter_turn);
    batch.first = net->last_message + 1;
    batch.last = net->last_message;
    add_message(&batch, message_new(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, all));
    add_pod(&batch, NFT_MSG_NEWSETELEM, name, address);
    if (!stays)
        add_pod(&batch, NFT_MSG_DELSETELEM, name, address);
    add_message(&batch, message_new(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, all));
    net->last_message = batch.last;
    code = run(net->filter, &batch, why);
    pthread_mutex_unlock(&net_filter_turn);
    return code;
}

int net_senders_add(struct net *net, const char *name, struct in_addr address,
                    struct error *why)
{
    return change(net, true, name, address, why) == 0
               ? 0
               : error_wrap(why, "let %s through the packet filter", name);
}

int net_senders_remove(struct net *net, const char *name,
                       struct in_addr address, struct error *why)
{
    return change(net, false, name, address, why) == 0
               ? 0
               : error_wrap(why, "take %s out of the packet filter", name);
}
