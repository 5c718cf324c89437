/* Statuses, deadlines and identities as text. */
#include "rpc/address.h"
#include "rpc/identity.h"
#include "rpc/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

static const struct {
    const char *text;
    bool good;
    uint64_t ms;
} timeouts[] = {
    {"1H", true, 3600000},
    {"2M", true, 120000},
    {"3S", true, 3000},
    {"250m", true, 250},
    {"1u", true, 1},
    {"1000u", true, 1},
    {"1001u", true, 2},
    {"1n", true, 1},
    {"0n", true, 0},
    {"0m", true, 0},
    {"99999999H", true, 359999996400000},
    {"99999999n", true, 100},
    {"123456789m", false, 0},
    {"", false, 0},
    {"m", false, 0},
    {"10", false, 0},
    {"10s", false, 0},
    {"-1m", false, 0},
    {" 1m", false, 0},
    {"1mm", false, 0},
    {"1.5S", false, 0},
};

static void timeouts_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
        uint64_t ms = 0;

        if (status_timeout_parse(timeouts[i].text, &ms) != timeouts[i].good ||
            ms != timeouts[i].ms)
            fail_msg("\"%s\" gave %llu", timeouts[i].text,
                     (unsigned long long)ms);
    }
}

static const struct {
    uint64_t ms;
    const char *text;
} written_timeouts[] = {
    {0, "0m"},
    {1, "1m"},
    {99999999, "99999999m"},
    {100000000, "100000S"},
    {100000001, "100001S"},
    {UINT64_MAX / 2, "99999999H"},
};

static void timeouts_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(written_timeouts); i++) {
        char text[STATUS_TIMEOUT_MAX];

        assert_int_equal(status_timeout_format(written_timeouts[i].ms, text),
                         strlen(written_timeouts[i].text));
        assert_string_equal(text, written_timeouts[i].text);
    }
}

static const struct {
    const char *message;
    const char *encoded;
} messages[] = {
    {"", ""},
    {"plain text, ~ and space", "plain text, ~ and space"},
    {"100%", "100%25"},
    {"a\nb\tc", "a%0Ab%09c"},
    {"gr\xc3\xbc\xc3\x9f", "gr%C3%BC%C3%9F"},
    {"\x7f", "%7F"},
};

static void messages_go_there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        char encoded[STATUS_MESSAGE_MAX];
        char message[ERROR_MESSAGE_MAX];

        assert_int_equal(status_message_encode(messages[i].message, encoded),
                         strlen(messages[i].encoded));
        assert_string_equal(encoded, messages[i].encoded);
        status_message_decode(encoded, message);
        assert_string_equal(message, messages[i].message);
    }
}

static const struct {
    const char *encoded;
    const char *message;
} foreign_messages[] = {
    {"%c3%bc", "\xc3\xbc"}, {"%", "%"},     {"%4", "%4"},
    {"%zz", "%zz"},         {"%00", "%00"}, {"a%41b", "aAb"},
};

static void foreign_messages_are_read(void **state)
{
    char message[ERROR_MESSAGE_MAX];
    char long_text[4 * ERROR_MESSAGE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(foreign_messages); i++) {
        status_message_decode(foreign_messages[i].encoded, message);
        assert_string_equal(message, foreign_messages[i].message);
    }
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    status_message_decode(long_text, message);
    assert_int_equal(strlen(message), ERROR_MESSAGE_MAX - 1);
}

static void longest_message_fits(void **state)
{
    char message[ERROR_MESSAGE_MAX];
    char encoded[STATUS_MESSAGE_MAX];

    (void)state;
    memset(message, '\n', sizeof message);
    message[sizeof message - 1] = '\0';
    assert_int_equal(status_message_encode(message, encoded),
                     3 * (ERROR_MESSAGE_MAX - 1));
}

