/* drill_clients.c - each client does one thing after the other:
 *
 *          timer                        answer, or given up
 *   REST ---------> ask a master ------------------------------> REST
 *                    ^        | no answer in time, no leader
 *                    `- timer-' (the next master, the same request id)
 *
 * Every other thing is a read of what another client wrote last; after it a
 * client rests. Of the writes every other one gives its pod a name, so that
 * it can be read while it is under way. The rest do not, so that one that is
 * done twice is seen: a name is not given twice. */
#include "client/drill_clients.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CLIENTS = 8, REST_MS = 30, HURRIED_REST_MS = 4, RETRY_MS = 3 };
/* Attempts last between one and two of these, so that after a fault some
 * client begins one every few milliseconds. */
enum { ATTEMPT_MS = 50, GIVE_UP_MS = 10000 };
enum { CPU_MILLI = 1000 * 1000 * 1000 }; /* a million cores: nobody has them */
enum { MEMORY_BYTES = 1 << 20 };

#define VARIABLE "DRILL="

struct client {
    struct drill_clients *all;
    unsigned number;
    struct channel *channels[CONFIG_MASTERS_MAX]; /* to each master */
    size_t master;                                /* that is asked */
    uv_timer_t timer;
    uint64_t turns; /* things begun */

    /* What it is at. */
    bool busy;
    bool in_doubt; /* an attempt may have been carried out */
    size_t at;     /* in the history */
    uint64_t give_up_ms;
    Kontor__V1__RequestId id;
    char app[DRILL_NAME_MAX]; /* "": not named */

    char latest[DRILL_NAME_MAX]; /* pod that it wrote, or is writing */
};

struct drill_clients {
    struct contact *contact;
    struct drill_history *history;
    struct random random;
    char run[DRILL_NAME_MAX]; /* "drill-1a2b3c4d" */
    bool hurried;
    bool finishing;
    unsigned busy;
    unsigned open; /* handles and channels */
    unsigned repeated;
    struct error trouble; /* of the last write that was refused */
    struct client clients[CLIENTS];
};

static void begin(struct client *client);
static void ask(struct client *client);

static struct drill_operation *operation_of(const struct client *client)
{
    return &client->all->history->operations[client->at];
}

static void on_rested(uv_timer_t *timer)
{
    begin(timer->data);
}

static void on_retry(uv_timer_t *timer)
{
    ask(timer->data);
}

/* ---- an answer ------------------------------------------------------------
 */

uint64_t drill_value_of(const Kontor__V1__Pod *pod)
{
    const Kontor__V1__ContainerSpec *container =
        pod && pod->spec && pod->spec->n_containers > 0
            ? pod->spec->containers[0]
            : NULL;

    if (!container || strcmp(container->image, DRILL_IMAGE) != 0 ||
        container->n_env == 0 ||
        strncmp(container->env[0], VARIABLE, sizeof VARIABLE - 1) != 0)
        return 0;
    return strtoull(container->env[0] + sizeof VARIABLE - 1, NULL, 16);
}

static void set_name(char name[DRILL_NAME_MAX], const char *pod)
{
    snprintf(name, DRILL_NAME_MAX, "%s", pod);
}

static void on_written(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__ScheduleResponse *response =
        (const Kontor__V1__ScheduleResponse *)message;
    struct client *client = call_data(call);

    if (!response->pod)
        return;
    set_name(operation_of(client)->pod, response->pod->name);
    set_name(client->latest, response->pod->name);
}

static void on_read(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__GetPodResponse *response =
        (const Kontor__V1__GetPodResponse *)message;

    operation_of(call_data(call))->value = drill_value_of(response->pod);
}

static uint64_t rest_ms(struct client *client)
{
    struct drill_clients *all = client->all;

    return all->hurried ? random_below(&all->random, HURRIED_REST_MS) + 1
                        : random_below(&all->random, REST_MS) + REST_MS / 2;
}

