#include "node/image/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *header;
    enum auth_scheme scheme;
    const char *realm, *service, *scope;
} challenges[] = {
    {"Basic realm=\"r\"", AUTH_BASIC, "r", "", ""},
    {"basic", AUTH_BASIC, "", "", ""},
    {"Bearer "
     "realm=\"https://a/t\",service=\"s.io\",scope=\"repository:x:pull\"",
     AUTH_BEARER, "https://a/t", "s.io", "repository:x:pull"},
    {"BEARER Realm = \"https://a/t\" , SERVICE=s", AUTH_BEARER, "https://a/t",
     "s", ""},
    {"Bearer realm=\"a\\\"b\\\\c\"", AUTH_BEARER, "a\"b\\c", "", ""},
    {"Bearer error=\"x, y=z\",realm=\"r\"", AUTH_BEARER, "r", "", ""},
    {"Negotiate, Basic realm=\"b\", Bearer realm=\"t\"", AUTH_BEARER, "t", "",
     ""},
    {"Bearer realm=\"t\", Basic realm=\"b\"", AUTH_BEARER, "t", "", ""},
    {"Digest realm=\"d\", nonce=n", AUTH_NONE, "", "", ""},
    {"", AUTH_NONE, "", "", ""},
};

static void challenges_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(challenges); i++) {
        struct auth_challenge out = {.scheme = AUTH_NONE};
        struct error why;

        assert_int_equal(auth_challenge_parse(challenges[i].header, &out, &why),
                         0);
        assert_int_equal(out.scheme, challenges[i].scheme);
        if (out.scheme == AUTH_NONE)
            continue;
        assert_string_equal(out.realm, challenges[i].realm);
        assert_string_equal(out.service, challenges[i].service);
        assert_string_equal(out.scope, challenges[i].scope);
    }
}

static void broken_challenges_are_refused(void **state)
{
    static const char *const broken[] = {
        "Bearer realm=\"open", "Bearer realm=\"a\\",     "=",
        "Bearer =x",           "Bearer realm=\"a\" x y", "\"quoted\"",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct auth_challenge out = {.scheme = AUTH_NONE};
        struct error why;

        assert_int_equal(auth_challenge_parse(broken[i], &out, &why),
                         ERROR_INVALID_ARGUMENT);
        assert_int_equal(out.scheme, AUTH_NONE);
    }
}

static void token_urls_are_escaped_and_secure(void **state)
{
    struct auth_challenge challenge = {AUTH_BEARER, "https://a/t", "my reg&x",
                                       ""};
    char url[AUTH_URL_MAX];
    struct error why;

    (void)state;
    assert_int_equal(
        auth_token_url(&challenge, "repository:a/b:pull", false, url, &why), 0);
    assert_string_equal(url, "https://a/t?service=my%20reg%26x&scope="
                             "repository%3Aa%2Fb%3Apull");
    strcpy(challenge.realm, "http://a/t?x=1");
    assert_int_equal(auth_token_url(&challenge, "s", false, url, &why),
                     ERROR_INVALID_ARGUMENT);
    assert_int_equal(auth_token_url(&challenge, "s", true, url, &why), 0);
    assert_string_equal(url, "http://a/t?x=1&service=my%20reg%26x&scope=s");
    strcpy(challenge.realm, "file:///etc/shadow");
    assert_int_equal(auth_token_url(&challenge, "s", true, url, &why),
                     ERROR_INVALID_ARGUMENT);
}

