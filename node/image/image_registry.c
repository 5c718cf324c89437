#include "node/image/image_registry.h"

#include "base/memory.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { LOOP_WAIT_MS = 1000 };

void image_registry_init(struct image_registry *registry, struct http *http,
                         const struct reference *reference, bool insecure,
                         const struct auth_credentials *credentials)
{
    bool hub = strcmp(reference->host, "docker.io") == 0;

    memset(registry, 0, sizeof *registry);
    registry->http = http;
    registry->reference = reference;
    registry->allow_http =
        insecure || reference_host_is_loopback(reference->host);
    snprintf(registry->base, sizeof registry->base, "%s://%s/v2/%s",
             registry->allow_http ? "http" : "https",
             hub ? "registry-1.docker.io" : reference->host, reference->name);
    registry->credentials = *credentials;
}

void image_registry_fini(struct image_registry *registry)
{
    free(registry->authorization);
    registry->authorization = NULL;
}

char *image_registry_blob_url(const struct image_registry *registry,
                              const struct digest *digest)
{
    return memory_format("%s/blobs/%s", registry->base, digest->text);
}

/* ---- errors -------------------------------------------------------------- */

/* The first message of {"errors":[{"code":..,"message":..}]}, or "". */
static void complaint(const struct http_request *request, char out[200])
{
    json_t *root = NULL;
    const json_t *first;
    const char *text;

    if (buffer_length(&request->body) > 0)
        root = json_loadb((const char *)buffer_data(&request->body),
                          buffer_length(&request->body), 0, NULL);
    first = json_array_get(json_object_get(root, "errors"), 0);
    text = json_string_value(json_object_get(first, "message"));
    snprintf(out, 200, "%s%s", text ? ": " : "", text ? text : "");
    json_decref(root);
}

int image_registry_explain(const struct image_registry *registry,
                           const struct http_request *request, const char *what,
                           struct error *why)
{
    const char *host = registry->reference->host;
    enum error_code code = ERROR_UNAVAILABLE;
    char text[200];

    if (request->why.code != ERROR_OK) {
        *why = request->why;
        return error_wrap(why, "registry %s", host);
    }
    complaint(request, text);
    if (request->status == 404)
        return error_set(why, ERROR_NOT_FOUND, "registry %s has no %s in %s%s",
                         host, what, registry->reference->name, text);
    if (request->status == 401)
        code = ERROR_UNAUTHENTICATED;
    else if (request->status == 403)
        code = ERROR_PERMISSION_DENIED;
    else if (request->status < 500 && request->status != 429)
        code = ERROR_FAILED_PRECONDITION;
    if (request->retry_after_ms > HTTP_RETRY_AFTER_MAX_MS)
        snprintf(text, sizeof text, ": to be asked again in %llu s",
                 (unsigned long long)request->retry_after_ms / 1000);
    return error_set(why, code, "registry %s answered %ld for %s in %s%s", host,
                     request->status, what, registry->reference->name, text);
}

uint64_t image_registry_pause_ms(const struct http_request *request,
                                 unsigned tries)
{
    uint64_t pause_ms = (uint64_t)IMAGE_REGISTRY_BACKOFF_MS << tries;

    return pause_ms > request->retry_after_ms ? pause_ms
                                              : request->retry_after_ms;
}

/* ---- one request at a time ----------------------------------------------- */

static int run_until_finished(struct image_registry *registry,
                              struct http_request *request, struct error *why)
{
    http_request_start(registry->http, request);
    while (!request->finished)
        if (http_run(registry->http, NULL, 0, LOOP_WAIT_MS, why) != 0)
            return (int)why->code;
    return 0;
}

static int ask_for_token(struct image_registry *registry,
                         struct http_request *request, struct error *why)
{
    struct buffer *body = &request->body;
    CLEANUP(buffer_fini) struct buffer token;

    buffer_init(&token, AUTH_TOKEN_MAX_BYTES);
    request->allow_http = registry->allow_http;
    request->body_max = AUTH_TOKEN_MAX_BYTES;
    if (run_until_finished(registry, request, why) != 0)
        return (int)why->code;
    if (request->form && (request->status == 404 || request->status == 405))
        return error_set(why, ERROR_UNAUTHENTICATED,
                         "its token server takes no identity tokens");
    if (request->why.code != ERROR_OK || request->status != 200)
        return image_registry_explain(registry, request, "a token", why);
    if (auth_token_parse(buffer_data(body), buffer_length(body), &token, why) !=
        0)
        return (int)why->code;
    free(registry->authorization);
    registry->authorization =
        memory_format("Bearer %s", (const char *)buffer_data(&token));
    return 0;
}

static int fetch_token(struct image_registry *registry,
                       const struct auth_challenge *challenge,
                       struct error *why)
{
    const struct auth_credentials *credentials = &registry->credentials;
    CLEANUP(free_pointer)
    char *scope =
        memory_format("repository:%s:pull", registry->reference->name);
    CLEANUP(free_pointer)
    char *basic = credentials->user[0] ? auth_basic(credentials->user) : NULL;
    CLEANUP(http_request_fini) struct http_request request = {0};
    char url[AUTH_URL_MAX];
    char form[AUTH_FORM_MAX];