static void finish(struct client *client, enum drill_result result)
{
    struct drill_operation *operation = operation_of(client);
    struct drill_clients *all = client->all;

    operation->result = result;
    operation->returned_ns = clock_monotonic_ns();
    client->busy = false;
    all->busy--;
    if (all->finishing)
        return;
    uv_timer_start(&client->timer, on_rested,
                   operation->is_read ? rest_ms(client) : 0, 0);
}

static bool is_worth_a_retry(int code)
{
    return contact_may_retry(code) || code == ERROR_DEADLINE_EXCEEDED ||
           code == ERROR_CANCELLED;
}

static void on_ended(struct call *call, const struct error *why)
{
    struct client *client = call_data(call);
    bool is_read = operation_of(client)->is_read;

    if (why->code == 0 || (is_read && why->code == ERROR_NOT_FOUND)) {
        finish(client, DRILL_OK);
    } else if (is_worth_a_retry((int)why->code)) {
        client->in_doubt = !is_read;
        client->master++;
        uv_timer_start(&client->timer, on_retry, RETRY_MS, 0);
    } else {
        /* Nobody else has the name: it was ours that took it. */
        if (why->code == ERROR_ALREADY_EXISTS) {
            client->all->repeated++;
            client->in_doubt = true;
        }
        client->all->trouble = *why;
        finish(client, client->in_doubt ? DRILL_UNKNOWN : DRILL_FAIL);
    }
}

static const struct call_events write_events = {.message = on_written,
                                                .ended = on_ended};
static const struct call_events read_events = {.message = on_read,
                                               .ended = on_ended};

/* ---- a question -----------------------------------------------------------
 */

/* The next one that is connected, or NULL. */
static struct channel *choose(struct client *client)
{
    size_t count = contact_config(client->all->contact)->master_count;

    for (size_t i = 0; i < count; i++, client->master++) {
        struct channel *channel = client->channels[client->master % count];

        if (channel_connected(channel))
            return channel;
    }
    return NULL;
}

static uint64_t attempt_ms(struct client *client)
{
    return ATTEMPT_MS + random_below(&client->all->random, ATTEMPT_MS);
}

static void ask_to_write(struct client *client, struct channel *channel)
{
    Kontor__V1__ScheduleRequest request = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    char variable[sizeof VARIABLE + 16];
    char *variables[] = {variable};
    const struct call_request how = {
        .path = "/kontor.v1.Cluster/Schedule",
        .response = &kontor__v1__schedule_response__descriptor,
        .timeout_ms = attempt_ms(client),
        .events = &write_events,
        .data = client,
    };

    snprintf(variable, sizeof variable, VARIABLE "%016" PRIx64, client->id.low);
    container.image = message_text(DRILL_IMAGE);
    container.env = variables;
    container.n_env = 1;
    resources.cpu_milli = CPU_MILLI;
    resources.memory_bytes = MEMORY_BYTES;
    spec.app = client->app;
    spec.resources = &resources;
    spec.containers = containers;
    spec.n_containers = 1;
    request.request_id = &client->id;
    request.spec = &spec;
    channel_call_unary(channel, &how, &request.base);
}

static void ask_to_read(struct client *client, struct channel *channel)
{
    Kontor__V1__GetPodRequest request = KONTOR__V1__GET_POD_REQUEST__INIT;
    const struct call_request how = {
        .path = "/kontor.v1.Cluster/GetPod",
        .response = &kontor__v1__get_pod_response__descriptor,
        .timeout_ms = attempt_ms(client),
        .events = &read_events,
        .data = client,
    };

    request.pod = operation_of(client)->pod;
    channel_call_unary(channel, &how, &request.base);
}

static void ask(struct client *client)
{
    bool is_read = operation_of(client)->is_read;
    struct channel *channel;

    if (clock_monotonic_ms() >= client->give_up_ms) {
        finish(client, is_read ? DRILL_FAIL : DRILL_UNKNOWN);
        return;
    }
    channel = choose(client);
    if (!channel)
        uv_timer_start(&client->timer, on_retry, RETRY_MS, 0);
    else if (is_read)
        ask_to_read(client, channel);
    else
        ask_to_write(client, channel);
}

/* ---- a turn ---------------------------------------------------------------
 */

