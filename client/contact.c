#include "client/contact.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "base/random.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

/* A call that is not answered for this long goes to another master. */
enum { ATTEMPT_MS = 1000 };
/* Let a master that could not serve alone for this long. */
enum { AVOID_MS = 20 };
/* When all masters refuse connections, they will not come back soon. */
enum { PATIENCE_MS = 3000 };
enum { KEEPALIVE_MS = 5000 };
/* A first master that is not connected by then is not waited for alone. */
enum { WIDEN_MS = 50 };

struct contact_master {
    struct contact *contact;
    struct channel *channel; /* NULL: not tried yet */
    bool failed;             /* an attempt to connect did */
    uint64_t avoid_until_ms;
};

struct contact {
    struct config config;
    struct tls_context *tls;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t interrupt;
    bool interrupted;
    bool connected_once;
    unsigned closing; /* channels whose end is awaited */
    uint64_t timeout_ms;
    uint64_t opened_ms;
    size_t first; /* the master that was connected to first */
    bool wide;    /* the others were, too */
    struct contact_master masters[CONFIG_MASTERS_MAX];
};

Kontor__V1__RequestId contact_request_id(void)
{
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;

    random_bytes(&id.high, sizeof id.high);
    random_bytes(&id.low, sizeof id.low);
    return id;
}

char *contact_method(const char *method,
                     const ProtobufCMessageDescriptor **response)
{
    const ProtobufCServiceDescriptor *service =
        &kontor__v1__cluster__descriptor;
    const ProtobufCMethodDescriptor *found =
        protobuf_c_service_descriptor_get_method_by_name(service, method);

    assert(found);
    *response = found->output;
    return memory_format("/%s/%s", service->name, method);
}

bool contact_may_retry(int code)
{
    return code == ERROR_UNAVAILABLE || code == ERROR_ABORTED;
}

uv_loop_t *contact_loop(struct contact *contact)
{
    return &contact->loop;
}

struct tls_context *contact_tls(const struct contact *contact)
{
    return contact->tls;
}

const struct config *contact_config(const struct contact *contact)
{
    return &contact->config;
}

uint64_t contact_deadline(const struct contact *contact)
{
    return clock_monotonic_ms() + contact->timeout_ms;
}

static uint64_t ms_until(uint64_t deadline_ms)
{
    uint64_t now = clock_monotonic_ms();

    return now < deadline_ms ? deadline_ms - now : 0;
}

bool contact_expired(uint64_t deadline_ms)
{
    return clock_monotonic_ms() >= deadline_ms;
}

static void on_changed(void *data, bool connected, const struct error *why)
{
    struct contact_master *master = data;

    (void)why;
    if (connected)
        master->contact->connected_once = true;
    else
        master->failed = true;
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    struct contact *contact = handle->data;

    (void)number;
    contact->interrupted = true;
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* it woke the loop, that is all */
}

static void connect_to(struct contact *contact, size_t i)
{
    struct contact_master *master = &contact->masters[i];
    struct channel_config config = {
        .address = contact->config.masters[i].address,
        .context = contact->tls,
        .role = RPC_ROLE_MASTER,
        .keepalive_ms = KEEPALIVE_MS,
        .changed = on_changed,
        .data = master,
    };

    master->contact = contact;
    master->channel = channel_open(&contact->loop, &config);
}

/* Any will do, and everyone's first shall not be the same. */
static void connect_first(struct contact *contact)
{
    uint64_t random;

    random_bytes(&random, sizeof random);
    contact->first = random % contact->config.master_count;
    connect_to(contact, contact->first);
}

/* The first did not serve, or not soon: connect to the others as well. */
static void widen(struct contact *contact, uint64_t now)
{
    const struct contact_master *first = &contact->masters[contact->first];

    if (contact->wide || (!first->failed && first->avoid_until_ms <= now &&
                          now < contact->opened_ms + WIDEN_MS))
        return;
    contact->wide = true;
    for (size_t i = 0; i < contact->config.master_count; i++)
        if (!contact->masters[i].channel)
            connect_to(contact, i);
}

int contact_open(struct contact **out, const struct contact_options *options,
                 struct error *why)
{
    struct contact *contact = memory_new(sizeof *contact);

