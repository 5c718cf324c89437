#include "client/dev_ready.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "client/dev_net.h"
#include "client/dev_process.h"
#include "client/dev_programs.h"
#include "client/output.h"
#include "client/watch.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READY_MS = 30000, LOOK_MS = 100, LAST_WORDS_BYTES = 300 };

/* The last line of one log. */
static void last_line(const struct dev *dev, const struct dev_process *process,
                      FILE *out)
{
    CLEANUP(free_pointer) char *path = dev_log(dev, process);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[LAST_WORDS_BYTES + 1];
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t start = end < LAST_WORDS_BYTES ? 0 : end - LAST_WORDS_BYTES;
    ssize_t length = fd < 0 ? 0 : pread(fd, text, LAST_WORDS_BYTES, start);
    const char *newline;

    while (length > 0 && text[length - 1] == '\n')
        length--;
    if (length <= 0)
        return;
    text[length] = '\0';
    newline = strrchr(text, '\n');
    output_line(out, "  %s: %s", process->name, newline ? newline + 1 : text);
}

void dev_last_words(const struct dev *dev, FILE *out)
{
    for (unsigned i = 0; i < dev->master_count; i++)
        last_line(dev, &dev->masters[i], out);
    for (unsigned i = 0; i < dev->node_count; i++)
        last_line(dev, &dev->nodes[i], out);
    last_line(dev, &dev->relay, out);
}

const struct dev_process *dev_find_dead(const struct dev *dev)
{
    bool relays = dev->registry_port > 0 && dev->node_count > 0;

    for (unsigned i = 0; i < dev->master_count; i++)
        if (!dev_alive(&dev->masters[i]))
            return &dev->masters[i];
    for (unsigned i = 0; i < dev->node_count; i++)
        if (!dev_alive(&dev->nodes[i]))
            return &dev->nodes[i];
    return relays && !dev_alive(&dev->relay) ? &dev->relay : NULL;
}

static int check_processes(const struct dev *dev, struct error *why)
{
    const struct dev_process *dead = dev_find_dead(dev);

    return dead ? error_set(why, ERROR_INTERNAL, "%s ended", dead->name) : 0;
}

static int add_routes(const Kontor__V1__ListNodesResponse *response,
                      struct error *why)
{
    for (size_t i = 0; i < response->n_nodes; i++) {
        const Kontor__V1__NodeInfo *node = response->nodes[i];
        CLEANUP(free_pointer)
        char *host = memory_format("%.*s", (int)strcspn(node->address, ":"),
                                   node->address);

        if (dev_net_route(node->subnet, host, why) != 0)
            return error_wrap(why, "route to the pods of %s", node->name);
    }
    return 0;
}

/* Does every master answer the one that is asked? A cluster is up with two of
 * three, but not as it was ordered. */
static int look_at_masters(struct contact *contact, bool *ready,
                           struct error *why)
{
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;
    ProtobufCMessage *message;
    const Kontor__V1__MastersResponse *response;

    if (contact_call(contact, "Masters", &request.base, &message, why) != 0)
        return (int)why->code;
    response = (const Kontor__V1__MastersResponse *)message;
    *ready = true;
    for (size_t i = 0; i < response->n_masters; i++)
        if (strcmp(response->masters[i]->role, "down") == 0)
            *ready = false;
    message_free(message);
    return 0;
}

/* Sets *ready when all nodes are and the routes to their pods are there, and
 * *index to watch from. */
static int look_at_nodes(const struct dev *dev, struct contact *contact,
                         bool *ready, uint64_t *index, struct error *why)
{
    Kontor__V1__ListNodesRequest request = KONTOR__V1__LIST_NODES_REQUEST__INIT;
    ProtobufCMessage *message;
    const Kontor__V1__ListNodesResponse *response;
    size_t count = 0;
    int code = 0;

    if (contact_call(contact, "ListNodes", &request.base, &message, why) != 0)
        return (int)why->code;
    response = (const Kontor__V1__ListNodesResponse *)message;
    for (size_t i = 0; i < response->n_nodes; i++)
        count +=
            response->nodes[i]->state == KONTOR__V1__NODE_STATE__NODE_READY;
    *ready = count >= dev->node_count;
    *index = response->index;
    if (*ready)
        code = add_routes(response, why);
    message_free(message);
    return code;
}

/* Until the cluster says that something changed, or it is time to look after
 * all by oneself. */
static int await_change(struct watch *watch, struct error *why)
{
    Kontor__V1__Event *event;
    int code = watch_next(watch, clock_monotonic_ms() + LOOK_MS, &event, why);

    if (code == 0)
        message_free(&event->base);
    return code == ERROR_DEADLINE_EXCEEDED || code == ERROR_UNAVAILABLE ? 0
                                                                        : code;
}

static int await_all(const struct dev *dev, struct contact *contact,
                     uint64_t deadline_ms, struct error *why)
{
    struct watch watch = {.contact = contact, .pod = ""};
    uint64_t index;
    bool masters = false;
    bool nodes = false;
    int code = look_at_nodes(dev, contact, &nodes, &watch.last_index, why);

    while (code == 0) {
        code = look_at_masters(contact, &masters, why);
        if (code != 0 || (masters && nodes))
            break;
        code = await_change(&watch, why);
        if (code == 0)
            code = check_processes(dev, why);
        if (code == 0 && contact_expired(deadline_ms))
            code = error_set(why, ERROR_DEADLINE_EXCEEDED,
                             "not all %s are ready after %d s",
                             masters ? "nodes" : "masters", READY_MS / 1000);
        if (code == 0)
            code = look_at_nodes(dev, contact, &nodes, &index, why);
    }
    watch_fini(&watch);
    return code;
}

int dev_await_ready(const struct dev *dev, struct error *why)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/config.json", dev->folder);
    struct contact_options to = {.config = path, .timeout_ms = READY_MS};
    uint64_t deadline_ms = clock_monotonic_ms() + READY_MS;
    struct contact *contact;
    int code;

    if (contact_open(&contact, &to, why) != 0)
        return (int)why->code;
    while ((code = await_all(dev, contact, deadline_ms, why)) ==
               ERROR_UNAVAILABLE &&
           !contact_expired(deadline_ms)) {
        /* Masters that just start refuse connections, and that is told at
         * once: let them. */
        code = contact_wait(contact, clock_monotonic_ms() + LOOK_MS, why);
        if (code != 0 || (code = check_processes(dev, why)) != 0)
            break;
    }
    contact_close(contact);
    return code;
}
