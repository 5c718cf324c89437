#include "node/image/http.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { RECEIVE_BYTES = 256 << 10 };

int http_init(struct http *http, struct error *why)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(why, ERROR_INTERNAL, "start libcurl");
    http->multi = curl_multi_init();
    if (!http->multi)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED, "start libcurl");
    return 0;
}

void http_fini(struct http *http)
{
    curl_multi_cleanup(http->multi);
    http->multi = NULL;
    curl_global_cleanup();
}

/* ---- one transfer -------------------------------------------------------- */

static bool is_success(CURL *easy)
{
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 || status == 206;
}

static size_t collect(struct http_request *request, const char *bytes,
                      size_t length)
{
    bool success = is_success(request->easy);
    size_t limit = success ? request->body_max : HTTP_ERROR_BODY_MAX;
    size_t room = limit - buffer_length(&request->body);
    size_t taken = length < room ? length : room;
    struct error unheard;

    buffer_append(&request->body, bytes, taken, &unheard);
    if (taken == length || !success)
        return length; /* the rest of a long complaint is not missed */
    error_set(&request->why, ERROR_RESOURCE_EXHAUSTED,
              "the answer is larger than %zu bytes", limit);
    return 0; /* ends the transfer */
}

static size_t http_on_write(char *bytes, size_t size, size_t count, void *data)
{
    struct http_request *request = data;

    if (!request->on_data || !is_success(request->easy))
        return collect(request, bytes, size * count);
    if (request->on_data(request, (const uint8_t *)bytes, size * count))
        return size * count;
    return CURL_WRITEFUNC_PAUSE;
}

static bool starts_with(const char *text, const char *start)
{
    return strncasecmp(text, start, strlen(start)) == 0;
}

/* "//HOST:PORT" of a URL, and how long it is with the scheme before it. */
static size_t origin_length(const char *url)
{
    const char *slashes = strstr(url, "//");

    return slashes ? (size_t)(slashes - url) + 2 + strcspn(slashes + 2, "/?#")
                   : 0;
}

static bool same_origin(const char *a, const char *b)
{
    size_t length = origin_length(a);

    return length > 0 && length == origin_length(b) &&
           strncasecmp(a, b, length) == 0;
}

static bool add_header(struct http_request *request, const char *name,
                       const char *value)
{
    CLEANUP(free_pointer) char *line = memory_format("%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(request->headers, line);

    if (longer)
        request->headers = longer;
    return longer != NULL;
}

static bool set_headers(struct http_request *request, const char *authorization)
{
    curl_slist_free_all(request->headers);
    request->headers = NULL;
    if (request->accept && !add_header(request, "Accept", request->accept))
        return false;
    if (authorization && !add_header(request, "Authorization", authorization))
        return false;
    return curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER,
                            request->headers) == CURLE_OK;
}

/* A proxy is for the outside; nothing between this machine and itself. */
static bool is_local(const char *url)
{
    return starts_with(url, "http://127.") ||
           starts_with(url, "http://localhost") ||
           starts_with(url, "http://[::1]");
}

static CURLcode configure(struct http_request *request, const char *url)
{
    CURL *easy = request->easy;
    CURLcode failed = CURLE_OK;
    char range[32];

    snprintf(range, sizeof range, "%llu-", (unsigned long long)request->offset);
    /* The first failure stays; options of libcurl are of many types. */
#define SET(option, value) \
    failed = failed ? failed : curl_easy_setopt(easy, option, value)
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, request->allow_http ? "http,https" : "https");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_MS);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, (long)HTTP_STALL_SECONDS);
    SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    SET(CURLOPT_USERAGENT, "kontor/" KONTOR_VERSION);
    SET(CURLOPT_ERRORBUFFER, request->reason);
    SET(CURLOPT_PRIVATE, request);
    SET(CURLOPT_WRITEDATA, request);
    SET(CURLOPT_WRITEFUNCTION, http_on_write);
    SET(CURLOPT_RANGE, request->offset > 0 ? range : NULL);
    if (request->form)
        SET(CURLOPT_POSTFIELDS, request->form);
    if (is_local(url))
        SET(CURLOPT_PROXY, "");
#undef SET
    return failed;
}

static void finish(struct http_request *request, CURLcode result)
{
    request->result = result;
    request->finished = true;
    if (result == CURLE_OK || request->why.code != ERROR_OK)
        return;
    error_set(&request->why, ERROR_UNAVAILABLE, "%s%s",
              request->reason[0] ? request->reason : curl_easy_strerror(result),
              result == CURLE_SSL_CONNECT_ERROR
                  ? " (a registry without TLS has to be named with "
                    "--insecure-registry)"
                  : "");
}

static void begin(struct http_request *request, const char *url)
{
    CURLcode failed = configure(request, url);

    if (failed == CURLE_OK &&
        curl_multi_add_handle(request->http->multi, request->easy) != CURLM_OK)
        failed = CURLE_FAILED_INIT;
    if (failed != CURLE_OK)
        finish(request, failed);
}