    if (config_load(&contact->config, options->config, why) != 0) {
        free(contact);
        return (int)why->code;
    }
    if (tls_context_new(&contact->tls, contact->config.pki,
                        contact->config.identity, why) != 0) {
        config_fini(&contact->config);
        free(contact);
        return (int)why->code;
    }
    contact->timeout_ms = options->timeout_ms;
    contact->opened_ms = clock_monotonic_ms();
    if (uv_loop_init(&contact->loop) != 0)
        abort(); /* out of descriptors at the start of a program */
    uv_timer_init(&contact->loop, &contact->timer);
    uv_signal_init(&contact->loop, &contact->interrupt);
    contact->interrupt.data = contact;
    uv_signal_start(&contact->interrupt, on_interrupt, SIGINT);
    connect_first(contact);
    *out = contact;
    return 0;
}

static void on_channel_closed(void *data)
{
    struct contact *contact = data;

    contact->closing--;
}

void contact_close(struct contact *contact)
{
    if (!contact)
        return;
    for (size_t i = 0; i < contact->config.master_count; i++) {
        if (!contact->masters[i].channel)
            continue;
        contact->closing++;
        channel_close(contact->masters[i].channel, on_channel_closed, contact);
    }
    while (contact->closing > 0)
        uv_run(&contact->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&contact->timer, NULL);
    uv_close((uv_handle_t *)&contact->interrupt, NULL);
    uv_run(&contact->loop, UV_RUN_DEFAULT);
    uv_loop_close(&contact->loop);
    tls_context_free(contact->tls);
    config_fini(&contact->config);
    free(contact);
}

void contact_turn(struct contact *contact)
{
    uv_run(&contact->loop, UV_RUN_ONCE);
}

int contact_wait(struct contact *contact, uint64_t deadline_ms,
                 struct error *why)
{
    uint64_t now = clock_monotonic_ms();

    if (contact->interrupted)
        return error_set(why, ERROR_CANCELLED, "interrupted");
    if (now >= deadline_ms)
        return error_set(why, ERROR_DEADLINE_EXCEEDED, "no answer in time");
    if (deadline_ms != UINT64_MAX) {
        uv_update_time(&contact->loop);
        uv_timer_start(&contact->timer, on_timer, deadline_ms - now, 0);
    }
    uv_run(&contact->loop, UV_RUN_ONCE);
    uv_timer_stop(&contact->timer);
    return 0;
}

/* It is about certificates: trying again mends none. */
static bool is_refusal(const struct error *trouble)
{
    return trouble->code == ERROR_UNAUTHENTICATED ||
           trouble->code == ERROR_PERMISSION_DENIED;
}

/* "m1 (10.77.0.1:7400): connection refused; m2 ...". */
static int unreachable(struct contact *contact, struct error *why)
{
    static const struct error untried = {0};
    char *all = memory_string("no master can be reached");
    size_t refused_us = 0;

    for (size_t i = 0; i < contact->config.master_count; i++) {
        const struct config_master *master = &contact->config.masters[i];
        const struct channel *channel = contact->masters[i].channel;
        const struct error *trouble =
            channel ? channel_trouble(channel) : &untried;
        const char *said =
            trouble->code ? trouble->message : "no connection yet";
        bool named = strstr(said, master->address) != NULL;
        char *longer =
            memory_format("%s%s %s%s%s%s: %s", all, i ? ";" : ":", master->name,
                          named ? "" : " (", named ? "" : master->address,
                          named ? "" : ")", said);

        refused_us += is_refusal(trouble);
        free(all);
        all = longer;
    }
    error_set(why,
              refused_us == contact->config.master_count ? ERROR_UNAUTHENTICATED
                                                         : ERROR_UNAVAILABLE,
              "%s", all);
    free(all);
    return (int)why->code;
}

/* None was ever there, and each has said why. */
static bool hopeless(const struct contact *contact)
{
    bool certificates = true;

    if (contact->connected_once)
        return false;
    for (size_t i = 0; i < contact->config.master_count; i++) {
        const struct contact_master *master = &contact->masters[i];

        if (!master->failed)
            return false;
        if (!is_refusal(channel_trouble(master->channel)))
            certificates = false;
    }
    return certificates ||
           clock_monotonic_ms() >= contact->opened_ms + PATIENCE_MS;
}

/* One that is connected and need not be avoided, that which failed longest
 * ago, or NULL; then *wake_ms is lowered to when that may change by itself. */
static struct channel *find(const struct contact *contact, uint64_t now,
                            uint64_t *wake_ms)
{
    const struct contact_master *best = NULL;

    for (size_t i = 0; i < contact->config.master_count; i++) {
        const struct contact_master *master = &contact->masters[i];

        if (!master->channel || !channel_connected(master->channel))
            continue;
        if (!best || master->avoid_until_ms < best->avoid_until_ms)
            best = master;
    }
    if (best && best->avoid_until_ms <= now)
        return best->channel;
    if (best && best->avoid_until_ms < *wake_ms)
        *wake_ms = best->avoid_until_ms;
    if (!contact->wide && contact->opened_ms + WIDEN_MS < *wake_ms)
        *wake_ms = contact->opened_ms + WIDEN_MS;
    return NULL;
}

