/* fake_registry.h - an HTTP server on loopback that answers what it is told,
 * rightly and wrongly; for what a good registry cannot be made to do. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FAKE_ROUTES_MAX = 32,
    FAKE_LOG_MAX = 1 << 16,
    FAKE_PATH_MAX = 512,
};

struct fake_route {
    char path[FAKE_PATH_MAX];
    int status;               /* 0: 200 */
    const char *content_type; /* or NULL */
    const char *header;       /* more header lines, each with \r\n; or NULL */
    const uint8_t *body;
    size_t length;
    const char *authorization; /* wanted; NULL: none. Without it: 401 */
    const char *challenge;     /* the 401's WWW-Authenticate */
    int cut_times;             /* so often it breaks off ... */
    size_t cut_bytes;          /* ... after so many bytes */
    bool no_ranges;            /* sends everything whatever was asked for */
    int fail_times;            /* so often it answers 503 first ... */
    int fail_status;           /* ... or this */
    const char *fail_header;   /* and more header lines; or NULL */
    bool stalls;               /* after cut_bytes, until it is closed */
};

struct fake_registry {
    int port;
    int listener;
    int stop[2];
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    struct fake_route routes[FAKE_ROUTES_MAX];
    size_t route_count;
    char log[FAKE_LOG_MAX]; /* "PATH auth=... range=... form=...\n" each */
    size_t log_length;
};

void fake_registry_open(struct fake_registry *registry);
void fake_registry_close(struct fake_registry *registry);

/* Bytes and strings of `route` are borrowed until the registry is closed; a
 * route of the same path is replaced. */
void fake_registry_serve(struct fake_registry *registry,
                         const struct fake_route *route);

/* How many requests' lines hold `text`. */
int fake_registry_count(struct fake_registry *registry, const char *text);
