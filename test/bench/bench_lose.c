/* bench_lose.c - how soon what ran on a machine that vanished is elsewhere.
 *
 *   bench_lose --pki DIR --at HOST:PORT --board FILE --node 1
 *
 * One of the hollow nodes (hollow.h) says nothing more and answers nothing.
 * Prints, in milliseconds: from there to the leader's decision that it is lost
 * (as the command's own time has it), from that to the first and to the last
 * order for one of its pods, from the first of all to the last; and how many
 * pods these were. */
#include "base/clock.h"
#include "base/options.h"
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"
#include "test/bench/hollow.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct lose {
    struct hollow_board *board;
    struct channel *channel;
    char node[16];
    uint64_t lost_wall_ms; /* 0: not yet */
    uint64_t unplaced;
    bool watching;
};

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    struct lose *lose = call_data(call);
    const Kontor__V1__Event *event = (const Kontor__V1__Event *)message;

    if (event->kind == KONTOR__V1__EVENT_KIND__EVENT_NODE_STATE &&
        strcmp(event->subject, lose->node) == 0 &&
        strncmp(event->message, "lost", 4) == 0)
        lose->lost_wall_ms = event->time_ms;
    if (event->kind == KONTOR__V1__EVENT_KIND__EVENT_POD_UNPLACED)
        lose->unplaced++;
}

static void on_ended(struct call *call, const struct error *why)
{
    struct lose *lose = call_data(call);

    fprintf(stderr, "bench_lose: watch: %s\n", why->message);
    lose->watching = false;
}

static void watch(struct lose *lose)
{
    static const struct call_events events = {.message = on_message,
                                              .ended = on_ended};
    Kontor__V1__WatchRequest message = KONTOR__V1__WATCH_REQUEST__INIT;

    message.from_now = true;
    lose->watching = true;
    channel_call_unary(lose->channel,
                       &(struct call_request){
                           .path = "/kontor.v1.Cluster/Watch",
                           .response = &kontor__v1__event__descriptor,
                           .events = &events,
                           .data = lose,
                       },
                       &message.base);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* the loop looks at the board again */
}

static int run(struct lose *lose, uint64_t number)
{
    struct hollow_board *board = lose->board;
    uint64_t vanished_wall_ms;
    uv_timer_t tick;

    uv_timer_init(uv_default_loop(), &tick);
    uv_timer_start(&tick, on_tick, 1, 1);
    watch(lose);
    while (!channel_connected(lose->channel))
        uv_run(uv_default_loop(), UV_RUN_ONCE);
    board->moved = 0;
    vanished_wall_ms = clock_wall_ms();
    board->vanished = number;
    while (lose->watching && (lose->lost_wall_ms == 0 || lose->unplaced == 0 ||
                              board->moved < lose->unplaced))
        uv_run(uv_default_loop(), UV_RUN_ONCE);
    board->vanished = 0; /* the machine is back */
    if (!lose->watching)
        return 1;
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
           lose->lost_wall_ms - vanished_wall_ms,
           board->moved_first_wall_ms - lose->lost_wall_ms,
           board->moved_last_wall_ms - lose->lost_wall_ms,
           board->moved_last_wall_ms - vanished_wall_ms, lose->unplaced);
    return 0;
}

int main(int argc, char **argv)
{
    struct lose lose = {0};
    const char *pki = NULL;
    const char *at = NULL;
    const char *board = NULL;
    uint64_t number = 1;
    const struct option table[] = {
        {"pki", OPTION_STRING, &pki, "DIR", "admin's certificate"},
        {"at", OPTION_STRING, &at, "HOST:PORT", "the leader"},
        {"board", OPTION_STRING, &board, "FILE", "of the hollow nodes"},
        {"node", OPTION_NUMBER, &number, "N", "which one vanishes (1)"},
        {.name = NULL},
    };
    struct channel_config config = {.role = RPC_ROLE_MASTER};
    struct operands operands;
    struct error why;
    bool help;

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0 || help ||
        !pki || !at || !board) {
        options_print(table, stdout);
        return 2;
    }
    if (tls_context_new(&config.context, pki, "admin", &why) != 0 ||
        hollow_board_open(&lose.board, board, false, &why) != 0) {
        fprintf(stderr, "bench_lose: %s\n", why.message);
        return 1;
    }
    snprintf(lose.node, sizeof lose.node, "n%" PRIu64, number);
    config.address = at;
    lose.channel = channel_open(uv_default_loop(), &config);
    return run(&lose, number);
}
