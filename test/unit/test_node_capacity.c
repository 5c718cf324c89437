/* test_node_capacity.c - what is offered, and labels, and the command line. */
#include "base/label.h"
#include "base/memory.h"
#include "node/capacity.h"
#include "node/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MI (1ULL << 20)
#define GI (1ULL << 30)

/* ---- offers -------------------------------------------------------------- */

static const struct {
    const char *rule;
    struct capacity machine;
    struct capacity_wishes wishes;
    struct capacity offer;
} offers[] = {
    {"5 % is kept",
     {8000, 16 * GI, 100 * GI, 1000},
     {.cpu_milli = {0}},
     {7600, 16 * GI - 16 * GI / 100 * 5, 95 * GI, 1000}},
    {"at least 100m and 128Mi",
     {1000, 1 * GI, 100 * GI, 0},
     {.cpu_milli = {0}},
     {900, 1 * GI - 128 * MI, 95 * GI, 0}},
    {"at most 1, 2Gi and 10Gi",
     {64000, 512 * GI, 4096 * GI, 0},
     {.cpu_milli = {0}},
     {63000, 510 * GI, 4086 * GI, 0}},
    {"never more than half",
     {100, 100 * MI, 100, 0},
     {.cpu_milli = {0}},
     {50, 50 * MI, 95, 0}},
    {"an offer is taken whole",
     {2000, 4 * GI, 100 * GI, 1000},
     {.cpu_milli = {true, 16000},
      .memory_bytes = {true, GI},
      .disk_bytes = {true, 5},
      .net_bits = {true, 7},
      .reserve_cpu_milli = {true, 99999}},
     {16000, GI, 5, 7}},
    {"a reserve is taken off",
     {2000, 4 * GI, 100 * GI, 0},
     {.reserve_cpu_milli = {true, 0},
      .reserve_memory_bytes = {true, GI},
      .reserve_disk_bytes = {true, 100 * GI}},
     {2000, 3 * GI, 0, 0}},
};

static void machines_offer_what_they_can_spare(void **state)
{
    struct capacity out;
    struct error why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
        assert_int_equal(
            capacity_offer(&offers[i].machine, &offers[i].wishes, &out, &why),
            0);
        if (out.cpu_milli != offers[i].offer.cpu_milli ||
            out.memory_bytes != offers[i].offer.memory_bytes ||
            out.net_bits != offers[i].offer.net_bits)
            fail_msg("%s: %u, %llu, %llu", offers[i].rule, out.cpu_milli,
                     (unsigned long long)out.memory_bytes,
                     (unsigned long long)out.net_bits);
        /* Percents of bytes are rounded. */
        assert_in_range(out.disk_bytes, offers[i].offer.disk_bytes,
                        offers[i].offer.disk_bytes + 500);
    }
}

static void a_reserve_beyond_the_machine_is_refused(void **state)
{
    const struct capacity machine = {2000, 4 * GI, 100 * GI, 0};
    struct capacity_wishes cpu = {.reserve_cpu_milli = {true, 3000}};
    struct capacity_wishes mem = {.reserve_memory_bytes = {true, 5 * GI}};
    struct capacity out = {.cpu_milli = 1};
    struct error why;

    (void)state;
    assert_int_equal(capacity_offer(&machine, &cpu, &out, &why),
                     ERROR_INVALID_ARGUMENT);
    assert_string_equal(why.message, "--reserve-cpu 3: the machine has 2");
    assert_int_equal(capacity_offer(&machine, &mem, &out, &why),
                     ERROR_INVALID_ARGUMENT);
    assert_string_equal(why.message,
                        "--reserve-mem 5.0Gi: the machine has 4.0Gi");
    assert_int_equal(out.cpu_milli, 1);
}

