#include "node/image/auth.h"

#include "base/memory.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- the challenge ------------------------------------------------------- */

/* RFC 9110 section 5.6.2. */
static size_t token_length(const char *at)
{
    return strspn(at, "!#$%&'*+-.^_`|~0123456789"
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
}

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t");
}

/* A value, quoted or bare, into `out`. Return what follows, or NULL when it
 * does not end or does not fit. */
static const char *read_value(const char *at, char *out, size_t capacity)
{
    size_t length = 0;

    if (*at != '"') {
        length = token_length(at);
        if (length >= capacity)
            return NULL;
        memcpy(out, at, length);
        out[length] = '\0';
        return at + length;
    }
    for (at++; *at != '"'; at++) {
        if (*at == '\\')
            at++;
        if (*at == '\0' || length + 1 >= capacity)
            return NULL;
        out[length++] = *at;
    }
    out[length] = '\0';
    return at + 1;
}

static void keep_parameter(struct auth_challenge *challenge, const char *name,
                           size_t name_length, const char *value)
{
    const struct {
        const char *name;
        char *out;
        size_t capacity;
    } known[] = {
        {"realm", challenge->realm, sizeof challenge->realm},
        {"service", challenge->service, sizeof challenge->service},
        {"scope", challenge->scope, sizeof challenge->scope},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strlen(known[i].name) == name_length &&
            strncasecmp(known[i].name, name, name_length) == 0)
            snprintf(known[i].out, known[i].capacity, "%s", value);
}

/* name=value, name=value ... up to the next challenge or the end. Return
 * what follows, or NULL when it cannot be read. */
static const char *read_parameters(const char *at, struct auth_challenge *out)
{
    char value[AUTH_REALM_MAX];

    for (;;) {
        const char *name = at = at + strspn(at, " \t,");
        size_t length = token_length(at);
        const char *equals = skip_space(at + length);

        if (length == 0)
            return *at == '\0' ? at : NULL;
        if (*equals != '=')
            return name; /* the next challenge's scheme */
        at = read_value(skip_space(equals + 1), value, sizeof value);
        if (!at)
            return NULL;
        keep_parameter(out, name, length, value);
        at = skip_space(at);
        if (*at != ',' && *at != '\0')
            return NULL;
    }
}

static enum auth_scheme scheme_of(const char *at, size_t length)
{
    if (length == 6 && strncasecmp(at, "Bearer", length) == 0)
        return AUTH_BEARER;
    if (length == 5 && strncasecmp(at, "Basic", length) == 0)
        return AUTH_BASIC;
    return AUTH_NONE;
}

int auth_challenge_parse(const char *header, struct auth_challenge *out,
                         struct error *why)
{
    struct auth_challenge best = *out;
    const char *at = header;

    for (;;) {
        struct auth_challenge one = {.scheme = AUTH_NONE};
        size_t length;

        at += strspn(at, " \t,");
        if (*at == '\0')
            break;
        length = token_length(at);
        one.scheme = scheme_of(at, length);
        at = length == 0 ? NULL : read_parameters(at + length, &one);
        if (!at)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "WWW-Authenticate \"%.200s\" cannot be read",
                             header);
        if (one.scheme > best.scheme)
            best = one;
    }
    *out = best;
    return 0;
}

/* ---- the token ----------------------------------------------------------- */

/* Append `divider`, "name=" and `value`, percent-encoded (RFC 3986 section
 * 2.3), unless that is empty; false: no room. */
static bool append_pair(char *out, size_t capacity, char divider,
                        const char *name, const char *value)
{
    size_t length = strlen(out);

    if (value[0] == '\0')
        return true;
    if (length + strlen(name) + 2 >= capacity)
        return false;
    length += (size_t)snprintf(out + length, capacity - length,
                               "%c%s=", divider, name);
    for (; *value; value++) {
        bool plain = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"
                            "yz0123456789-._~",
                            *value) != NULL;

        if (length + 4 > capacity)
            return false;
        length += (size_t)snprintf(out + length, capacity - length,
                                   plain ? "%c" : "%%%02X",
                                   plain ? *value : (unsigned char)*value);
    }
    return true;
}

static int check_realm(const char *realm, bool allow_http, struct error *why)
{
    bool secure = strncasecmp(realm, "https://", 8) == 0;
    bool plain = strncasecmp(realm, "http://", 7) == 0;

    if (secure || (plain && allow_http))
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "token realm \"%.200s\" is not an https URL", realm);
}

int auth_token_url(const struct auth_challenge *challenge, const char *scope,
                   bool allow_http, char url[AUTH_URL_MAX], struct error *why)
{
    char text[AUTH_URL_MAX];

    if (check_realm(challenge->realm, allow_http, why) != 0)
        return (int)why->code;
    snprintf(text, sizeof text, "%s", challenge->realm);
    if (!append_pair(text, sizeof text, strchr(text, '?') ? '&' : '?',
                     "service", challenge->service) ||
        !append_pair(text, sizeof text, strchr(text, '?') ? '&' : '?', "scope",
                     challenge->scope[0] ? challenge->scope : scope))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "token realm \"%.200s\": the URL is too long",
                         challenge->realm);
    memcpy(url, text, sizeof text);
    return 0;
}

