#include "test/linear/linear.h"

#include "base/memory.h"
#include "base/random.h"

#include <string.h>

enum { SLOTS_MIN = 64, SEED = 1 };

/* ---- what has been looked at ----------------------------------------------
 */

/* A set of operations, as the xor of a number drawn for each (Zobrist 1970).
 * That two sets of a search have one mark is less likely than 2^-80. */
struct mark {
    uint64_t high;
    uint64_t low;
};

/* Operations done, and the value that the register then has. */
struct state {
    struct mark done; /* 0: none, and no state is here */
    uint64_t value;
};

/* Open addressing. */
struct seen {
    struct state *states; /* owned */
    size_t slots;         /* a power of two */
    size_t count;
};

static bool is_empty(const struct state *state)
{
    return state->done.high == 0 && state->done.low == 0;
}

static bool is_same(const struct state *a, const struct state *b)
{
    return a->done.high == b->done.high && a->done.low == b->done.low &&
           a->value == b->value;
}

static void seen_init(struct seen *seen, size_t slots)
{
    *seen = (struct seen){
        .states = memory_array(slots, sizeof *seen->states),
        .slots = slots,
    };
}

static bool seen_insert(struct seen *seen, const struct state *state)
{
    size_t at = state->done.low & (seen->slots - 1);

    for (; !is_empty(&seen->states[at]); at = (at + 1) & (seen->slots - 1))
        if (is_same(&seen->states[at], state))
            return false;
    seen->states[at] = *state;
    seen->count++;
    return true;
}

/* False: `state` was there. */
static bool seen_add(struct seen *seen, const struct state *state)
{
    if (seen->count * 2 >= seen->slots) {
        struct seen larger;

        seen_init(&larger, seen->slots * 2);
        for (size_t i = 0; i < seen->slots; i++)
            if (!is_empty(&seen->states[i]))
                seen_insert(&larger, &seen->states[i]);
        free(seen->states);
        *seen = larger;
    }
    return seen_insert(seen, state);
}

/* ---- the search -----------------------------------------------------------
 */

enum { HEAD = 0, NONE = 0 };

/* An operation's call or return. They form a list in order of time, by their
 * positions, beginning at HEAD; those of what is done are taken out of it. */
struct moment {
    size_t next; /* NONE: it is the last */
    size_t previous;
    size_t operation;
    size_t returns; /* a call's return; NONE: it is one, or it is pending */
    bool is_call;
    struct mark mark; /* a call's: of its operation */
    uint64_t at_ns;
};

struct search {
    const struct linear_operation *operations; /* borrowed */
    struct moment *moments;                    /* owned; [0] is the head */
    size_t *done;    /* owned; calls, in the order they were done in */
    size_t depth;    /* how many */
    size_t required; /* operations not done that returned */
    struct state state;
    struct seen seen;
};

/* What meets in time is concurrent: calls go first. */
static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left;
    const struct moment *b = right;

    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    if (a->is_call != b->is_call)
        return a->is_call ? -1 : 1;
    return (a->operation > b->operation) - (a->operation < b->operation);
}

/* The calls and returns of all, in order of time. Returns how many, with the
 * head. */
static size_t lay_out(struct moment *moments,
                      const struct linear_operation *operations, size_t count)
{
    struct random random = {SEED};
    size_t used = 1;

    for (size_t i = 0; i < count; i++) {
        moments[used++] = (struct moment){
            .operation = i,
            .is_call = true,
            .mark = {random_next(&random), random_next(&random)},
            .at_ns = operations[i].invoked_ns,
        };
        if (operations[i].returned_ns != LINEAR_PENDING)
            moments[used++] = (struct moment){
                .operation = i, .at_ns = operations[i].returned_ns};
    }
    qsort(moments + 1, used - 1, sizeof *moments, compare_moments);
    return used;
}

static void search_init(struct search *search,
                        const struct linear_operation *operations, size_t count)
{
    size_t *calls = memory_array(count + 1, sizeof *calls);
    size_t used;

    *search = (struct search){
        .operations = operations,
        .moments = memory_array(2 * count + 1, sizeof *search->moments),
        .done = memory_array(count + 1, sizeof *search->done),
    };
    used = lay_out(search->moments, operations, count);
    for (size_t i = 1; i < used; i++) {
        struct moment *moment = &search->moments[i];

        search->moments[i - 1].next = i;
        moment->previous = i - 1;
        if (moment->is_call) {
            calls[moment->operation] = i;
        } else {
            search->moments[calls[moment->operation]].returns = i;
            search->required++;
        }
    }
    seen_init(&search->seen, SLOTS_MIN);
    free(calls);
}

static void search_fini(struct search *search)
{
    free(search->moments);
    free(search->done);
    free(search->seen.states);
}

static void take_out(struct moment *moments, size_t at)
{
    moments[moments[at].previous].next = moments[at].next;
    if (moments[at].next != NONE)
        moments[moments[at].next].previous = moments[at].previous;
}

static void put_back(struct moment *moments, size_t at)
{
    moments[moments[at].previous].next = at;
    if (moments[at].next != NONE)
        moments[moments[at].next].previous = at;
}

/* The set with one operation more, or, of those in it, one less. */
static struct mark added(struct mark set, struct mark one)
{
    return (struct mark){set.high ^ one.high, set.low ^ one.low};
}

