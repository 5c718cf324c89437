#include "rpc/health.h"

#include "base/memory.h"
#include "grpc/health/v1/health.pb-c.h"

typedef Grpc__Health__V1__HealthCheckRequest request_message;
typedef Grpc__Health__V1__HealthCheckResponse response_message;

#define STATUS(name) \
    GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

enum { ANY_ROLE = ~0 };

/* One call of Watch. */
struct watcher {
    struct list link;
    struct health *health;
    struct call *call;
    bool known; /* its service is one of ours */
};

void health_init(struct health *health, const struct registry *registry)
{
    *health = (struct health){.registry = registry, .serving = true};
    list_init(&health->watchers);
}

/* The empty name is the server as a whole. */
static bool is_known(const struct health *health, const char *service)
{
    return service[0] == '\0' ||
           registry_find_service(health->registry, service);
}

static void check(struct call *call, const ProtobufCMessage *message)
{
    const request_message *request = (const void *)message;
    const struct health *health = call_service_data(call);
    response_message response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    if (!is_known(health, request->service)) {
        call_fail(call, ERROR_NOT_FOUND, "there is no service %.100s",
                  request->service);
        return;
    }
    response.status = health->serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
    call_reply(call, &response.base);
}

static void tell(const struct watcher *watcher)
{
    response_message response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    struct error why;

    if (!watcher->known)
        response.status = STATUS(SERVICE_UNKNOWN);
    else
        response.status =
            watcher->health->serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
    if (call_send(watcher->call, &response.base, &why) != 0)
        call_finish(watcher->call, &why);
}

static void watch_on_ended(struct call *call, const struct error *why)
{
    struct watcher *watcher = call_data(call);

    (void)why;
    watcher->health->watcher_count--;
    list_remove(&watcher->link);
    free(watcher);
}

static const struct call_events watch_events = {.ended = watch_on_ended};

static void end_watch(struct call *call)
{
    call_fail(call, ERROR_UNAVAILABLE, "the server is shutting down");
}

static void watch(struct call *call, const ProtobufCMessage *message)
{
    const request_message *request = (const void *)message;
    struct health *health = call_service_data(call);
    struct watcher *watcher;

    if (health->watcher_count >= HEALTH_WATCHERS_MAX) {
        call_fail(call, ERROR_RESOURCE_EXHAUSTED,
                  "more than %d callers watch the health", HEALTH_WATCHERS_MAX);
        return;
    }
    watcher = memory_new(sizeof *watcher);
    watcher->health = health;
    watcher->call = call;
    watcher->known = is_known(health, request->service);
    list_append(&health->watchers, &watcher->link);
    health->watcher_count++;
    call_listen(call, &watch_events, watcher);
    tell(watcher);
    if (health->stopped)
        end_watch(call);
}

void health_set(struct health *health, bool serving)
{
    if (health->serving == serving)
        return;
    health->serving = serving;
    list_for_each(link, next, &health->watchers)
    {
        struct watcher *watcher = container_of(link, struct watcher, link);

        if (watcher->known)
            tell(watcher);
    }
}

void health_stop(struct health *health)
{
    health_set(health, false);
    health->stopped = true;
    list_for_each(link, next, &health->watchers)
        end_watch(container_of(link, struct watcher, link)->call);
}

static const struct method methods[] = {
    {
        .name = "Check",
        .request = &grpc__health__v1__health_check_request__descriptor,
        .response = &grpc__health__v1__health_check_response__descriptor,
        .roles = (unsigned)ANY_ROLE,
        .handle = check,
    },
    {
        .name = "Watch",
        .request = &grpc__health__v1__health_check_request__descriptor,
        .response = &grpc__health__v1__health_check_response__descriptor,
        .roles = (unsigned)ANY_ROLE,
        .server_streams = true,
        .handle = watch,
    },
};

const struct service health_service = {
    .name = "grpc.health.v1.Health",
    .methods = methods,
    .method_count = ARRAY_LEN(methods),
};
