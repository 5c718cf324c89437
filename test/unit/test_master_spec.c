/* What people ask for: what is completed, and what is refused by name. */
#include "base/lang.h"
#include "master/spec_check.h"
#include "test/unit/pod_spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A spec with one thing wrong, or right. NULL and 0: as it comes. */
static const struct {
    const char *part; /* of the error; NULL: fine */
    const char *image;
    const char *app;
    const char *node;
    const char *env;
    const char *word;
    uint32_t cpu_milli;
    uint64_t memory_bytes;
    uint64_t net_bits;
    uint64_t io_bytes;
    int restart;
    uint32_t stop_grace_ms;
} specs[] = {
    {NULL, .image = "registry.local:5000/web:1"},
    {NULL, .image = "oci:/srv/web:1", .app = "web", .node = "n1"},
    {NULL, .image = "web", .env = "KEY=value=more", .word = "na\xc3\xafve"},
    {"spec.containers[0].image is empty", .image = ""},
    {"image: byte 1 is not allowed", .image = "a b"},
    {"image: byte 0 is not allowed", .image = "\xc3\xa4"},
    {"spec.app \"Web\"", .app = "Web"},
    {"spec.app \"a_b\"", .app = "a_b"},
    {"spec.node \"n 1\"", .node = "n 1"},
    {"env[0] \"KEY\": write KEY=value", .env = "KEY"},
    {"env[0] \"=value\"", .env = "=value"},
    {"command[0] is not UTF-8", .word = "\xc0\x80"},
    {"command[0] is not UTF-8", .word = "\xed\xa0\x80"},
    {"command[0] is not UTF-8", .word = "\xf4\x90\x80\x80"},
    {"command[0] is not UTF-8", .word = "\xe2\x82"},
    {"env[0] is not UTF-8", .env = "KEY=\xff"},
    {"memory_bytes is 512", .memory_bytes = 512},
    {"memory_bytes is", .memory_bytes = UINT64_MAX},
    {"net_bits is", .net_bits = UINT64_MAX},
    {NULL, .image = "web", .io_bytes = 1 << 20},
    {"spec.io_bytes is 1048575", .io_bytes = (1 << 20) - 1},
    {"spec.io_bytes is", .io_bytes = UINT64_MAX},
    {"spec.restart 7", .restart = 7},
    {"spec.stop_grace_ms", .stop_grace_ms = 3600001},
};

static void specs_are_checked_field_by_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
        Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
        Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
        Kontor__V1__ContainerSpec *containers[] = {&container};
        char image[64], app[64], node[64], env[64], word[64];
        char *envs[] = {env}, *words[] = {word};
        struct checked_spec checked;
        struct error why = {0};
        int code;

        snprintf(image, sizeof image, "%s",
                 specs[i].image ? specs[i].image : "web");
        snprintf(app, sizeof app, "%s", specs[i].app ? specs[i].app : "");
        snprintf(node, sizeof node, "%s", specs[i].node ? specs[i].node : "");
        snprintf(env, sizeof env, "%s", specs[i].env ? specs[i].env : "");
        snprintf(word, sizeof word, "%s", specs[i].word ? specs[i].word : "");
        container.image = image;
        container.env = envs;
        container.n_env = specs[i].env ? 1 : 0;
        container.command = words;
        container.n_command = specs[i].word ? 1 : 0;
        resources.cpu_milli = specs[i].cpu_milli;
        resources.memory_bytes = specs[i].memory_bytes;
        resources.net_bits = specs[i].net_bits;
        spec.app = app;
        spec.node = node;
        spec.resources = &resources;
        spec.io_bytes = specs[i].io_bytes;
        spec.containers = containers;
        spec.n_containers = 1;
        spec.restart = (Kontor__V1__RestartPolicy)specs[i].restart;
        spec.stop_grace_ms = specs[i].stop_grace_ms;

        code = spec_check(&spec, &checked, &why);
        if (specs[i].part && (code != ERROR_INVALID_ARGUMENT ||
                              !strstr(why.message, specs[i].part)))
            fail_msg("%zu: code %d, \"%s\" does not say \"%s\"", i, code,
                     why.message, specs[i].part);
        if (!specs[i].part && code != 0)
            fail_msg("%zu: %s", i, why.message);
    }
}