/* Do the operation of a call next; false when it cannot be, or when that leads
 * to where the search was before. */
static bool advance(struct search *search, size_t call)
{
    struct moment *moment = &search->moments[call];
    const struct linear_operation *operation =
        &search->operations[moment->operation];
    struct state next = {.done = added(search->state.done, moment->mark),
                         .value = operation->value};

    if (operation->is_read && operation->value != search->state.value)
        return false;
    if (!seen_add(&search->seen, &next))
        return false;
    search->state = next;
    search->done[search->depth++] = call;
    take_out(search->moments, call);
    if (moment->returns != NONE) {
        take_out(search->moments, moment->returns);
        search->required--;
    }
    return true;
}

/* By the operations done. */
static uint64_t last_written(const struct search *search)
{
    for (size_t i = search->depth; i > 0; i--) {
        const struct moment *call = &search->moments[search->done[i - 1]];

        if (!search->operations[call->operation].is_read)
            return search->operations[call->operation].value;
    }
    return 0;
}

/* Take the last operation back and return its call; NONE: there is none. */
static size_t retreat(struct search *search)
{
    struct moment *moments = search->moments;
    size_t call;

    if (search->depth == 0)
        return NONE;
    call = search->done[--search->depth];
    if (moments[call].returns != NONE) {
        put_back(moments, moments[call].returns);
        search->required++;
    }
    put_back(moments, call);
    search->state.done = added(search->state.done, moments[call].mark);
    search->state.value = last_written(search);
    return call;
}

bool linear_check(const struct linear_operation *operations, size_t count)
{
    struct search search;
    size_t at;

    search_init(&search, operations, count);
    at = search.moments[HEAD].next;
    while (search.required > 0) {
        /* Something is required: before the list ends its return comes. */
        if (!search.moments[at].is_call) {
            at = retreat(&search);
            if (at == NONE)
                break;
            at = search.moments[at].next;
        } else if (advance(&search, at)) {
            at = search.moments[HEAD].next;
        } else {
            at = search.moments[at].next;
        }
    }
    at = search.required;
    search_fini(&search);
    return at == 0;
}

/* ---- what does not matter -------------------------------------------------
 */

static int compare_invocations(const void *left, const void *right)
{
    const struct linear_operation *a = left;
    const struct linear_operation *b = right;

    if (a->invoked_ns != b->invoked_ns)
        return a->invoked_ns < b->invoked_ns ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

/* What was seen until `until_ns`: writes under way are pending then, reads
 * are not there. Returns how many are in `out`. */
static size_t begin_until(struct linear_operation *out,
                          const struct linear_operation *operations,
                          size_t count, uint64_t until_ns)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        bool under_way = operations[i].returned_ns > until_ns;

        if (operations[i].invoked_ns > until_ns ||
            (under_way && operations[i].is_read))
            continue;
        out[used] = operations[i];
        if (under_way)
            out[used].returned_ns = LINEAR_PENDING;
        used++;
    }
    return used;
}

/* The first return by which the history is not linearizable. What is so until
 * some time is so until any later one: it is searched by halves. */
static uint64_t find_end(const struct linear_operation *operations,
                         size_t count)
{
    struct linear_operation *some = memory_array(count, sizeof *some);
    uint64_t good_ns = 0;
    uint64_t bad_ns = 0;

    for (size_t i = 0; i < count; i++)
        if (operations[i].returned_ns != LINEAR_PENDING &&
            operations[i].returned_ns > bad_ns)
            bad_ns = operations[i].returned_ns;
    while (bad_ns - good_ns > 1) {
        uint64_t middle_ns = good_ns + (bad_ns - good_ns) / 2;
        size_t used = begin_until(some, operations, count, middle_ns);

        if (linear_check(some, used))
            good_ns = middle_ns;
        else
            bad_ns = middle_ns;
    }
    free(some);
    return bad_ns;
}

/* A read of what nobody wrote would prove nothing. */
static bool is_read_by_another(const struct linear_operation *operations,
                               size_t count, size_t write)
{
    for (size_t i = 0; i < count; i++)
        if (operations[i].is_read &&
            operations[i].value == operations[write].value)
            return true;
    return false;
}

static void remove_at(struct linear_operation *operations, size_t count,
                      size_t at)
{
    memmove(&operations[at], &operations[at + 1],
            (count - at - 1) * sizeof *operations);
}

size_t linear_shrink(struct linear_operation *operations, size_t count)
{
    uint64_t end_ns = find_end(operations, count);
    bool removed = true;

    count = begin_until(operations, operations, count, end_ns);
    qsort(operations, count, sizeof *operations, compare_invocations);
    while (removed) {
        removed = false;
        for (size_t i = count; i > 0; i--) {
            struct linear_operation kept = operations[i - 1];

            if (!kept.is_read && is_read_by_another(operations, count, i - 1))
                continue;
            remove_at(operations, count, i - 1);
            if (!linear_check(operations, count - 1)) {
                count--;
                removed = true;
                continue;
            }
            memmove(&operations[i], &operations[i - 1],
                    (count - i) * sizeof *operations);
            operations[i - 1] = kept;
        }
    }
    return count;
}
