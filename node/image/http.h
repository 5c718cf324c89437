/* http.h - GET, and POST of a form, over libcurl, several at a time, on the
 * caller's own loop.
 *
 * Redirects are followed here, one by one: at most HTTP_REDIRECTS_MAX, never
 * from https to http, and the Authorization header goes to the first origin
 * only. A form is not sent on at all. */
#pragma once

#include "base/buffer.h"

#include <curl/curl.h>
#include <stdbool.h>

enum {
    HTTP_URL_MAX = 8192,
    HTTP_REDIRECTS_MAX = 5,
    HTTP_HEADER_MAX = 1024,
    HTTP_CONNECT_MS = 10000,
    HTTP_STALL_SECONDS = 30, /* not a byte for so long: broken */
    HTTP_ERROR_BODY_MAX = 8192,
    HTTP_RETRY_AFTER_MAX_MS = 60000, /* who asks for more is not waited for */
};

struct http {
    CURLM *multi; /* owned */
};

int http_init(struct http *http, struct error *why);
void http_fini(struct http *http);

struct http_request {
    /* Set by the caller; borrowed until http_request_fini(). */
    const char *url;
    const char *accept;        /* or NULL */
    const char *authorization; /* or NULL: the header's value; copied */
    const char *form;          /* or NULL: POSTed as it is */
    uint64_t offset;           /* > 0: ask for the bytes from there on */
    bool allow_http;
    size_t body_max; /* bytes; more is RESOURCE_EXHAUSTED */
    /* A piece of a 200's or 206's body; true: taken. False: not now; the
     * same piece comes again after http_request_resume(). NULL: the body is
     * collected in `body`. */
    bool (*on_data)(struct http_request *request, const uint8_t *bytes,
                    size_t length);

    /* The outcome, once `finished`: an answer (why.code 0), or none. */
    bool finished;
    struct error why;
    CURLcode result;  /* tells transient failures apart */
    bool left_origin; /* it is another host's answer */
    long status;
    char content_type[HTTP_HEADER_MAX];
    char content_digest[HTTP_HEADER_MAX]; /* Docker-Content-Digest */
    char authenticate[HTTP_HEADER_MAX];   /* all of them, comma between */
    uint64_t retry_after_ms;              /* Retry-After; 0: not said */
    struct buffer body; /* also an error's, cut at HTTP_ERROR_BODY_MAX */

    /* Internal. */
    CURL *easy;
    struct curl_slist *headers;
    struct http *http;
    char location[HTTP_URL_MAX];
    char reason[CURL_ERROR_SIZE];
    int redirects;
};

/* Zeroed and with its fields set, a request is started; it has to stay where
 * it is. A failure to start is an outcome like any other. */
void http_request_start(struct http *http, struct http_request *request);
/* Also cancels. Harmless on a zeroed request. */
void http_request_fini(struct http_request *request);
void http_request_resume(struct http_request *request);

/* Move all requests on; wait up to `wait_ms` when nothing is to be done, or
 * until one of `fds` is ready. */
int http_run(struct http *http, struct curl_waitfd *fds, unsigned count,
             int wait_ms, struct error *why);

/* Where in the resource the body that comes begins: 0, or what a 206 says;
 * UINT64_MAX when it says nothing. From within on_data. */
uint64_t http_request_body_start(const struct http_request *request);

/* Whether the same again might work: the network's fault, a 5xx or a 429,
 * unless the server asks to be left alone for longer than
 * HTTP_RETRY_AFTER_MAX_MS. */
bool http_request_transient(const struct http_request *request);
