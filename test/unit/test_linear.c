/* The checker of histories: by hand, against every order of small ones, and on
 * files. An operation is "w2 1-3" (writes 2 from 1 until 3), "r0 4-5" (reads
 * nothing), "w1 1-?" (nobody knows whether and when). */
#include "base/lang.h"
#include "base/memory.h"
#include "base/random.h"
#include "test/linear/history.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

enum { OPERATIONS_MAX = 16 };

static size_t parse(struct linear_operation out[OPERATIONS_MAX],
                    const char *text)
{
    size_t count = 0;
    int length;

    for (; *text; text += length) {
        char kind;
        unsigned value;
        unsigned from;
        char until[8];

        assert_int_equal(sscanf(text, " %c%u %u-%7[0-9?] %n", &kind, &value,
                                &from, until, &length),
                         4);
        out[count] = (struct linear_operation){
            .is_read = kind == 'r',
            .value = value,
            .invoked_ns = from,
            .returned_ns =
                until[0] == '?' ? LINEAR_PENDING : strtoull(until, NULL, 10),
            .line = (unsigned)count + 1,
        };
        count++;
    }
    return count;
}

static const struct {
    const char *rule;
    const char *history;
    bool linear;
} rules[] = {
    {"nothing happened", "", true},
    {"nothing is there at first", "r0 1-2", true},
    {"what was written is read", "w1 1-2 r1 3-4", true},
    {"a write counts at some moment while it is under way",
     "w1 1-10 r0 2-3 r1 4-5", true},
    {"what meets in time is concurrent", "w1 1-3 r0 3-4", true},
    {"the last of two writes is read", "w1 1-2 w2 3-4 r2 5-6", true},
    {"of two writes at a time either is last", "w1 1-5 w2 2-4 r1 6-7", true},
    {"readers at a time may see before and after", "w1 1-9 r1 2-8 r0 3-7",
     true},
    {"a write without an answer may never be", "w1 1-? r0 5-6 r0 7-8", true},
    {"or be at once", "w1 1-? r1 2-3", true},
    {"or late", "w1 1-? r0 5-6 w2 7-8 r2 9-10 r1 11-12", true},
    {"the same value again", "w1 1-2 w2 3-4 w1 5-6 r1 7-8", true},

    {"a stale read", "w1 1-2 w2 3-4 r1 5-6", false},
    {"a write that is lost", "w1 1-2 r0 3-4", false},
    {"read before it was written", "r1 1-2 w1 3-4", false},
    {"what nobody wrote", "w1 1-2 r2 3-4", false},
    {"seen and gone", "w1 1-10 r1 2-3 r0 4-5", false},
    {"seen without an answer, and gone", "w1 1-? r1 2-3 r0 4-5", false},
    {"readers disagree on who was last", "w1 1-5 w2 1-5 r1 6-7 r2 8-9", false},
    {"a write without an answer is done once",
     "w1 1-? w2 2-3 r1 4-5 w2 6-7 r2 8-9 r1 10-11", false},
};

static void by_hand(void **state)
{
    struct linear_operation operations[OPERATIONS_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        size_t count = parse(operations, rules[i].history);

        if (linear_check(operations, count) != rules[i].linear)
            fail_msg("%s: %s", rules[i].rule, rules[i].history);
    }
}

static const struct {
    const char *history;
    const char *left;
} shrunk[] = {
    {"w1 1-2 r1 3-4 r1 5-6 w2 7-8 r2 9-10 r1 11-12 r2 13-14",
     "w1 1-2 w2 7-8 r1 11-12"},
    {"w1 1-2 w2 3-4 w3 5-6 r0 7-8", "w1 1-2 r0 7-8"},
    {"w1 1-2 r1 3-4 r7 5-6 w2 7-8", "r7 5-6"},
    {"w1 1-30 r0 2-3 r1 4-5 r0 6-7 r1 8-9", "w1 1-? r1 4-5 r0 6-7"},
};

static void what_proves_it_is_left(void **state)
{
    struct linear_operation operations[OPERATIONS_MAX];
    struct linear_operation wanted[OPERATIONS_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(shrunk); i++) {
        size_t count = parse(operations, shrunk[i].history);
        size_t want = parse(wanted, shrunk[i].left);
        size_t left = linear_shrink(operations, count);
        bool same = left == want;

        for (size_t j = 0; j < left && same; j++)
            same = operations[j].is_read == wanted[j].is_read &&
                   operations[j].value == wanted[j].value &&
                   operations[j].invoked_ns == wanted[j].invoked_ns &&
                   operations[j].returned_ns == wanted[j].returned_ns;
        if (!same)
            fail_msg("of %s not %s is left", shrunk[i].history, shrunk[i].left);
    }
}

/* ---- against every order --------------------------------------------------
 */

/* Can those not in `done` follow, the register holding `value`? By trying
 * them all, without any cleverness. */
static bool any_order(const struct linear_operation *operations, size_t count,
                      unsigned done, uint64_t value)
{
    bool over = true;

    for (size_t i = 0; i < count; i++)
        if (!(done >> i & 1) && operations[i].returned_ns != LINEAR_PENDING)
            over = false;
    if (over)
        return true;
    for (size_t i = 0; i < count; i++) {
        bool may = !(done >> i & 1) &&
                   (!operations[i].is_read || operations[i].value == value);

        for (size_t j = 0; j < count && may; j++)
            may = (done >> j & 1) ||
                  operations[j].returned_ns >= operations[i].invoked_ns;
        if (may &&
            any_order(operations, count, done | 1U << i, operations[i].value))
            return true;
    }
    return false;
}