static void codes_are_mapped(void **state)
{
    static const struct {
        const char *text;
        enum error_code code;
    } statuses[] = {
        {"0", ERROR_OK},
        {"5", ERROR_NOT_FOUND},
        {"16", ERROR_UNAUTHENTICATED},
        {"17", ERROR_UNKNOWN},
        {"", ERROR_UNKNOWN},
        {"-1", ERROR_UNKNOWN},
        {"1x", ERROR_UNKNOWN},
        {"005", ERROR_UNKNOWN},
        {"99999999999999999999", ERROR_UNKNOWN},
    };
    static const struct {
        uint32_t reset;
        enum error_code code;
    } resets[] = {
        {NGHTTP2_NO_ERROR, ERROR_INTERNAL},
        {NGHTTP2_PROTOCOL_ERROR, ERROR_INTERNAL},
        {NGHTTP2_INTERNAL_ERROR, ERROR_INTERNAL},
        {NGHTTP2_FLOW_CONTROL_ERROR, ERROR_INTERNAL},
        {NGHTTP2_REFUSED_STREAM, ERROR_UNAVAILABLE},
        {NGHTTP2_CANCEL, ERROR_CANCELLED},
        {NGHTTP2_COMPRESSION_ERROR, ERROR_INTERNAL},
        {NGHTTP2_ENHANCE_YOUR_CALM, ERROR_RESOURCE_EXHAUSTED},
        {NGHTTP2_INADEQUATE_SECURITY, ERROR_PERMISSION_DENIED},
        {NGHTTP2_STREAM_CLOSED, ERROR_UNKNOWN},
    };
    static const struct {
        unsigned http;
        enum error_code code;
    } https[] = {
        {400, ERROR_INTERNAL},          {401, ERROR_UNAUTHENTICATED},
        {403, ERROR_PERMISSION_DENIED}, {404, ERROR_UNIMPLEMENTED},
        {429, ERROR_UNAVAILABLE},       {502, ERROR_UNAVAILABLE},
        {503, ERROR_UNAVAILABLE},       {504, ERROR_UNAVAILABLE},
        {418, ERROR_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        assert_int_equal(status_parse(statuses[i].text), statuses[i].code);
    for (size_t i = 0; i < ARRAY_LEN(resets); i++)
        assert_int_equal(status_of_reset(resets[i].reset), resets[i].code);
    for (size_t i = 0; i < ARRAY_LEN(https); i++)
        assert_int_equal(status_of_http(https[i].http), https[i].code);
}

static void roles_have_names(void **state)
{
    static const char *const names[] = {"master", "node", "admin", "viewer"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(rpc_role_name(rpc_role_parse(names[i])), names[i]);
    assert_int_equal(rpc_role_parse("Master"), RPC_ROLE_NONE);
    assert_int_equal(rpc_role_parse("none"), RPC_ROLE_NONE);
    assert_int_equal(rpc_role_parse(""), RPC_ROLE_NONE);
    assert_string_equal(rpc_role_name(RPC_ROLE_MASTER | RPC_ROLE_NODE), "none");
}

static void addresses_are_read(void **state)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        const char *port;
    } rows[] = {
        {"127.0.0.1:7400", "127.0.0.1", "7400"},
        {"m1.example:1", "m1.example", "1"},
        {"[::1]:65535", "::1", "65535"},
        {"[fe80::1%eth0]:80", "fe80::1%eth0", "80"},
        {"::1:80", NULL, NULL},
        {"host", NULL, NULL},
        {"host:", NULL, NULL},
        {":80", NULL, NULL},
        {"[]:80", NULL, NULL},
        {"host:65536", NULL, NULL},
        {"host:8o", NULL, NULL},
        {"host:-1", NULL, NULL},
        {"host:123456", NULL, NULL},
        {"", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct address address;
        struct error why;
        int code = address_parse(rows[i].text, &address, &why);

        if ((code == 0) != (rows[i].host != NULL))
            fail_msg("\"%s\": %d", rows[i].text, code);
        if (code == 0) {
            assert_string_equal(address.host, rows[i].host);
            assert_string_equal(address.port, rows[i].port);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts_are_read),
        cmocka_unit_test(timeouts_are_written),
        cmocka_unit_test(messages_go_there_and_back),
        cmocka_unit_test(foreign_messages_are_read),
        cmocka_unit_test(longest_message_fits),
        cmocka_unit_test(codes_are_mapped),
        cmocka_unit_test(roles_have_names),
        cmocka_unit_test(addresses_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