void http_request_start(struct http *http, struct http_request *request)
{
    size_t limit = request->body_max > HTTP_ERROR_BODY_MAX
                       ? request->body_max
                       : HTTP_ERROR_BODY_MAX;

    request->http = http;
    buffer_init(&request->body, limit);
    snprintf(request->location, sizeof request->location, "%s", request->url);
    request->easy = curl_easy_init();
    if (request->easy && set_headers(request, request->authorization))
        begin(request, request->url);
    else
        finish(request, CURLE_OUT_OF_MEMORY);
}

void http_request_fini(struct http_request *request)
{
    if (request->easy) {
        curl_multi_remove_handle(request->http->multi, request->easy);
        curl_easy_cleanup(request->easy);
        request->easy = NULL;
    }
    curl_slist_free_all(request->headers);
    request->headers = NULL;
    buffer_fini(&request->body);
}

void http_request_resume(struct http_request *request)
{
    if (request->easy && !request->finished)
        curl_easy_pause(request->easy, CURLPAUSE_CONT);
}

/* ---- the answer ---------------------------------------------------------- */

static void copy_header(CURL *easy, const char *name, char out[HTTP_HEADER_MAX])
{
    struct curl_header *header;

    out[0] = '\0';
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
        snprintf(out, HTTP_HEADER_MAX, "%s", header->value);
}

static void copy_challenges(struct http_request *request)
{
    struct curl_header *header;
    size_t used = 0;

    request->authenticate[0] = '\0';
    for (size_t i = 0; curl_easy_header(request->easy, "WWW-Authenticate", i,
                                        CURLH_HEADER, -1, &header) == CURLHE_OK;
         i++) {
        size_t length = strlen(header->value);

        if (used + length + 3 > HTTP_HEADER_MAX)
            break; /* half a challenge would be misread */
        used += (size_t)snprintf(request->authenticate + used,
                                 HTTP_HEADER_MAX - used, "%s%s",
                                 used ? ", " : "", header->value);
    }
}

/* Seconds or a date (RFC 9110 section 10.2.3); libcurl reads both. */
static void copy_retry_after(struct http_request *request)
{
    curl_off_t seconds = 0;

    curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &seconds);
    request->retry_after_ms = seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

/* Where a 3xx leads; false when the answer is none, or not for a form. */
static bool redirected(struct http_request *request, const char **url)
{
    *url = NULL;
    if (request->form || request->status < 300 || request->status > 399)
        return false;
    curl_easy_getinfo(request->easy, CURLINFO_REDIRECT_URL, url);
    return *url != NULL;
}

static void follow(struct http_request *request, const char *url)
{
    char next[HTTP_URL_MAX];

    if (strlen(url) >= sizeof next ||
        ++request->redirects > HTTP_REDIRECTS_MAX) {
        error_set(&request->why, ERROR_UNAVAILABLE,
                  "more than %d redirects, or to a URL that is too long",
                  HTTP_REDIRECTS_MAX);
        finish(request, CURLE_TOO_MANY_REDIRECTS);
        return;
    }
    snprintf(next, sizeof next, "%s", url);
    if (starts_with(request->location, "https://") &&
        !starts_with(next, "https://")) {
        error_set(&request->why, ERROR_UNAVAILABLE,
                  "redirected from https to \"%.100s\"", next);
        finish(request, CURLE_UNSUPPORTED_PROTOCOL);
        return;
    }
    /* Once another origin was met nothing later gets the header either. */
    if (!same_origin(request->location, next)) {
        request->left_origin = true;
        if (!set_headers(request, NULL)) {
            finish(request, CURLE_OUT_OF_MEMORY);
            return;
        }
    }
    snprintf(request->location, sizeof request->location, "%s", next);
    buffer_consume(&request->body, buffer_length(&request->body));
    begin(request, request->location);
}

static void http_on_done(struct http_request *request, CURLcode result)
{
    const char *url;

    curl_multi_remove_handle(request->http->multi, request->easy);
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &request->status);
    if (result == CURLE_OK && redirected(request, &url)) {
        follow(request, url);
        return;
    }
    copy_header(request->easy, "Content-Type", request->content_type);
    copy_header(request->easy, "Docker-Content-Digest",
                request->content_digest);
    copy_challenges(request);
    copy_retry_after(request);
    finish(request, result);
}

int http_run(struct http *http, struct curl_waitfd *fds, unsigned count,
             int wait_ms, struct error *why)
{
    CURLMsg *message;
    int running;
    int queued;

    if (curl_multi_poll(http->multi, fds, count, wait_ms, NULL) != CURLM_OK ||
        curl_multi_perform(http->multi, &running) != CURLM_OK)
        return error_set(why, ERROR_INTERNAL, "libcurl's loop");
    while ((message = curl_multi_info_read(http->multi, &queued))) {
        struct http_request *request;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
        http_on_done(request, message->data.result);
    }
    return 0;
}

uint64_t http_request_body_start(const struct http_request *request)
{
    unsigned long long start;
    struct curl_header *header;
    long status = 0;

    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 206)
        return 0;
    if (curl_easy_header(request->easy, "Content-Range", 0, CURLH_HEADER, -1,
                         &header) != CURLHE_OK ||
        sscanf(header->value, "bytes %20llu-", &start) != 1)
        return UINT64_MAX;
    return start;
}

bool http_request_transient(const struct http_request *request)
{
    switch ((int)request->result) {
    case CURLE_OK:
        return (request->status >= 500 || request->status == 429) &&
               request->retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}