static void a_card_without_a_speed_is_told_of(void **state)
{
    const struct capacity none = {.cpu_milli = 1000};
    const struct capacity some = {.net_bits = 1000};
    const struct capacity_wishes nothing = {.net_bits = {false, 0}};
    const struct capacity_wishes wished = {.net_bits = {true, 0}};
    struct error why;

    (void)state;
    assert_int_equal(capacity_check_net(&some, &nothing, "eth0", &why), 0);
    assert_int_equal(capacity_check_net(&none, &wished, "eth0", &why), 0);
    assert_int_equal(capacity_check_net(&none, &nothing, "eth0", &why),
                     ERROR_FAILED_PRECONDITION);
    assert_string_equal(why.message,
                        "eth0 does not report its speed: no net is offered, "
                        "and pods that ask for net are not placed here; say "
                        "how much there is with --net, such as --net 1G");
    assert_int_equal(capacity_check_net(&none, &nothing, "", &why),
                     ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "no network interface is up: "));
}

static void quotas_are_read(void **state)
{
    (void)state;
    assert_int_equal(capacity_parse_cpu_max("150000 100000\n"), 1500);
    assert_int_equal(capacity_parse_cpu_max("max 100000\n"), UINT32_MAX);
    assert_int_equal(capacity_parse_cpu_max(""), UINT32_MAX);
    assert_int_equal(capacity_parse_cpu_max("-1 100000"), UINT32_MAX);
    assert_int_equal(capacity_parse_cpu_max("1 0"), UINT32_MAX);
}

static void this_machine_has_something(void **state)
{
    struct capacity found;
    struct error why;

    (void)state;
    assert_int_equal(capacity_measure("/", &found, &why), 0);
    assert_true(found.cpu_milli >= 1);
    assert_true(found.memory_bytes > 16 * MI);
    assert_true(found.disk_bytes > 16 * MI);
    assert_int_equal(capacity_measure("/no/such", &found, &why),
                     ERROR_NOT_FOUND);
}

/* ---- labels -------------------------------------------------------------- */

static void labels_are_checked(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } labels[] = {
        {"disk=ssd", true},
        {"a.b/c-d_e=F.1", true},
        {"empty=", true},
        {"disk", false},
        {"=x", false},
        {"-a=x", false},
        {"a-=x", false},
        {"a=x/y", false},
        {"a=x y", false},
        {"a b=x", false},
        {"a=-x", false},
        {"a=x=y", false},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg=1",
         true},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg=1",
         false},
    };
    const char *twice[] = {"a=1", "b=2", "a=3"};
    struct label out[LABELS_MAX];
    struct error why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(labels); i++)
        if ((label_parse(labels[i].text, out, &why) == 0) != labels[i].good)
            fail_msg("%s: %s", labels[i].text,
                     labels[i].good ? why.message : "taken");
    assert_int_equal(label_parse("disk=ssd", out, &why), 0);
    assert_string_equal(out->key, "disk");
    assert_string_equal(out->value, "ssd");
    assert_int_equal(labels_parse(twice, 3, out, &why), ERROR_INVALID_ARGUMENT);
    assert_string_equal(why.message, "label a is given twice");
}

/* ---- the command line ---------------------------------------------------- */

enum { ARGS_MAX = 16 };

#define WHOLE                                                                  \
    "--name", "n1", "--listen", "h:1", "--masters", "a:1,b:2", "--data", "/d", \
        "--pki", "/p"