static size_t draw(struct linear_operation *out, struct random *random)
{
    size_t count = 1 + random_below(random, 7);

    for (size_t i = 0; i < count; i++) {
        uint64_t from = random_below(random, 12);
        bool is_read = random_below(random, 2) == 1;
        bool is_pending = !is_read && random_below(random, 5) == 0;

        out[i] = (struct linear_operation){
            .is_read = is_read,
            .value =
                is_read ? random_below(random, 3) : 1 + random_below(random, 2),
            .invoked_ns = from,
            .returned_ns = is_pending ? LINEAR_PENDING
                                      : from + 1 + random_below(random, 6),
            .line = (unsigned)i + 1,
        };
    }
    return count;
}

static void as_every_order_says(void **state)
{
    struct linear_operation operations[OPERATIONS_MAX];
    struct random random = {7};
    unsigned good = 0;
    unsigned bad = 0;

    (void)state;
    for (int i = 0; i < 30000; i++) {
        size_t count = draw(operations, &random);
        bool linear = any_order(operations, count, 0, 0);

        assert_int_equal(linear_check(operations, count), linear);
        good += linear;
        bad += !linear;
        if (linear)
            continue;
        count = linear_shrink(operations, count);
        assert_false(any_order(operations, count, 0, 0));
    }
    assert_true(good > 3000 && bad > 3000);
}

/* Eight clients at a time on one register: a long history takes no longer per
 * operation than a short one. */
static void a_long_one(void **state)
{
    enum { LONG = 20000, CLIENTS = 8 };
    struct linear_operation *operations =
        memory_array(LONG, sizeof *operations);
    uint64_t value = 0;

    (void)state;
    for (uint64_t i = 0; i < LONG; i++) {
        bool is_read = i % 3 != 0;

        value = is_read ? value : i + 1;
        operations[i] = (struct linear_operation){
            .is_read = is_read,
            .value = value,
            .invoked_ns = 10 * i + 1,
            .returned_ns = 10 * i + 10 * CLIENTS,
        };
    }
    assert_true(linear_check(operations, LONG));
    operations[LONG - 10].is_read = true;
    operations[LONG - 10].value = 1;
    assert_false(linear_check(operations, LONG));
    free(operations);
}

/* ---- files ----------------------------------------------------------------
 */

static int read_text(struct history *out, const char *text, struct error *why)
{
    FILE *file = fmemopen(without_const(text), strlen(text), "r");
    int code = history_read(out, file, why);

    fclose(file);
    return code;
}

#define LINE(client, kind, key, value, from, until, result)               \
    "{\"client\":" #client ",\"kind\":\"" kind "\",\"key\":\"" key        \
    "\",\"value\":" value ",\"invoke_ns\":" #from ",\"return_ns\":" until \
    ",\"result\":\"" result "\"}\n"

static void a_file(void **state)
{
    static const char text[] =
        LINE(1, "write", "web-1", "\"a\"", 100, "200",
             "ok") LINE(2, "read", "db-1", "null", 100, "200", "ok")
            LINE(2, "read", "web-1", "\"a\"", 300, "400",
                 "ok") LINE(1, "write", "db-1", "\"b\"", 300, "400", "fail")
                LINE(1, "write", "db-1", "\"c\"", 500, "null", "unknown")
                    LINE(2, "read", "db-1", "null", 500, "null", "unknown")
                        LINE(2, "read", "db-1", "null", 600, "700", "ok")
                            LINE(2, "read", "web-1", "null", 800, "900", "ok");
    char *shown;
    size_t length;
    FILE *out = open_memstream(&shown, &length);
    struct history history;
    struct history_key *key;
    struct error why;

    (void)state;
    assert_int_equal(read_text(&history, text, &why), 0);
    assert_int_equal(history.count, 2);
    assert_int_equal(history.operations, 6);
    key = history_check(&history);
    assert_non_null(key);
    assert_string_equal(key->name, "web-1");
    history_print(&history, key, out);
    fclose(out);
    assert_non_null(strstr(shown, "line 1 "));
    assert_non_null(strstr(shown, "line 8 "));
    assert_null(strstr(shown, "line 3 "));
    free(shown);
    history_fini(&history);
}

static const struct {
    const char *line;
    const char *said;
} broken[] = {
    {"{\"client\":1", "line 1: "},
    {"[]\n", "line 1: kind"},
    {LINE(1, "erase", "k", "null", 1, "2", "ok"), "kind"},
    {LINE(1, "write", "k", "\"a\"", 1, "2", "maybe"), "result"},
    {LINE(1, "write", "k", "null", 1, "2", "ok"), "value"},
    {LINE(1, "write", "k", "\"a\"", 2, "2", "ok"), "return_ns"},
    {LINE(1, "write", "k", "\"a\"", 2, "null", "ok"), "return_ns"},
    {LINE(1, "write", "k", "\"a\"", -1, "2", "ok"), "invoke_ns"},
};

static void a_broken_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct history history;
        struct error why;

        assert_int_equal(read_text(&history, broken[i].line, &why),
                         ERROR_INVALID_ARGUMENT);
        if (!strstr(why.message, broken[i].said))
            fail_msg("%s: %s", broken[i].line, why.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(what_proves_it_is_left),
        cmocka_unit_test(as_every_order_says),
        cmocka_unit_test(a_long_one),
        cmocka_unit_test(a_file),
        cmocka_unit_test(a_broken_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