static void what_is_left_out_is_completed(void **state)
{
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    char image[] = "registry.local:5000/team/Web:1";
    struct checked_spec checked;
    struct error why;

    (void)state;
    container.image = image;
    spec.containers = containers;
    spec.n_containers = 1;
    assert_int_equal(spec_check(&spec, &checked, &why), 0);
    assert_string_equal(checked.spec.app, "web");
    assert_false(checked.named);
    assert_string_equal(checked.spec.containers[0]->name, "main");
    assert_int_equal(checked.spec.resources->cpu_milli, 100);
    assert_int_equal(checked.spec.resources->memory_bytes, 128 << 20);
    assert_int_equal(checked.spec.resources->net_bits, 0);
    assert_int_equal(checked.spec.stop_grace_ms, 10000);
    assert_null(spec.resources); /* what came is left alone */
    assert_int_equal(spec_check(NULL, &checked, &why), ERROR_INVALID_ARGUMENT);
    spec.n_containers = 0;
    assert_int_equal(spec_check(&spec, &checked, &why), ERROR_INVALID_ARGUMENT);
}

/* Of pods written as people write them. */
static const struct {
    const char *part; /* of the error; NULL: fine */
    const char *yaml;
} pods[] = {
    {NULL, "containers: [{name: a, image: x}, {name: b, image: y}]"},
    {NULL, "containers: [{name: a, image: x, init: true}, {image: y}]"},
    {"containers[1].name: there is a \"a\"",
     "containers: [{name: a, image: x}, {name: a, image: y}]"},
    {"containers[1].name: there is a \"main\"",
     "containers: [{image: x}, {image: y}]"},
    {"containers[1].name \"B\"",
     "containers: [{name: a, image: x}, {name: B, image: y}]"},
    {"containers[1].image is empty", "containers: [{image: x}, {name: b}]"},
    {"all of them are init", "containers: [{image: x, init: true}]"},
    {"spec.containers has 9",
     "containers: [{image: x}, {image: x}, {image: x}, {image: x}, {image: x},"
     "{image: x}, {image: x}, {image: x}, {image: x}]"},
    {NULL, "containers: [{image: x, user: 'www:1000', cap_add: [CAP_NET_RAW],"
           "cap_drop: [ALL], groups: [5], read_only: true,"
           "rlimits: [{name: nofile, soft: 1, hard: 2}],"
           "tmpfs: [{path: /run, size_bytes: 1M}], restart: never}]"},
    {"user \"a:\": write", "containers: [{image: x, user: 'a:'}]"},
    {"user \":a\": write", "containers: [{image: x, user: ':a'}]"},
    {"user \"a:b:c\": write", "containers: [{image: x, user: 'a:b:c'}]"},
    {"user \"a b\"", "containers: [{image: x, user: 'a b'}]"},
    {"cap_add \"NET RAW\"", "containers: [{image: x, cap_add: [NET RAW]}]"},
    {"tmpfs[0].path \"run\"", "containers: [{image: x, tmpfs: [{path: run}]}]"},
    {"tmpfs[0].path \"/\"", "containers: [{image: x, tmpfs: [{path: /}]}]"},
    {"limits.memory_bytes is",
     "resources: {memory_bytes: 8M}\n"
     "containers: [{image: x, limits: {memory_bytes: 16M}}]"},
    {"limits.cpu_milli is 200, the pod has 100",
     "containers: [{image: x, limits: {cpu_milli: 200m}}]"},
    {"only cpu_milli and memory_bytes",
     "containers: [{image: x, limits: {net_bits: 1M}}]"},
    {NULL, "containers: [{image: x, health: {http_port: 80, http_path: /h}}]"},
    {"health: one of", "containers: [{image: x, health: {}}]"},
    {"ready: one of",
     "containers: [{image: x, ready: {tcp_port: 1, command: [x]}}]"},
    {"there is no such port",
     "containers: [{image: x, health: {tcp_port: 65536}}]"},
    {"http_path \"h\"",
     "containers: [{image: x, health: {http_port: 80, http_path: h}}]"},
    {"http_path", "containers: [{image: x, health: {http_port: 80,"
                  "http_path: \"/ HTTP/1.0\\r\\n\"}}]"},
    {"spec.shm_bytes", "shm_bytes: 4000T\ncontainers: [{image: x}]"},
};

