/* Labels and taints of nodes: what they register with, what an operator sets
 * over it, and what placement is told. */
#include "master/cluster.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct wanted big = {8000, 8 << 20, 8 << 20, 8000};

/* "disk=ssd zone=a !gpu=yes": what counts of a node's, taints behind "!". */
static void expect_labels(struct cluster *cluster, const char *words)
{
    const struct node *node = nodes_find(&cluster->nodes, 1);
    const struct placement_node seen = node_placement(node);
    char said[512] = "";
    size_t used = 0;

    for (size_t i = 0; i < seen.labels.label_count; i++)
        used += (size_t)snprintf(said + used, sizeof said - used, " %s=%s",
                                 seen.labels.labels[i]->key,
                                 seen.labels.labels[i]->value);
    for (size_t i = 0; i < seen.labels.taint_count; i++)
        used += (size_t)snprintf(said + used, sizeof said - used, " !%s=%s",
                                 seen.labels.taints[i]->key,
                                 seen.labels.taints[i]->value);
    assert_string_equal(said[0] ? said + 1 : said, words);
}

/* do_register() gives each node zone=a of its own. */
static void what_an_operator_sets_stands_above_the_nodes_own(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    do_register(c, "n1", big);
    expect_labels(c, "zone=a");
    assert_int_equal(do_label(c, 1, "zone=b disk=ssd").subject_id, 1);
    expect_labels(c, "disk=ssd zone=b");
    do_register(c, "n1", big);
    expect_labels(c, "disk=ssd zone=b");
    do_label(c, 1, "zone- disk=");
    expect_labels(c, "disk= zone=a");
    do_label(c, 1, "!gpu=yes !old=");
    do_register(c, "n1", big);
    expect_labels(c, "disk= zone=a !gpu=yes !old=");
    do_label(c, 1, "!gpu=no !old- disk-");
    expect_labels(c, "zone=a !gpu=no");
    cluster_free(c);
}

static void changes_are_events_and_the_rest_is_none(void **state)
{
    struct cluster *c = cluster_new();
    const struct event *event;
    uint64_t events;

    (void)state;
    do_register(c, "n1", big);
    while (nodes_take_changed(&c->nodes))
        ;
    do_label(c, 1, "zone=b disk=ssd !gpu=yes !old=");
    assert_ptr_equal(nodes_take_changed(&c->nodes), nodes_find(&c->nodes, 1));
    event = events_at(&c->events, c->events.next - 1);
    assert_int_equal(event->kind, KONTOR__V1__EVENT_KIND__EVENT_NODE_LABELED);
    assert_string_equal(text_string(event->subject), "n1");
    assert_string_equal(text_string(event->message),
                        "label zone=b, disk=ssd, taint gpu=yes, old");
    do_label(c, 1, "!gpu- disk-");
    event = events_at(&c->events, c->events.next - 1);
    assert_string_equal(text_string(event->message), "label disk-, taint gpu-");
    while (nodes_take_changed(&c->nodes))
        ;
    events = c->events.next;
    assert_int_equal(do_label(c, 1, "zone=b !old=").error.code, 0);
    assert_int_equal(c->events.next, events);
    assert_null(nodes_take_changed(&c->nodes));
    cluster_free(c);
}

static const struct {
    const char *words;
    enum error_code code;
    const char *says;
} refused[] = {
    {"", ERROR_INVALID_ARGUMENT, "no label and no taint"},
    {"disk-", ERROR_NOT_FOUND, "node n1 has no label disk"},
    {"!gpu-", ERROR_NOT_FOUND, "node n1 has no taint gpu"},
    {"zone-", ERROR_FAILED_PRECONDITION, "label zone is node n1's own"},
    {"set=x zone-", ERROR_FAILED_PRECONDITION, "label zone is node n1's own"},
    {"a=1 a=2", ERROR_INVALID_ARGUMENT, "label a is named twice"},
    {"!a=1 !a-", ERROR_INVALID_ARGUMENT, "taint a is named twice"},
    {"=x", ERROR_INVALID_ARGUMENT, "label: \"\": a key is"},
    {"!a(b=x", ERROR_INVALID_ARGUMENT, "taint: \"a(b\": a key is"},
    {"disk=a,b", ERROR_INVALID_ARGUMENT, "label disk: \"a,b\": a value is"},
};

static void bad_changes_are_refused_whole(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    do_register(c, "n1", big);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct cluster_result result = do_label(c, 1, refused[i].words);

        assert_int_equal(result.error.code, refused[i].code);
        if (!strstr(result.error.message, refused[i].says))
            fail_msg("%s: %s", refused[i].words, result.error.message);
        expect_labels(c, "zone=a");
    }
    assert_int_equal(do_label(c, 7, "a=b").error.code, ERROR_NOT_FOUND);
    cluster_free(c);
}

static void there_may_be_so_many(void **state)
{
    struct cluster *c = cluster_new();
    char words[NODE_LABELS_MAX * 8 + 1] = "";
    size_t used = 0;

    (void)state;
    do_register(c, "n1", big);
    for (int i = 0; i < NODE_LABELS_MAX; i++)
        used += (size_t)snprintf(words + used, sizeof words - used, "k%d= ", i);
    assert_int_equal(do_label(c, 1, words).error.code, 0);
    assert_int_equal(do_label(c, 1, "more=").error.code,
                     ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(do_label(c, 1, "more= k7-").error.code, 0);
    snprintf(words + used, sizeof words - used, "x=");
    assert_int_equal(do_label(c, 1, words).error.code, ERROR_INVALID_ARGUMENT);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_operator_sets_stands_above_the_nodes_own),
        cmocka_unit_test(changes_are_events_and_the_rest_is_none),
        cmocka_unit_test(bad_changes_are_refused_whole),
        cmocka_unit_test(there_may_be_so_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