/* What another client wrote last, or "". */
static const char *choose_pod(const struct client *client)
{
    struct drill_clients *all = client->all;
    uint64_t other =
        client->number + 1 + random_below(&all->random, CLIENTS - 1);

    return all->clients[other % CLIENTS].latest;
}

static void begin_write(struct client *client)
{
    struct drill_operation *operation = operation_of(client);

    client->id = contact_request_id();
    client->id.low |= 1; /* 0 is no value */
    operation->value = client->id.low;
    client->app[0] = '\0';
    if (client->turns % 4 != 1)
        return;
    snprintf(client->app, sizeof client->app, "%.20s-c%u-%" PRIu64,
             client->all->run, client->number, client->turns);
    snprintf(client->latest, sizeof client->latest, "%.70s-1", client->app);
    set_name(operation->pod, client->latest);
}

static void begin(struct client *client)
{
    struct drill_clients *all = client->all;
    const char *pod = choose_pod(client);
    bool is_read = client->turns++ % 2 == 1 && pod[0];

    client->at = drill_history_begin(all->history, client->number, is_read);
    client->busy = true;
    client->in_doubt = false;
    client->give_up_ms = clock_monotonic_ms() + GIVE_UP_MS;
    all->busy++;
    if (is_read)
        set_name(operation_of(client)->pod, pod);
    else
        begin_write(client);
    ask(client);
}

void drill_clients_hurry(struct drill_clients *clients)
{
    clients->hurried = true;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &clients->clients[i];

        if (client->busy)
            continue;
        uv_timer_stop(&client->timer);
        client->turns += client->turns % 2; /* a write is next */
        begin(client);
    }
}

void drill_clients_calm(struct drill_clients *clients)
{
    clients->hurried = false;
}

/* ---- beginning and end ----------------------------------------------------
 */

static void open_client(struct client *client)
{
    const struct config *config = contact_config(client->all->contact);
    uv_loop_t *loop = contact_loop(client->all->contact);
    struct channel_config how = {
        .context = contact_tls(client->all->contact),
        .role = RPC_ROLE_MASTER,
    };

    client->master = client->number;
    for (size_t i = 0; i < config->master_count; i++) {
        how.address = config->masters[i].address;
        client->channels[i] = channel_open(loop, &how);
    }
    uv_timer_init(loop, &client->timer);
    client->timer.data = client;
    uv_timer_start(&client->timer, on_rested, client->number, 0);
}

struct drill_clients *drill_clients_open(struct contact *contact,
                                         struct drill_history *history)
{
    struct drill_clients *clients = memory_new(sizeof *clients);
    uint32_t run;

    clients->contact = contact;
    clients->history = history;
    random_bytes(&clients->random.state, sizeof clients->random.state);
    random_bytes(&run, sizeof run);
    snprintf(clients->run, sizeof clients->run, "drill-%08" PRIx32, run);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients->clients[i].all = clients;
        clients->clients[i].number = i;
        open_client(&clients->clients[i]);
    }
    return clients;
}

void drill_clients_finish(struct drill_clients *clients)
{
    clients->finishing = true;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (!clients->clients[i].busy)
            uv_timer_stop(&clients->clients[i].timer);
    while (clients->busy > 0)
        contact_turn(clients->contact);
}

static void on_channel_closed(void *data)
{
    struct drill_clients *clients = data;

    clients->open--;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;

    client->all->open--;
}

void drill_clients_close(struct drill_clients *clients)
{
    size_t masters = contact_config(clients->contact)->master_count;

    drill_clients_finish(clients);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &clients->clients[i];

        for (size_t j = 0; j < masters; j++)
            channel_close(client->channels[j], on_channel_closed, clients);
        uv_close((uv_handle_t *)&client->timer, on_timer_closed);
        clients->open += (unsigned)masters + 1;
    }
    while (clients->open > 0)
        contact_turn(clients->contact);
    free(clients);
}

unsigned drill_clients_repeated(const struct drill_clients *clients)
{
    return clients->repeated;
}

const struct error *drill_clients_trouble(const struct drill_clients *clients)
{
    return &clients->trouble;
}
