/* test_client_yaml.c - files of YAML as messages, and what is wrong in them. */
#include "base/fd.h"
#include "client/json.h"
#include "client/message.h"
#include "client/yaml.h"
#include "kontor/v1/types.pb-c.h"
#include "test/unit/pod_spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* All but the file's name, which begins it. */
static const struct {
    const char *yaml;
    const char *error;
} wrong[] = {
    {"", "a document is expected here"},
    {"- a", ":1: fields are expected here"},
    {"app: web\nimage: x", ":2: there is no field \"image\""},
    {"ap: web", ":1: there is no field \"ap\"; did you mean app?"},
    {"app: web\napp: x", ":2: app stands here twice"},
    {"app: [web]", ":1: app: one value is expected here"},
    {"containers: web", ":1: containers: a list is expected here"},
    {"containers:\n- image: x\n  comand: [a]",
     ":3: containers[0]: there is no field \"comand\"; did you mean command?"},
    {"containers:\n- image: x\n- image: {a: b}",
     ":3: containers[1].image: one value is expected here"},
    {"containers: [{command: [a, [b]]}]",
     ":1: containers[0].command[1]: one value is expected here"},
    {"restart: sometimes",
     ":1: restart: \"sometimes\" is none of always, on_failure, never"},
    {"containers: [{init: yes}]",
     ":1: containers[0].init: \"yes\" is neither true nor false"},
    {"stop_grace_ms: -1", ":1: stop_grace_ms: "},
    {"stop_grace_ms: 4294967296", ":1: stop_grace_ms: 4294967296 is too large"},
    {"priority: high", ":1: priority: \"high\" is no number"},
    {"priority: 2147483648", ":1: priority: 2147483648 is out of range"},
    {"resources: {memory_bytes: much}", ":1: resources.memory_bytes: \"much\""},
    {"containers: [{groups: [1.5]}]",
     ":1: containers[0].groups[0]: \"1.5\" is no number"},
    {"app: &a web\nnode: *a", ":2: node: aliases are not taken"},
    {"app: web\n---\napp: x", ":2: the end of the file is expected here"},
    {"app: web\n  node: x", ":2: mapping values are not allowed"},
    {"app: \"web", "found unexpected end of stream"},
    {"app: \"a\\0b\"", ":1: app: a zero byte"},
    {"? [a]\n: b", ":1: a field's name is expected here"},
};

static int read_text(const char *yaml, ProtobufCMessage **out,
                     struct error *why)
{
    CLEANUP(fd_close) int file = memfd_create("pod.yaml", MFD_CLOEXEC);
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    assert_int_equal(fd_write_all(file, yaml, strlen(yaml), why), 0);
    return yaml_read_message(path, &kontor__v1__pod_spec__descriptor, out, why);
}

static void errors_name_line_and_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ProtobufCMessage *message;
        struct error why;

        if (read_text(wrong[i].yaml, &message, &why) !=
                ERROR_INVALID_ARGUMENT ||
            !strstr(why.message, wrong[i].error))
            fail_msg("\"%s\": \"%s\", not \"%s\"", wrong[i].yaml, why.message,
                     wrong[i].error);
    }
}

static void fields_become_a_message(void **state)
{
    Kontor__V1__PodSpec *spec = pod_spec_of(
        "app: web\n"
        "restart: on_failure\n"
        "stop_grace_ms: 30s\n"
        "resources: {cpu_milli: 1.5, memory_bytes: 1G, net_bits: 100M}\n"
        "containers:\n"
        "- name: prepare\n"
        "  image: tools:1\n"
        "  init: true\n"
        "  command: [sh, -c, 'echo \"done\"']\n"
        "- image: web:2\n"
        "  env:\n"
        "  - A=1\n"
        "  - \"B=\\u00e4\"\n"
        "  groups: [5, 4294967294]\n"
        "  restart: never\n"
        "  rlimits:\n"
        "  - {name: nofile, soft: 10, hard: 18446744073709551615}\n");

    (void)state;
    assert_string_equal(spec->app, "web");
    assert_int_equal(spec->restart,
                     KONTOR__V1__RESTART_POLICY__RESTART_ON_FAILURE);
    assert_int_equal(spec->stop_grace_ms, 30000);
    assert_int_equal(spec->resources->cpu_milli, 1500);
    assert_int_equal(spec->resources->memory_bytes, 1 << 30);
    assert_int_equal(spec->resources->net_bits, 100000000);
    assert_int_equal(spec->n_containers, 2);
    assert_true(spec->containers[0]->init);
    assert_string_equal(spec->containers[0]->command[2], "echo \"done\"");
    assert_string_equal(spec->containers[1]->env[1], "B=\xc3\xa4");
    assert_int_equal(spec->containers[1]->groups[1], 4294967294);
    assert_int_equal(spec->containers[1]->restart,
                     KONTOR__V1__CONTAINER_RESTART__CONTAINER_RESTART_NEVER);
    assert_true(spec->containers[1]->rlimits[0]->hard == UINT64_MAX);
    kontor__v1__pod_spec__free_unpacked(spec, NULL);
}

/* What kctl prints of a spec can be given back to it. */
static void its_json_form_is_read_again(void **state)
{
    Kontor__V1__PodSpec *spec = pod_spec_of(
        "app: web\nshm_bytes: 1M\nresources: {cpu_milli: 250}\n"
        "containers: [{image: a, read_only: true, tmpfs: [{path: /t}]},"
        "{name: b, image: b, cap_drop: [ALL]}]");
    json_t *json = json_of_message(&spec->base);
    char *text = json_dumps(json, JSON_INDENT(2));
    Kontor__V1__PodSpec *again = pod_spec_of(text);
    json_t *json_again = json_of_message(&again->base);

    (void)state;
    assert_true(json_equal(json, json_again));
    json_decref(json);
    json_decref(json_again);
    free(text);
    kontor__v1__pod_spec__free_unpacked(spec, NULL);
    kontor__v1__pod_spec__free_unpacked(again, NULL);
}

static void endless_files_end(void **state)
{
    ProtobufCMessage *message;
    struct error why;

    (void)state;
    assert_int_equal(yaml_read_message("/dev/zero",
                                       &kontor__v1__pod_spec__descriptor,
                                       &message, &why),
                     ERROR_INVALID_ARGUMENT);
    assert_int_equal(yaml_read_message("/nowhere/pod.yaml",
                                       &kontor__v1__pod_spec__descriptor,
                                       &message, &why),
                     ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_line_and_field),
        cmocka_unit_test(fields_become_a_message),
        cmocka_unit_test(its_json_form_is_read_again),
        cmocka_unit_test(endless_files_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
