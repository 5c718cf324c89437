/* rebalance: the same pods on fewer nodes, or more evenly on the same ones,
 * decided in one call. */
#include "base/clock.h"
#include "client/exit.h"
#include "client/plan.h"
#include "client/plan_show.h"
#include "client/progress.h"
#include "client/verbs.h"

#include <inttypes.h>

enum { LOOK_EVERY_MS = 200, TRIES_MAX = 3 };

struct rebalance {
    struct contact *contact;
    Kontor__V1__RebalanceRequest wanted;
    Kontor__V1__RebalanceRequest__Even even;
    uint32_t nodes_before;
    ProtobufCMessage *plan; /* owned; what was to become even, or NULL */
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
    Kontor__V1__RebalanceRequest request = op->wanted;
    int code = ERROR_FAILED_PRECONDITION;

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

/* How even it is before; the moves are planned once more as they are decided.
 */
static int look_evenness(struct rebalance *op, struct error *why)
{
    Kontor__V1__PlanRequest request = KONTOR__V1__PLAN_REQUEST__INIT;

    if (!op->wanted.even)
        return 0;
    request.rebalance = &op->wanted;
    request.page_size = 1;
    return plan_ask(op->contact, &request, &op->plan, why);
}

static void tell(const struct rebalance *op,
                 const Kontor__V1__RebalanceResponse *done)
{
    const Kontor__V1__PlanResponse *plan =
        (const Kontor__V1__PlanResponse *)op->plan;

    output_line(stdout,
                "%" PRIu64 " pods move; %u nodes had pods, %u have (index "
                "%" PRIu64 ")",
                done->moved, op->nodes_before, done->nodes_after, done->index);
    if (plan)
        plan_show_evenness(plan->even_before, done->even);
}

static int rebalance(struct rebalance *op, bool json, struct error *why)
{
    ProtobufCMessage *response;
    uint64_t leaving;

    if (look(op, &op->nodes_before, &leaving, why) != 0 ||
        look_evenness(op, why) != 0 || decide(op, &response, why) != 0)
        return why->code;
    if (op->wanted.even && !((Kontor__V1__RebalanceResponse *)response)->even) {
        message_free(response); /* the leader is another one since the plan */
        return error_set(why, ERROR_UNIMPLEMENTED,
                         "the leader runs an older program: it does not know "
                         "--even, nothing is moved");
    }
    if (json)
        output_message(response);
    else
        tell(op, (const Kontor__V1__RebalanceResponse *)response);
    output_flush();
    message_free(response);
    return watch(op, why);
}

/* What is asked for. A master that does not know of `even` moves nothing, as
 * cluster.proto has it. */
static void want(struct rebalance *op, uint64_t moves_max, bool even)
{
    uint32_t moves = moves_max > UINT32_MAX ? UINT32_MAX : (uint32_t)moves_max;

    kontor__v1__rebalance_request__init(&op->wanted);
    kontor__v1__rebalance_request__even__init(&op->even);
    op->even.moves_max = moves;
    op->wanted.moves_max = even ? 1 : moves;
    op->wanted.even = even ? &op->even : NULL;
}

static int run(struct words *words)
{
    struct plan_verb verb = PLAN_VERB_INIT;
    struct rebalance op = {0};
    uint64_t moves_max = 0;
    bool dry_run = false;
    bool even = false;
    const struct option options[] = {
        {"even", OPTION_FLAG, &even, NULL,
         "nodes that are as full as each other, instead of fewer"},
        {"max-moves", OPTION_NUMBER, &moves_max, "N",
         "pods to move at most (all that help)"},
        {"dry-run", OPTION_FLAG, &dry_run, NULL, "only say what would move"},
        PLAN_OPTIONS(&verb),
        {0}};
    struct error why;
    int code;

    if (!plan_parse(words, options, &verb))
        return words->exit_code;
    want(&op, moves_max, even);
    verb.request.rebalance = &op.wanted;
    if (dry_run)
        return plan_run(&verb);
    if (contact_open(&op.contact, &verb.to, &why) != 0)
        return exit_report(&why);
    op.deadline_ms = contact_deadline(op.contact);
    progress_init(&op.progress, stderr);
    code = rebalance(&op, verb.json, &why);
    progress_clear(&op.progress);
    message_free(op.plan);
    contact_close(op.contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

const struct verb verb_rebalance = {
    .name = "rebalance",
    .summary = "Move pods so that fewer nodes are used, or all alike",
    .example = "kctl rebalance --max-moves 20 --dry-run\n"
               "kctl rebalance --even",
    .synopsis = "kctl rebalance [--even] [--max-moves N] [--dry-run] "
                "[-o json]",
    .details =
        "A pod that is moved is stopped as by kctl stop and then started on "
        "its new node.\nPods with --restart never, or with rules on where they "
        "may be, stay, and so does\ntheir node. All moves are decided in one "
        "step, or none. The search is a short\none: in a large cluster another "
        "call may find more.\n\nWith --even pods go from the fullest nodes to "
        "the emptiest, counting the most used\nof cpu, memory, disk and net, "
        "as "
        "long as a move does at least as much for it as\nmaking two nodes "
        "alike "
        "that are 2 % apart. Pods with rules move where these allow\nit; those "
        "with --restart never stay, and others on their node may move.",
    .run = run,
};