static void identity_tokens_are_escaped_and_secure(void **state)
{
    struct auth_challenge challenge = {AUTH_BEARER, "https://a/t", "reg&x", ""};
    char long_one[AUTH_CREDENTIALS_MAX];
    char form[AUTH_FORM_MAX];
    struct error why;

    (void)state;
    assert_int_equal(auth_token_form(&challenge, "repository:a:pull", false,
                                     "a+b=&c", form, &why),
                     0);
    assert_string_equal(form, "grant_type=refresh_token&client_id=kontor"
                              "&service=reg%26x&scope=repository%3Aa%3Apull"
                              "&refresh_token=a%2Bb%3D%26c");
    memset(long_one, '/', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    assert_int_equal(
        auth_token_form(&challenge, "s", false, long_one, form, &why), 0);
    strcpy(challenge.realm, "http://a/t");
    assert_int_equal(auth_token_form(&challenge, "s", false, "x", form, &why),
                     ERROR_INVALID_ARGUMENT);
    assert_int_equal(auth_token_form(&challenge, "s", true, "x", form, &why),
                     0);
}

static const struct {
    const char *json;
    const char *token; /* NULL: refused */
} tokens[] = {
    {"{\"token\":\"abc\"}", "abc"},
    {"{\"access_token\":\"abc\"}", "abc"},
    {"{\"token\":\"one\",\"access_token\":\"two\"}", "one"},
    {"{\"token\":\"a\\r\\nX: y\"}", NULL},
    {"{\"token\":\"\"}", NULL},
    {"{\"token\":7}", NULL},
    {"[]", NULL},
    {"nonsense", NULL},
};

static void tokens_are_taken_from_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        struct buffer out;
        struct error why;
        int failed;

        buffer_init(&out, AUTH_TOKEN_MAX_BYTES);
        failed = auth_token_parse(tokens[i].json, strlen(tokens[i].json), &out,
                                  &why);
        assert_int_equal(failed, tokens[i].token ? 0 : ERROR_UNAUTHENTICATED);
        if (tokens[i].token)
            assert_string_equal((const char *)buffer_data(&out),
                                tokens[i].token);
        buffer_fini(&out);
    }
}

static const char config[] =
    "{\"auths\":{\"a.io\":{\"auth\":\"dXNlcjpwYXNz\"},"
    "\"b.io:5000\":{\"auth\":\"dTpw\"},\"e.io\":{\"auth\":\"\"},"
    "\"x.io\":{\"auth\":\"!!!!\"},\"n.io\":{\"auth\":\"bm9uZQ==\"},"
    "\"https://url.io/v2/\":{\"auth\":\"dTpw\"},\"p.io\":{\"username\":\"me\","
    "\"password\":\"a:b\"},\"h.io\":{\"username\":\"me\"},"
    "\"i.io\":{\"auth\":\"MDA6\",\"identitytoken\":\"e/y=\"},"
    "\"j.io\":{\"identitytoken\":\"only\"},"
    "\"https://index.docker.io/v1/\":{\"auth\":\"aHViOng=\"}}}";

static const struct {
    const char *host;
    const char *credentials; /* NULL: refused */
    const char *identity;
} lookups[] = {
    {"a.io", "user:pass", ""},  {"b.io:5000", "u:p", ""},
    {"b.io", "", ""},           {"e.io", "", ""},
    {"x.io", NULL, ""},         {"n.io", NULL, ""},
    {"docker.io", "hub:x", ""}, {"url.io", "u:p", ""},
    {"p.io", "me:a:b", ""},     {"h.io", "", ""},
    {"docker.io.evil", "", ""}, {"l.io", "", ""},
    {"i.io", "00:", "e/y="},    {"j.io", "", "only"},
};

static void credentials_are_found_by_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lookups); i++) {
        struct auth_credentials out = {"untouched", "untouched"};
        struct error why;
        int failed = auth_credentials_find(config, strlen(config),
                                           lookups[i].host, &out, &why);

        if (!lookups[i].credentials) {
            assert_int_equal(failed, ERROR_INVALID_ARGUMENT);
            assert_non_null(strstr(why.message, lookups[i].host));
            assert_string_equal(out.user, "untouched");
            continue;
        }
        assert_int_equal(failed, 0);
        assert_string_equal(out.user, lookups[i].credentials);
        assert_string_equal(out.identity, lookups[i].identity);
    }
}

static void basic_is_base64(void **state)
{
    char *basic = auth_basic("Aladdin:open sesame"); /* RFC 7617 section 2 */

    (void)state;
    assert_string_equal(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    free(basic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenges_are_read),
        cmocka_unit_test(broken_challenges_are_refused),
        cmocka_unit_test(token_urls_are_escaped_and_secure),
        cmocka_unit_test(identity_tokens_are_escaped_and_secure),
        cmocka_unit_test(tokens_are_taken_from_json),
        cmocka_unit_test(credentials_are_found_by_host),
        cmocka_unit_test(basic_is_base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
