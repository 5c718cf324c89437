/* Messages as JSON, by descriptor. */
#include "base/lang.h"
#include "client/json.h"
#include "kontor/v1/cluster.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>

static char *dumped(const ProtobufCMessage *message)
{
    json_t *json = json_of_message(message);
    char *text = json_dumps(json, JSON_COMPACT);

    json_decref(json);
    return text;
}

static void enums_lose_their_prefix(void **state)
{
    char text[JSON_ENUM_MAX];

    (void)state;
    assert_string_equal(json_enum_name(text, &kontor__v1__pod_phase__descriptor,
                                       KONTOR__V1__POD_PHASE__POD_RUNNING),
                        "running");
    assert_string_equal(
        json_enum_name(text, &kontor__v1__restart_policy__descriptor,
                       KONTOR__V1__RESTART_POLICY__RESTART_ON_FAILURE),
        "on_failure");
    assert_string_equal(
        json_enum_name(text, &kontor__v1__event_kind__descriptor,
                       KONTOR__V1__EVENT_KIND__EVENT_POD_CREATED),
        "pod_created");
    assert_string_equal(
        json_enum_name(text, &kontor__v1__pod_phase__descriptor, 77), "77");
}

/* Values may begin with the same letters: only whole words are a prefix. */
static void a_prefix_ends_with_an_underscore(void **state)
{
    static const ProtobufCEnumValue values[] = {{"HUE_RED", "", 0},
                                                {"HUE_ROSE", "", 1}};
    static const ProtobufCIntRange ranges[] = {{0, 0}, {0, 2}};
    const ProtobufCEnumDescriptor hues = {
        .magic = PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC,
        .n_values = ARRAY_LEN(values),
        .values = values,
        .n_value_ranges = 1,
        .value_ranges = ranges,
    };
    char text[JSON_ENUM_MAX];

    (void)state;
    assert_string_equal(json_enum_name(text, &hues, 1), "rose");
}

static void numbers_are_numbers(void **state)
{
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    char *text;

    (void)state;
    resources.cpu_milli = 500;
    resources.disk_bytes = INT64_MAX;
    text = dumped(&resources.base);
    assert_string_equal(text, "{\"cpu_milli\":500,\"memory_bytes\":0,"
                              "\"disk_bytes\":9223372036854775807,"
                              "\"net_bits\":0}");
    free(text);
    id.high = UINT64_MAX; /* what JSON's integers cannot hold */
    id.low = 1;
    text = dumped(&id.base);
    assert_string_equal(text, "{\"high\":\"18446744073709551615\",\"low\":1}");
    free(text);
}

static void lists_and_messages_nest(void **state)
{
    Kontor__V1__Label label = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&label};
    Kontor__V1__NodeInfo node = KONTOR__V1__NODE_INFO__INIT;
    json_t *json;

    (void)state;
    label.key = (char[]){"disk"};
    label.value = (char[]){"ssd"};
    node.name = (char[]){"n1"};
    node.labels = labels;
    node.n_labels = 1;
    node.cordoned = true;
    json = json_of_message(&node.base);
    assert_string_equal(
        json_string_value(json_object_get(
            json_array_get(json_object_get(json, "labels"), 0), "value")),
        "ssd");
    assert_true(json_is_true(json_object_get(json, "cordoned")));
    assert_string_equal(json_string_value(json_object_get(json, "state")),
                        "ready");
    assert_null(json_object_get(json, "capacity")); /* unset */
    json_decref(json);
}

static const struct {
    size_t length;
    const char *text;
} encodings[] = {
    {0, ""}, {1, "TQ=="}, {2, "TWE="}, {3, "TWFu"}, {4, "TWFu/w=="}};

static void bytes_are_base64(void **state)
{
    uint8_t bytes[] = {'M', 'a', 'n', 0xff};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
        json_t *json;

        chunk.data.data = bytes;
        chunk.data.len = encodings[i].length;
        json = json_of_message(&chunk.base);
        assert_string_equal(json_string_value(json_object_get(json, "data")),
                            encodings[i].text);
        json_decref(json);
    }
}

static void text_that_is_no_utf8_is_marked(void **state)
{
    Kontor__V1__Label label = KONTOR__V1__LABEL__INIT;
    char *text;

    (void)state;
    label.key = (char[]){"a\xff"};
    label.value = (char[]){"\xc3\xa9"};
    text = dumped(&label.base);
    assert_string_equal(text, "{\"key\":\"a?\",\"value\":\"\xc3\xa9\"}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enums_lose_their_prefix),
        cmocka_unit_test(a_prefix_ends_with_an_underscore),
        cmocka_unit_test(numbers_are_numbers),
        cmocka_unit_test(lists_and_messages_nest),
        cmocka_unit_test(bytes_are_base64),
        cmocka_unit_test(text_that_is_no_utf8_is_marked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