int contact_channel(struct contact *contact, uint64_t deadline_ms,
                    struct channel **out, struct error *why)
{
    for (;;) {
        uint64_t now = clock_monotonic_ms();
        uint64_t hope_ms = contact->opened_ms + PATIENCE_MS;
        uint64_t wake_ms = deadline_ms;
        struct channel *found;

        if (!contact->connected_once && now < hope_ms && hope_ms < wake_ms)
            wake_ms = hope_ms;
        widen(contact, now);
        found = find(contact, now, &wake_ms);
        if (found) {
            *out = found;
            return 0;
        }
        if (now >= deadline_ms || hopeless(contact))
            return unreachable(contact, why);
        if (contact_wait(contact, wake_ms, why) == ERROR_CANCELLED)
            return (int)why->code;
    }
}

void contact_avoid(struct contact *contact, const struct channel *channel)
{
    for (size_t i = 0; i < contact->config.master_count; i++)
        if (contact->masters[i].channel == channel)
            contact->masters[i].avoid_until_ms =
                clock_monotonic_ms() + AVOID_MS;
}

/* One attempt of contact_call(). */
struct attempt {
    bool ended;
    struct error status;
    ProtobufCMessage *response; /* owned */
};

static void attempt_on_message(struct call *call,
                               const ProtobufCMessage *message)
{
    struct attempt *attempt = call_data(call);

    message_free(attempt->response);
    attempt->response = message_copy(message);
}

static void attempt_on_ended(struct call *call, const struct error *why)
{
    struct attempt *attempt = call_data(call);

    attempt->ended = true;
    attempt->status = *why;
}

static const struct call_events attempt_events = {
    .message = attempt_on_message,
    .ended = attempt_on_ended,
};

/* Ask `channel` once. Leaves the outcome in `attempt`. */
static void try_once(struct contact *contact, struct channel *channel,
                     const struct call_request *how,
                     const ProtobufCMessage *request)
{
    struct attempt *attempt = how->data;
    struct call *call = channel_call_unary(channel, how, request);
    struct error why;

    while (!attempt->ended)
        if (contact_wait(contact, UINT64_MAX, &why) != 0)
            break;
    if (!attempt->ended)
        call_cancel(call);
    while (!attempt->ended)
        contact_turn(contact);
    if (attempt->status.code == 0 && !attempt->response)
        error_set(&attempt->status, ERROR_INTERNAL,
                  "%s was answered without a message", how->path);
}

/* The timeout has come. What a master said of itself (`last`) tells more
 * than that the last of several attempts was cut short. */
static int out_of_time(const struct contact *contact, const char *method,
                       const struct error *last, struct error *why)
{
    char took[QUANTITY_TEXT_MAX];

    quantity_format_duration(took, contact->timeout_ms);
    if (last->code == 0)
        return error_set(why, ERROR_DEADLINE_EXCEEDED,
                         "%s was not answered within %s", method, took);
    *why = *last;
    return (int)why->code;
}

int contact_call(struct contact *contact, const char *method,
                 const ProtobufCMessage *request, ProtobufCMessage **response,
                 struct error *why)
{
    uint64_t deadline_ms = contact_deadline(contact);
    struct call_request how = {.events = &attempt_events};
    CLEANUP(free_pointer)
    char *path = contact_method(method, &how.response);
    struct error last = {0};

    how.path = path;
    do {
        struct attempt attempt = {0};
        struct channel *channel = NULL;
        uint64_t left_ms;

        if (contact_channel(contact, deadline_ms, &channel, why) != 0) {
            if (why->code == ERROR_UNAVAILABLE && last.code)
                *why = last;
            return (int)why->code;
        }
        left_ms = ms_until(deadline_ms);
        how.timeout_ms = left_ms < ATTEMPT_MS ? left_ms + 1 : ATTEMPT_MS;
        how.data = &attempt;
        try_once(contact, channel, &how, request);
        if (attempt.status.code == 0) {
            *response = attempt.response;
            return 0;
        }
        message_free(attempt.response);
        if (contact_may_retry((int)attempt.status.code)) {
            last = attempt.status;
        } else if (attempt.status.code != ERROR_DEADLINE_EXCEEDED) {
            *why = attempt.status;
            return (int)why->code;
        }
        contact_avoid(contact, channel);
    } while (clock_monotonic_ms() < deadline_ms);
    return out_of_time(contact, method, &last, why);
}
