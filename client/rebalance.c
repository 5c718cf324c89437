/* rebalance: the same pods on fewer nodes, decided in one call. */
#include "base/clock.h"
#include "client/exit.h"
#include "client/plan.h"
#include "client/progress.h"
#include "client/verbs.h"

#include <inttypes.h>

enum { LOOK_EVERY_MS = 200, TRIES_MAX = 3 };

struct rebalance {
    struct contact *contact;
    uint32_t moves_max;
    uint32_t nodes_before;
    uint64_t deadline_ms;
    struct progress progress;
};

/* Nodes that have pods, and pods that have yet to leave one. */
static int look(struct rebalance *op, uint32_t *nodes, uint64_t *leaving,
                struct error *why)
{
    Kontor__V1__ListNodesRequest request = KONTOR__V1__LIST_NODES_REQUEST__INIT;
    const Kontor__V1__ListNodesResponse *list;
    ProtobufCMessage *response;

    if (contact_call(op->contact, "ListNodes", &request.base, &response, why) !=
        0)
        return why->code;
    list = (const Kontor__V1__ListNodesResponse *)response;
    *nodes = 0;
    *leaving = 0;
    for (size_t i = 0; i < list->n_nodes; i++) {
        *nodes += list->nodes[i]->pods > 0;
        *leaving += list->nodes[i]->leaving;
    }
    message_free(response);
    return 0;
}

/* All of the moves or none: when something changed since they were planned,
 * they are planned again. */
static int decide(struct rebalance *op, ProtobufCMessage **response,
                  struct error *why)
{
    Kontor__V1__RebalanceRequest request = KONTOR__V1__REBALANCE_REQUEST__INIT;
    int code = ERROR_FAILED_PRECONDITION;

    request.moves_max = op->moves_max;
    for (int i = 0; i < TRIES_MAX && code == ERROR_FAILED_PRECONDITION; i++) {
        Kontor__V1__RequestId id = contact_request_id();

        request.request_id = &id;
        code = contact_call(op->contact, "Rebalance", &request.base, response,
                            why);
    }
    return code;
}

/* Until what was moved has ended where it was. */
static int watch(struct rebalance *op, struct error *why)
{
    char line[PROGRESS_LINE_MAX];
    uint32_t nodes;
    uint64_t leaving = 0;
    uint64_t now_ms;

    while (look(op, &nodes, &leaving, why) == 0) {
        if (leaving == 0)
            return 0;
        now_ms = clock_monotonic_ms();
        if (now_ms >= op->deadline_ms)
            return error_set(why, ERROR_DEADLINE_EXCEEDED,
                             "%" PRIu64 " pods have yet to leave their nodes",
                             leaving);
        snprintf(line, sizeof line, "%" PRIu64 " pods have yet to move",
                 leaving);
        progress_update(&op->progress, line, now_ms);
        while (!contact_expired(now_ms + LOOK_EVERY_MS))
            if (contact_wait(op->contact, now_ms + LOOK_EVERY_MS, why) ==
                ERROR_CANCELLED)
                return why->code;
    }
    return why->code;
}

static int rebalance(struct rebalance *op, bool json, struct error *why)
{
    const Kontor__V1__RebalanceResponse *done;
    ProtobufCMessage *response;
    uint64_t leaving;

    if (look(op, &op->nodes_before, &leaving, why) != 0 ||
        decide(op, &response, why) != 0)
        return why->code;
    done = (const Kontor__V1__RebalanceResponse *)response;
    if (json)
        output_message(response);
    else
        output_line(stdout,
                    "%" PRIu64 " pods move; %u nodes had pods, %u have (index "
                    "%" PRIu64 ")",
                    done->moved, op->nodes_before, done->nodes_after,
                    done->index);
    output_flush();
    message_free(response);
    return watch(op, why);
}

static int run(struct words *words)
{
    struct plan_verb verb = PLAN_VERB_INIT;
    struct rebalance op = {0};
    Kontor__V1__RebalanceRequest wanted = KONTOR__V1__REBALANCE_REQUEST__INIT;
    uint64_t moves_max = 0;
    bool dry_run = false;
    const struct option options[] = {
        {"max-moves", OPTION_NUMBER, &moves_max, "N",
         "pods to move at most (all that help)"},
        {"dry-run", OPTION_FLAG, &dry_run, NULL, "only say what would move"},
        PLAN_OPTIONS(&verb),
        {0}};
    struct error why;
    int code;

    if (!plan_parse(words, options, &verb))
        return words->exit_code;
    op.moves_max = moves_max > UINT32_MAX ? UINT32_MAX : (uint32_t)moves_max;
    wanted.moves_max = op.moves_max;
    verb.request.rebalance = &wanted;
    if (dry_run)
        return plan_run(&verb);
    if (contact_open(&op.contact, &verb.to, &why) != 0)
        return exit_report(&why);
    op.deadline_ms = contact_deadline(op.contact);
    progress_init(&op.progress, stderr);
    code = rebalance(&op, verb.json, &why);
    progress_clear(&op.progress);
    contact_close(op.contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_rebalance = {
    .name = "rebalance",
    .summary = "Move pods so that fewer nodes are used",
    .example = "kctl rebalance --max-moves 20 --dry-run",
    .synopsis = "kctl rebalance [--max-moves N] [--dry-run] [-o json]",
    .details =
        "A pod that is moved is stopped as by kctl stop and then started on "
        "its new node.\nPods with --restart never, or with rules on where they "
        "may be, stay, and so does\ntheir node. All moves are decided in one "
        "step, or none. The search is a short\none: in a large cluster another "
        "call may find more.",
    .run = run,
};