int auth_token_form(const struct auth_challenge *challenge, const char *scope,
                    bool allow_http, const char *identity,
                    char form[AUTH_FORM_MAX], struct error *why)
{
    if (check_realm(challenge->realm, allow_http, why) != 0)
        return (int)why->code;
    strcpy(form, "grant_type=refresh_token&client_id=kontor");
    if (!append_pair(form, AUTH_FORM_MAX, '&', "service", challenge->service) ||
        !append_pair(form, AUTH_FORM_MAX, '&', "scope",
                     challenge->scope[0] ? challenge->scope : scope) ||
        !append_pair(form, AUTH_FORM_MAX, '&', "refresh_token", identity))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "token realm \"%.200s\": the form is too long",
                         challenge->realm);
    return 0;
}

static void json_drop(json_t **json)
{
    json_decref(*json);
}

/* It becomes a header's value: nothing in it may end the header. */
static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

int auth_token_parse(const void *json, size_t length, struct buffer *out,
                     struct error *why)
{
    CLEANUP(json_drop) json_t *root = json_loadb(json, length, 0, NULL);
    const char *token = json_string_value(json_object_get(root, "token"));

    if (!token)
        token = json_string_value(json_object_get(root, "access_token"));
    if (!token || token[0] == '\0' || !is_printable(token))
        return error_set(why, ERROR_UNAUTHENTICATED,
                         "the token server's answer holds no token");
    return buffer_append(out, token, strlen(token) + 1, why);
}

/* ---- credentials --------------------------------------------------------- */

/* Whether a key of "auths" is for `host`: Docker takes a URL, too, and then
 * only its host counts. Its own hub goes by several names. */
static bool key_is_for(const char *key, const char *host)
{
    static const char *const hub[] = {"index.docker.io",
                                      "registry-1.docker.io"};
    const char *slashes = strstr(key, "://");
    const char *name = slashes ? slashes + 3 : key;
    size_t length = strcspn(name, "/");

    if (strlen(host) == length && strncasecmp(name, host, length) == 0)
        return true;
    if (strcmp(host, "docker.io") != 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(hub); i++)
        if (strlen(hub[i]) == length && strncasecmp(name, hub[i], length) == 0)
            return true;
    return false;
}

/* The host itself is looked for first. */
static const json_t *find_host(json_t *auths, const char *host)
{
    const json_t *found = json_object_get(auths, host);
    const char *key;
    json_t *entry;

    if (found)
        return found;
    json_object_foreach(auths, key, entry)
    {
        if (key_is_for(key, host))
            return entry;
    }
    return NULL;
}

static int decode(const char *base64, const char *host,
                  char out[AUTH_CREDENTIALS_MAX], struct error *why)
{
    uint8_t raw[AUTH_CREDENTIALS_MAX];
    size_t length = strlen(base64);
    size_t padding = length - strcspn(base64, "=");
    int decoded = -1;

    /* EVP_DecodeBlock() counts what the padding stands for as zero bytes. */
    if (length % 4 == 0 && length / 4 * 3 < sizeof raw && padding <= 2)
        decoded = EVP_DecodeBlock(raw, (const uint8_t *)base64, (int)length);
    if (decoded < (int)padding)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "credentials for %.200s are not base64", host);
    raw[decoded - (int)padding] = '\0';
    if (!strchr((char *)raw, ':'))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "credentials for %.200s are not user:password", host);
    snprintf(out, AUTH_CREDENTIALS_MAX, "%s", (char *)raw);
    return 0;
}

/* "username" and "password", as podman and Kubernetes write them. */
static int join(const json_t *entry, const char *host,
                char out[AUTH_CREDENTIALS_MAX], struct error *why)
{
    const char *user = json_string_value(json_object_get(entry, "username"));
    const char *password =
        json_string_value(json_object_get(entry, "password"));
    char joined[AUTH_CREDENTIALS_MAX] = "";

    if (user && password &&
        snprintf(joined, sizeof joined, "%s:%s", user, password) >=
            AUTH_CREDENTIALS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "credentials for %.200s are longer than %d bytes",
                         host, AUTH_CREDENTIALS_MAX);
    memcpy(out, joined, sizeof joined);
    return 0;
}

static int find_identity(const json_t *entry, const char *host,
                         char out[AUTH_CREDENTIALS_MAX], struct error *why)
{
    const char *token =
        json_string_value(json_object_get(entry, "identitytoken"));

    if (token && strlen(token) >= AUTH_CREDENTIALS_MAX)
        return error_set(
            why, ERROR_INVALID_ARGUMENT,
            "the identity token for %.200s is longer than %d bytes", host,
            AUTH_CREDENTIALS_MAX);
    snprintf(out, AUTH_CREDENTIALS_MAX, "%s", token ? token : "");
    return 0;
}

int auth_credentials_find(const void *json, size_t length, const char *host,
                          struct auth_credentials *out, struct error *why)
{
    CLEANUP(json_drop) json_t *root = json_loadb(json, length, 0, NULL);
    const json_t *entry = find_host(json_object_get(root, "auths"), host);
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    struct auth_credentials found;

    if (!root)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "registry credentials are not JSON");
    if (find_identity(entry, host, found.identity, why) != 0 ||
        (auth && auth[0] ? decode(auth, host, found.user, why)
                         : join(entry, host, found.user, why)) != 0)
        return (int)why->code;
    *out = found;
    return 0;
}

char *auth_basic(const char *credentials)
{
    size_t length = strlen(credentials);
    CLEANUP(free_pointer) char *base64 = memory_new(length / 3 * 4 + 5);

    EVP_EncodeBlock((uint8_t *)base64, (const uint8_t *)credentials,
                    (int)length);
    return memory_format("Basic %s", base64);
}