static void command_lines_are_checked(void **state)
{
    static const struct {
        const char *args[ARGS_MAX];
        const char *part; /* of the message; NULL: good */
    } lines[] = {
        {{WHOLE}, NULL},
        {{WHOLE, "--mem", "1G", "--label", "a=b"}, NULL},
        {{"--name", "n1"}, "--listen HOST:PORT is missing"},
        {{"--listen", "h:1"}, "--name NAME is missing"},
        {{WHOLE, "--mem", "512m"}, "512m"},
        {{WHOLE, "--label", "x"}, "key=value"},
        {{WHOLE, "--label", "kontor.io/userns=yes"}, "knode's own"},
        {{WHOLE, "--masters", ","}, "--masters"},
        {{WHOLE, "--masters", "a"}, "HOST:PORT"},
        {{WHOLE, "--name", "../x"}, "--name"},
        {{WHOLE, "--masters", "a:1,b"}, "--masters: address \"b\""},
        {{WHOLE, "--masters", "a:1,b:x"}, "--masters: address \"b:x\""},
        {{WHOLE, "--listen", "h"}, "--listen: address \"h\""},
        {{WHOLE, "--listen", ":1"}, "--listen: address \":1\""},
        {{WHOLE, "--advertise", "h:99999"}, "--advertise: address"},
        {{WHOLE, "--data", ""}, "--data DIR is missing"},
        {{WHOLE, "--name="}, "--name NAME is missing"},
        {{WHOLE, "--bridge", "a-name-too-long-"}, "--bridge \"a-name-too"},
        {{WHOLE, "--bridge", "a b"}, "--bridge \"a b\""},
        {{WHOLE, "--bridge", ""}, "--bridge \"\""},
        {{WHOLE, "--table", "a;b"}, "--table \"a;b\""},
        {{WHOLE, "--cgroup", "k_o-n.t/n.1"}, NULL},
        {{WHOLE, "--cgroup", "/kontor"}, "--cgroup \"/kontor\""},
        {{WHOLE, "--cgroup", "kontor/"}, "--cgroup"},
        {{WHOLE, "--cgroup", "a/../b"}, "--cgroup"},
        {{WHOLE, "--cgroup", "a//b"}, "--cgroup"},
        {{WHOLE, "--cgroup", "."}, "--cgroup"},
        {{WHOLE, "--cgroup", "a b"}, "--cgroup"},
        {{WHOLE, "--cgroup", ""}, "--cgroup"},
        {{WHOLE, "word"}, "\"word\" is one word too many"},
        {{WHOLE, "--nmae", "x"}, "--name"},
    };
    static struct node_options options;
    struct error why;
    bool help;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *argv[ARGS_MAX + 2] = {without_const("knode")};
        int argc = 1;
        int code;

        for (; argc <= ARGS_MAX && lines[i].args[argc - 1]; argc++)
            argv[argc] = without_const(lines[i].args[argc - 1]);
        code = node_options_parse(&options, argc, argv, &help, &why);
        if ((code == 0) != !lines[i].part ||
            (code && !strstr(why.message, lines[i].part)))
            fail_msg("line %zu: %s", i, code ? why.message : "taken");
        if (code == 0)
            node_options_fini(&options);
    }
}

static void a_command_line_has_defaults(void **state)
{
    static const char *const args[] = {"knode", WHOLE, "--cpu", "500m"};
    static struct node_options options;
    struct error why;
    bool help;

    (void)state;
    assert_int_equal(node_options_parse(&options, ARRAY_LEN(args),
                                        without_const(args), &help, &why),
                     0);
    assert_false(help);
    assert_int_equal(options.master_count, 2);
    assert_string_equal(options.masters[1], "b:2");
    assert_string_equal(options.cgroup, "kontor/n1");
    assert_string_equal(options.bridge, "kontor0");
    assert_string_equal(options.table, "kontor0");
    assert_string_equal(options.advertise, "h:1");
    assert_true(options.capacity.cpu_milli.set);
    assert_int_equal(options.capacity.cpu_milli.value, 500);
    assert_false(options.capacity.memory_bytes.set);
    node_options_fini(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machines_offer_what_they_can_spare),
        cmocka_unit_test(a_reserve_beyond_the_machine_is_refused),
        cmocka_unit_test(a_card_without_a_speed_is_told_of),
        cmocka_unit_test(quotas_are_read),
        cmocka_unit_test(this_machine_has_something),
        cmocka_unit_test(labels_are_checked),
        cmocka_unit_test(command_lines_are_checked),
        cmocka_unit_test(a_command_line_has_defaults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
