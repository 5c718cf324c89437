/* The log in memory, against a plain array through many random steps. */
#include "base/random.h"
#include "raft/core/log.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { STEPS = 20000, INDEX_MAX = STEPS + 1 };

struct model {
    uint64_t terms[INDEX_MAX + 1]; /* by index */
    uint64_t last;
    uint64_t snapshot;
};

static void step(struct random *random, struct raft_log *log,
                 struct model *model)
{
    uint64_t choice = random_below(random, 100);
    uint64_t first = log->first_index;

    if (choice < 90) {
        uint64_t newest =
            model->terms[model->last] ? model->terms[model->last] : 1;
        struct raft_entry entry = {.term =
                                       newest + (random_below(random, 6) == 0)};

        raft_log_append(log, &entry);
        model->terms[++model->last] = entry.term;
    } else if (choice < 97 && model->last > model->snapshot) {
        uint64_t from = model->snapshot + 1 +
                        random_below(random, model->last - model->snapshot);

        raft_log_truncate(log, from);
        model->last = from - 1;
    } else if (choice >= 97 && model->last > model->snapshot) {
        uint64_t index = model->snapshot + 1 +
                         random_below(random, model->last - model->snapshot);

        raft_log_compact(log, index,
                         first + random_below(random, index + 2 - first));
        model->snapshot = index;
    }
}

/* The largest index <= `index`, not before the base, with term <= `term`. */
static uint64_t model_floor(const struct model *model, uint64_t base,
                            uint64_t index, uint64_t term)
{
    if (index > model->last)
        index = model->last;
    while (index > base && model->terms[index] > term)
        index--;
    return index;
}

static void check(struct random *random, const struct raft_log *log,
                  const struct model *model)
{
    uint64_t index = random_below(random, model->last + 3);
    uint64_t limit = random_below(random, model->terms[model->last] + 2);
    uint64_t term = UINT64_MAX;
    bool known = raft_log_term(log, index, &term);

    assert_int_equal(raft_log_last(log), model->last);
    assert_int_equal(raft_log_last_term(log), model->terms[model->last]);
    assert_int_equal(log->snapshot_index, model->snapshot);
    if (index > model->last)
        assert_false(known);
    if (index + 1 >= log->first_index && index <= model->last)
        assert_true(known);
    if (known)
        assert_int_equal(term, model->terms[index]);
    if (index + 1 >= log->first_index)
        assert_int_equal(
            raft_log_floor(log, index, limit),
            model_floor(model, log->first_index - 1, index, limit));
}

static void the_log_is_what_it_should_be(void **state)
{
    static struct model model;

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct random random = {.state = seed};
        struct raft_log log;

        model = (struct model){.last = 0};
        raft_log_init(&log, 1);
        for (int i = 0; i < STEPS; i++) {
            step(&random, &log, &model);
            check(&random, &log, &model);
        }
        raft_log_fini(&log);
    }
}

/* A restart that kept a tail before its snapshot does not know the term
 * before that tail. */
static void the_term_before_a_tail_is_unknown(void **state)
{
    struct raft_log log;
    uint64_t term;

    (void)state;
    raft_log_init(&log, 5);
    raft_log_append(&log, &(struct raft_entry){.term = 2});
    raft_log_append(&log, &(struct raft_entry){.term = 3});
    log.snapshot_index = 5;
    log.snapshot_term = 2;
    assert_false(raft_log_term(&log, 4, &term));
    assert_true(raft_log_term(&log, 5, &term));
    assert_int_equal(term, 2);
    assert_true(raft_log_term(&log, 0, &term));
    assert_int_equal(term, 0);
    raft_log_fini(&log);
}

static void payloads_are_counted(void **state)
{
    struct raft_payload *payload = raft_payload_new("abc", 3);
    struct raft_entry entry = {.term = 1, .payload = payload};
    struct raft_log log;

    (void)state;
    raft_log_init(&log, 1);
    raft_log_append(&log, &entry);
    raft_log_append(&log, &entry);
    assert_int_equal(payload->references, 3);
    raft_log_truncate(&log, 2);
    assert_int_equal(payload->references, 2);
    raft_log_reset(&log, 9, 4);
    assert_int_equal(payload->references, 1);
    assert_int_equal(raft_log_last(&log), 9);
    assert_int_equal(raft_log_last_term(&log), 4);
    raft_log_fini(&log);
    raft_payload_drop(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_is_what_it_should_be),
        cmocka_unit_test(the_term_before_a_tail_is_unknown),
        cmocka_unit_test(payloads_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