static void containers_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pods); i++) {
        Kontor__V1__PodSpec *spec = pod_spec_of(pods[i].yaml);
        struct checked_spec checked;
        struct error why = {0};
        int code = spec_check(spec, &checked, &why);

        if (pods[i].part ? code != ERROR_INVALID_ARGUMENT ||
                               !strstr(why.message, pods[i].part)
                         : code != 0)
            fail_msg("%s: %s", pods[i].yaml, why.message);
        kontor__v1__pod_spec__free_unpacked(spec, NULL);
    }
}

/* An app without a name is called after what is there to stay. */
static void the_main_container_names_the_app(void **state)
{
    Kontor__V1__PodSpec *spec = pod_spec_of(
        "containers: [{name: a, image: wait, init: true}, {image: web}]");
    struct checked_spec checked;
    struct error why;

    (void)state;
    assert_int_equal(spec_check(spec, &checked, &why), 0);
    assert_string_equal(checked.spec.app, "web");
    kontor__v1__pod_spec__free_unpacked(spec, NULL);
}

/* One rule of each sort, and what is wrong with it. */
static void rules_are_checked_field_by_field(void **state)
{
    static const struct {
        const char *part; /* of the error; NULL: fine */
        const char *key, *value, *app, *spread, *taint;
        int priority;
    } rules[] = {
        {NULL, "zone", "a", "db", "host", "gpu", 10},
        {"the key of: spec.constraints[0] is empty", "", "a", "db", "", "x", 0},
        {"a value of: spec.constraints[0]", "zone", "\xff", "db", "", "x", 0},
        {"spec.anti[0] \"D B\"", "zone", "a", "D B", "", "x", 0},
        {"spec.spread[0] is not UTF-8", "zone", "a", "db", "\xff", "x", 0},
        {"the key of: spec.tolerations[0]", "zone", "a", "db", "", "", 0},
        {"spec.priority is 1000001", "zone", "a", "db", "", "x", 1000001},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
        Kontor__V1__Constraint constraint = KONTOR__V1__CONSTRAINT__INIT;
        Kontor__V1__Label toleration = KONTOR__V1__LABEL__INIT;
        Kontor__V1__Constraint *constraints[] = {&constraint};
        Kontor__V1__Label *tolerations[] = {&toleration};
        char key[16], value[16], app[16], spread[16], taint[16];
        char *values[] = {value}, *apps[] = {app};
        struct error why = {0};

        spec.constraints = constraints;
        spec.tolerations = tolerations;
        spec.n_constraints = spec.n_tolerations = 1;
        constraint.key = strcpy(key, rules[i].key);
        strcpy(value, rules[i].value);
        constraint.values = values;
        constraint.n_values = 1;
        strcpy(app, rules[i].app);
        spec.anti = apps;
        spec.n_anti = 1;
        spec.spread = strcpy(spread, rules[i].spread);
        toleration.key = strcpy(taint, rules[i].taint);
        spec.priority = rules[i].priority;
        spec_check_rules(&spec, &why);
        if (!rules[i].part)
            assert_int_equal(why.code, 0);
        else if (!strstr(why.message, rules[i].part))
            fail_msg("%s: %s", rules[i].part, why.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs_are_checked_field_by_field),
        cmocka_unit_test(rules_are_checked_field_by_field),
        cmocka_unit_test(what_is_left_out_is_completed),
        cmocka_unit_test(containers_are_checked),
        cmocka_unit_test(the_main_container_names_the_app),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
