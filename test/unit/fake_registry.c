#include "fake_registry.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 16384 };

/* ---- one request --------------------------------------------------------- */

/* Have as many bytes as its head says come, where that is whole? */
static bool is_whole(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n");
    const char *length = strstr(request, "\r\nContent-Length: ");
    size_t body = length ? strtoul(length + 18, NULL, 10) : 0;

    return end && strlen(end + 4) >= body;
}

/* Read a request; false when its end never comes. */
static bool read_request(int fd, char request[REQUEST_MAX])
{
    size_t length = 0;

    while (length < REQUEST_MAX - 1) {
        ssize_t got = recv(fd, request + length, REQUEST_MAX - 1 - length, 0);

        if (got <= 0)
            return false;
        length += (size_t)got;
        request[length] = '\0';
        if (is_whole(request))
            return true;
    }
    return false;
}

/* The value of "\r\nNAME: " in a request, or "". */
static void find_header(const char *request, const char *name, char out[1024])
{
    const char *at = strstr(request, name);

    out[0] = '\0';
    if (at)
        snprintf(out, 1024, "%.*s", (int)strcspn(at + strlen(name), "\r\n"),
                 at + strlen(name));
}

static void send_all(int fd, const void *bytes, size_t length)
{
    const char *next = bytes;

    while (length > 0) {
        ssize_t put = send(fd, next, length, MSG_NOSIGNAL);

        if (put <= 0)
            return;
        next += put;
        length -= (size_t)put;
    }
}

static struct fake_route *find_route(struct fake_registry *registry,
                                     const char *path)
{
    for (size_t i = 0; i < registry->route_count; i++)
        if (strcmp(registry->routes[i].path, path) == 0)
            return &registry->routes[i];
    return NULL;
}

/* What to do about one request, decided under the lock. */
struct answer {
    struct fake_route route;
    int status;
    size_t from;
    size_t bytes; /* of the body that are sent */
    bool stall;
};

static void decide(struct fake_registry *registry, const char *path,
                   const char *request, struct answer *out)
{
    char authorization[1024];
    char range[1024];
    struct fake_route *route = find_route(registry, path);
    int left = FAKE_LOG_MAX - (int)registry->log_length;

    find_header(request, "\r\nAuthorization: ", authorization);
    find_header(request, "\r\nRange: ", range);
    registry->log_length +=
        (size_t)snprintf(registry->log + registry->log_length, (size_t)left,
                         "%s auth=%s range=%s form=%s\n", path, authorization,
                         range, strstr(request, "\r\n\r\n") + 4);
    assert(registry->log_length < FAKE_LOG_MAX);
    memset(out, 0, sizeof *out);
    out->status = 404;
    if (!route)
        return;
    out->route = *route;
    out->status = route->status ? route->status : 200;
    if (route->authorization &&
        strcmp(route->authorization, authorization) != 0) {
        out->status = 401;
        return;
    }
    if (route->fail_times > 0) {
        route->fail_times--;
        out->status = route->fail_status ? route->fail_status : 503;
        out->route.header = route->fail_header;
        return;
    }
    if (range[0] && !route->no_ranges) {
        out->from = strtoul(range + strlen("bytes="), NULL, 10);
        out->status = 206;
    }
    assert(out->from <= route->length);
    out->bytes = route->length - out->from;
    if (route->cut_times > 0 && out->bytes > route->cut_bytes) {
        route->cut_times--;
        out->bytes = route->cut_bytes;
        out->stall = route->stalls;
    }
}

static void send_answer(int fd, const struct answer *answer)
{
    const struct fake_route *route = &answer->route;
    bool body = answer->status == 200 || answer->status == 206;
    char range[128] = "";
    char head[4096];
    int length;

    if (answer->status == 206)
        snprintf(range, sizeof range, "Content-Range: bytes %zu-%zu/%zu\r\n",
                 answer->from, route->length - 1, route->length);
    length =
        snprintf(head, sizeof head,
                 "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n"
                 "%s%s%s%s%s%s%s%s\r\n",
                 answer->status, body ? route->length - answer->from : 0, range,
                 route->content_type ? "Content-Type: " : "",
                 route->content_type ? route->content_type : "",
                 route->content_type ? "\r\n" : "",
                 answer->status == 401 ? "WWW-Authenticate: " : "",
                 answer->status == 401 ? route->challenge : "",
                 answer->status == 401 ? "\r\n" : "",
                 route->header ? route->header : "");
    send_all(fd, head, (size_t)length);
    if (body && route->body)
        send_all(fd, route->body + answer->from, answer->bytes);
}

static void answer_one(struct fake_registry *registry, int fd)
{
    char request[REQUEST_MAX];
    char path[FAKE_PATH_MAX] = "";
    struct answer answer;
    struct pollfd wait[] = {{fd, POLLIN, 0}, {registry->stop[0], POLLIN, 0}};

    if (!read_request(fd, request) || sscanf(request, "%*s %511s", path) != 1)
        return;
    pthread_mutex_lock(&registry->lock);
    decide(registry, path, request, &answer);
    pthread_mutex_unlock(&registry->lock);
    send_answer(fd, &answer);
    if (answer.stall)
        poll(wait, 2, -1);
}

/* ---- the server ---------------------------------------------------------- */

static void *serve(void *data)
{
    struct fake_registry *registry = data;
    struct pollfd wait[] = {{registry->listener, POLLIN, 0},
                            {registry->stop[0], POLLIN, 0}};

    for (;;) {
        int fd;

        poll(wait, 2, -1);
        if (wait[1].revents)
            return NULL;
        fd = accept(registry->listener, NULL, NULL);
        if (fd < 0)
            continue;
        answer_one(registry, fd);
        close(fd);
    }
}

void fake_registry_open(struct fake_registry *registry)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;

    memset(registry, 0, sizeof *registry);
    pthread_mutex_init(&registry->lock, NULL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    registry->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(bind(registry->listener, (struct sockaddr *)&address,
                sizeof address) == 0);
    assert(listen(registry->listener, 16) == 0);
    assert(getsockname(registry->listener, (struct sockaddr *)&address,
                       &length) == 0);
    registry->port = ntohs(address.sin_port);
    assert(pipe(registry->stop) == 0);
    assert(pthread_create(&registry->thread, NULL, serve, registry) == 0);
}

void fake_registry_close(struct fake_registry *registry)
{
    assert(write(registry->stop[1], "", 1) == 1);
    pthread_join(registry->thread, NULL);
    close(registry->listener);
    close(registry->stop[0]);
    close(registry->stop[1]);
    pthread_mutex_destroy(&registry->lock);
}

void fake_registry_serve(struct fake_registry *registry,
                         const struct fake_route *route)
{
    struct fake_route *place;

    pthread_mutex_lock(&registry->lock);
    place = find_route(registry, route->path);
    if (!place) {
        assert(registry->route_count < FAKE_ROUTES_MAX);
        place = &registry->routes[registry->route_count++];
    }
    *place = *route;
    pthread_mutex_unlock(&registry->lock);
}

int fake_registry_count(struct fake_registry *registry, const char *text)
{
    int count = 0;

    pthread_mutex_lock(&registry->lock);
    for (char *line = registry->log; *line;) {
        char *end = strchr(line, '\n');

        *end = '\0';
        count += strstr(line, text) != NULL;
        *end = '\n';
        line = end + 1;
    }
    pthread_mutex_unlock(&registry->lock);
    return count;
}