    if (credentials->identity[0]) {
        if (auth_token_form(challenge, scope, registry->allow_http,
                            credentials->identity, form, why) != 0)
            return (int)why->code;
        request.url = challenge->realm;
        request.form = form;
    } else {
        if (auth_token_url(challenge, scope, registry->allow_http, url, why) !=
            0)
            return (int)why->code;
        request.url = url;
        request.authorization = basic;
    }
    return ask_for_token(registry, &request, why);
}

int image_registry_authorize(struct image_registry *registry,
                             const struct http_request *refused,
                             struct error *why)
{
    struct auth_challenge challenge = {.scheme = AUTH_NONE};

    if (refused->left_origin)
        return error_set(why, ERROR_UNAUTHENTICATED,
                         "another host, which it leads to, wants credentials");
    if (auth_challenge_parse(refused->authenticate, &challenge, why) != 0)
        return (int)why->code;
    if (challenge.scheme == AUTH_BEARER)
        return fetch_token(registry, &challenge, why);
    if (challenge.scheme == AUTH_BASIC && registry->credentials.user[0] &&
        !registry->authorization) {
        registry->authorization = auth_basic(registry->credentials.user);
        return 0;
    }
    return error_set(why, ERROR_UNAUTHENTICATED, "it wants %s",
                     challenge.scheme == AUTH_BASIC
                         ? (registry->credentials.user[0] ? "other credentials"
                                                          : "credentials")
                         : "authentication of an unknown kind");
}

static void request_reset(struct http_request *request)
{
    const struct http_request fresh = {
        .accept = request->accept,
        .url = request->url,
        .allow_http = request->allow_http,
        .body_max = request->body_max,
    };

    http_request_fini(request);
    *request = fresh;
}

/* GET, again after a 401 and, with growing pauses, after a passing failure.
 * A registry that cannot be connected to is reported at once: whoever asked
 * will ask again. */
static int get(struct image_registry *registry, struct http_request *request,
               const char *what, struct error *why)
{
    bool authorized = false;

    for (unsigned try = 0;; try++) {
        request->authorization = registry->authorization;
        if (run_until_finished(registry, request, why) != 0)
            return (int)why->code;
        if (request->why.code == ERROR_OK && request->status == 200)
            return 0;
        if (request->why.code == ERROR_OK && request->status == 401 &&
            !authorized) {
            authorized = true;
            if (image_registry_authorize(registry, request, why) != 0)
                return error_wrap(why, "registry %s, %s in %s",
                                  registry->reference->host, what,
                                  registry->reference->name);
        } else if (!http_request_transient(request) ||
                   request->result == CURLE_COULDNT_CONNECT ||
                   request->result == CURLE_COULDNT_RESOLVE_HOST ||
                   try + 1 >= IMAGE_REGISTRY_TRIES_MAX) {
            return image_registry_explain(registry, request, what, why);
        } else {
            poll(NULL, 0, (int)image_registry_pause_ms(request, try));
        }
        request_reset(request);
    }
}

/* Check `request`'s body against `digest` and move it to `out`. */
static int take_body(struct http_request *request, const struct digest *digest,
                     const char *what, struct buffer *out, struct error *why)
{
    const uint8_t *bytes = buffer_data(&request->body);
    size_t length = buffer_length(&request->body);
    struct digest actual;

    digest_of(bytes, length, &actual);
    if (digest->text[0] && !digest_equal(&actual, digest))
        return error_set(why, ERROR_DATA_LOSS,
                         "%s: what was sent for it has the digest %s", what,
                         actual.text);
    return buffer_append(out, bytes, length, why);
}

int image_registry_manifest(struct image_registry *registry,
                            const char *tag_or_digest, struct buffer *out,
                            char media_type[HTTP_HEADER_MAX], struct error *why)
{
    CLEANUP(free_pointer)
    char *url = memory_format("%s/manifests/%s", registry->base, tag_or_digest);
    CLEANUP(free_pointer)
    char *what = memory_format("manifest %s", tag_or_digest);
    CLEANUP(http_request_fini)
    struct http_request request = {
        .url = url,
        .accept = manifest_accept,
        .allow_http = registry->allow_http,
        .body_max = MANIFEST_MAX_BYTES,
    };
    struct digest digest = {{0}};
    struct error no_digest;

    if (get(registry, &request, what, why) != 0)
        return (int)why->code;
    /* Asked for by tag, it is at least what the registry says it sent. */
    if (digest_parse(tag_or_digest, &digest, &no_digest) != 0)
        digest_parse(request.content_digest, &digest, &no_digest);
    if (take_body(&request, &digest, what, out, why) != 0)
        return error_wrap(why, "registry %s", registry->reference->host);
    memcpy(media_type, request.content_type, HTTP_HEADER_MAX);
    return 0;
}

int image_registry_blob(struct image_registry *registry,
                        const struct descriptor *blob, struct buffer *out,
                        struct error *why)
{
    CLEANUP(free_pointer)
    char *url = image_registry_blob_url(registry, &blob->digest);
    CLEANUP(free_pointer)
    char *what = memory_format("blob %s", blob->digest.text);
    CLEANUP(http_request_fini)
    struct http_request request = {
        .url = url,
        .allow_http = registry->allow_http,
        .body_max = blob->size_bytes,
    };

    if (get(registry, &request, what, why) != 0)
        return (int)why->code;
    if (take_body(&request, &blob->digest, what, out, why) != 0)
        return error_wrap(why, "registry %s", registry->reference->host);
    return 0;
}
