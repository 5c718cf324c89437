/* shape.c - a token bucket on an interface, tc-tbf(8).
 *
 * The message is built here and not by libnl's tbf module, which holds rates
 * in an int of bytes: less than 18 Gbit/s. */
#include "node/net/parts.h"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

enum {
    BURST_MIN_BYTES = 65536,   /* one packet as segmentation offload makes */
    BURST_MAX_BYTES = 4 << 20, /* them, at least */
    BURST_MS = 5,
    LATENCY_MS = 50, /* of the rate may wait, beside one burst */
};

static uint32_t clamp_u32(uint64_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : (uint32_t)value;
}

static int put_options(struct nl_msg *message, uint64_t bytes)
{
    uint32_t burst =
        clamp_u32(bytes * BURST_MS / 1000, BURST_MIN_BYTES, BURST_MAX_BYTES);
    struct tc_tbf_qopt parameters = {
        .rate = {.linklayer = TC_LINKLAYER_ETHERNET,
                 .rate = clamp_u32(bytes, 1, UINT32_MAX)},
        .limit = clamp_u32(bytes * LATENCY_MS / 1000 + burst, 0, INT32_MAX),
    };
    struct nlattr *options = nla_nest_start(message, TCA_OPTIONS);

    if (!options || nla_put(message, TCA_TBF_PARMS, (int)sizeof parameters,
                            &parameters) != 0)
        return -1;
    if (bytes > UINT32_MAX && nla_put_u64(message, TCA_TBF_RATE64, bytes) != 0)
        return -1;
    if (nla_put_u32(message, TCA_TBF_BURST, burst) != 0)
        return -1;
    return nla_nest_end(message, options);
}

int net_shape(struct nl_sock *socket, int index, uint64_t bits,
              struct error *why)
{
    struct tcmsg header = {
        .tcm_family = AF_UNSPEC,
        .tcm_ifindex = index,
        .tcm_handle = 1 << 16,
        .tcm_parent = TC_H_ROOT,
    };
    struct nl_msg *message = nlmsg_alloc_simple(
        RTM_NEWQDISC, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE);
    int code;

    if (!message ||
        nlmsg_append(message, &header, sizeof header, NLMSG_ALIGNTO) != 0 ||
        nla_put_string(message, TCA_KIND, "tbf") != 0 ||
        put_options(message, bits / 8 ? bits / 8 : 1) != 0) {
        nlmsg_free(message);
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "limit a network rate: no memory for the message");
    }
    code = nl_send_sync(socket, message); /* frees the message */
    if (code < 0)
        return netlink_error(why, code, "limit interface %d to %llu bit/s",
                             index, (unsigned long long)bits);
    return 0;
}
