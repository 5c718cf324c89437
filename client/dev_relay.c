/* dev_relay.c - the machine's own loopback, seen from the nodes.
 *
 * A registry on 127.0.0.1:5000 of the machine is at the same address in every
 * node's network namespace: the listening sockets are made in there, the
 * connections go on from here. Bytes are passed as they come; while a side
 * does not take them, the other is not read. */
#include "base/fd.h"
#include "base/memory.h"
#include "client/dev_net.h"
#include "client/exit.h"
#include "client/verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { CHUNK_BYTES = 64 << 10, BACKLOG = 128, PAIRS_MAX = 1024 };

struct pair;

/* One of a pair's two connections, and what it sent that is under way. */
struct side {
    uv_tcp_t tcp;
    struct pair *pair;
    struct side *other;
    uv_write_t write;
    uv_shutdown_t shutdown;
    bool ended; /* it sent all it had */
    char bytes[CHUNK_BYTES];
};

struct pair {
    struct side near; /* in the node's namespace */
    struct side far;  /* to the registry */
    uv_connect_t connect;
    unsigned open; /* handles */
    bool closing;
};

static struct sockaddr_in target;
static unsigned pair_count;

static void on_closed(uv_handle_t *handle)
{
    struct side *side = handle->data;
    struct pair *pair = side->pair;

    if (--pair->open == 0) {
        pair_count--;
        free(pair);
    }
}

static void pair_close(struct pair *pair)
{
    if (pair->closing)
        return;
    pair->closing = true;
    uv_close((uv_handle_t *)&pair->near.tcp, on_closed);
    uv_close((uv_handle_t *)&pair->far.tcp, on_closed);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    struct side *side = handle->data;

    (void)wanted;
    *buffer = uv_buf_init(side->bytes, sizeof side->bytes);
}

static void on_read(uv_stream_t *stream, ssize_t length,
                    const uv_buf_t *buffer);

static void on_written(uv_write_t *write, int status)
{
    struct side *side = write->data;

    if (status != 0 || side->pair->closing ||
        uv_read_start((uv_stream_t *)&side->tcp, on_room, on_read) != 0)
        pair_close(side->pair);
}

static void on_shut(uv_shutdown_t *shutdown, int status)
{
    struct side *side = shutdown->data;

    if (status != 0 || (side->ended && side->other->ended))
        pair_close(side->pair);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct side *side = stream->data;
    uv_stream_t *to = (uv_stream_t *)&side->other->tcp;
    uv_buf_t bytes;

    (void)buffer;
    if (length == 0)
        return;
    uv_read_stop(stream);
    if (length == UV_EOF) {
        side->ended = true;
        side->shutdown.data = side;
        if (uv_shutdown(&side->shutdown, to, on_shut) != 0)
            pair_close(side->pair);
        return;
    }
    bytes = uv_buf_init(side->bytes, (unsigned)length);
    side->write.data = side;
    if (length < 0 || uv_write(&side->write, to, &bytes, 1, on_written) != 0)
        pair_close(side->pair);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct pair *pair = connect->data;

    if (status != 0 || pair->closing ||
        uv_read_start((uv_stream_t *)&pair->near.tcp, on_room, on_read) != 0 ||
        uv_read_start((uv_stream_t *)&pair->far.tcp, on_room, on_read) != 0)
        pair_close(pair);
}

static void side_init(struct side *side, struct pair *pair, uv_loop_t *loop)
{
    uv_tcp_init(loop, &side->tcp);
    side->tcp.data = side;
    side->pair = pair;
    side->other = side == &pair->near ? &pair->far : &pair->near;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct pair *pair;

    if (status != 0)
        return;
    pair = memory_new(sizeof *pair);
    pair->open = 2;
    pair_count++;
    side_init(&pair->near, pair, listener->loop);
    side_init(&pair->far, pair, listener->loop);
    pair->connect.data = pair;
    if (uv_accept(listener, (uv_stream_t *)&pair->near.tcp) != 0 ||
        pair_count > PAIRS_MAX ||
        uv_tcp_connect(&pair->connect, &pair->far.tcp,
                       (const struct sockaddr *)&target, on_connected) != 0)
        pair_close(pair);
}

/* A bound socket in a namespace; the thread comes back. */
static int bind_in(const char *netns, int *out, struct error *why)
{
    CLEANUP(fd_close)
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int one = 1;
    int fd;

    if (home < 0)
        return error_errno(why, "open /proc/thread-self/ns/net");
    if (dev_net_enter(netns, why) != 0)
        return (int)why->code;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (setns(home, CLONE_NEWNET) != 0)
        abort(); /* we would connect in the wrong namespace */
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *)&target, sizeof target) != 0) {
        error_errno(why, "listen on port %u in %s", ntohs(target.sin_port),
                    netns);
        fd_close(&fd);
        return (int)why->code;
    }
    *out = fd;
    return 0;
}

static int serve(const struct operands *operands, struct error *why)
{
    uv_loop_t loop;
    uv_tcp_t *listeners =
        memory_array((size_t)operands->count, sizeof *listeners);

    if (uv_loop_init(&loop) != 0)
        return error_set(why, ERROR_INTERNAL, "open a loop");
    for (int i = 0; i < operands->count; i++) {
        int fd = -1;

        if (bind_in(operands->values[i], &fd, why) != 0)
            return (int)why->code;
        uv_tcp_init(&loop, &listeners[i]);
        if (uv_tcp_open(&listeners[i], fd) != 0 ||
            uv_listen((uv_stream_t *)&listeners[i], BACKLOG, on_connection) !=
                0)
            return error_set(why, ERROR_INTERNAL, "listen in %s",
                             operands->values[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT); /* until SIGTERM */
    return 0;
}

static int run(struct words *words)
{
    uint64_t port = 5000;
    const struct option options[] = {
        {"port", OPTION_NUMBER, &port, "PORT", "of 127.0.0.1 (5000)"}, {0}};
    struct error why;

    if (!verb_parse(words, options))
        return words->exit_code;
    if (port < 1 || port > UINT16_MAX) {
        error_set(&why, ERROR_INVALID_ARGUMENT, "--port: from 1 to 65535");
        return exit_report(&why);
    }
    target = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
    };
    return serve(&words->operands, &why) == 0 ? EXIT_CODE_DONE
                                              : exit_report(&why);
}

const struct verb verb_dev_relay = {
    .name = "dev relay",
    .summary = "Pass a port of the nodes' loopback on to the machine's",
    .example = "kctl dev relay --port 5000 kdev-n1 kdev-n2",
    .synopsis = "kctl dev relay --port PORT NETNS...",
    .details = "Started by kctl dev up.",
    .operands_min = 1,
    .operands_max = OPTION_STRINGS_MAX,
    .hidden = true,
    .run = run,
};
