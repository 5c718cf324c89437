#include "client/dev_ready.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "client/dev_net.h"
#include "client/dev_process.h"
#include "client/dev_programs.h"
#include "client/watch.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READY_MS = 30000, LOOK_MS = 250, LAST_WORDS_BYTES = 300 };

/* The end of a process's log, from the start of a line. */
static void last_words(const struct dev *dev, const struct dev_process *process,
                       char text[LAST_WORDS_BYTES])
{
    CLEANUP(free_pointer) char *path = dev_log(dev, process);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t start = end < LAST_WORDS_BYTES ? 0 : end - LAST_WORDS_BYTES + 1;
    ssize_t length = fd < 0 ? 0 : pread(fd, text, LAST_WORDS_BYTES - 1, start);
    char *newline;

    text[length > 0 ? length : 0] = '\0';
    newline = start > 0 ? strchr(text, '\n') : NULL;
    if (newline && newline[1])
        memmove(text, newline + 1, strlen(newline + 1) + 1);
}

static int check_process(const struct dev *dev,
                         const struct dev_process *process, struct error *why)
{
    char words[LAST_WORDS_BYTES];

    if (process->pid == 0 || dev_alive(process))
        return 0;
    last_words(dev, process, words);
    return error_set(why, ERROR_INTERNAL, "%s ended; the end of %s/%s.log:\n%s",
                     process->name, dev->folder, process->name, words);
}

static int check_processes(const struct dev *dev, struct error *why)
{
    for (unsigned i = 0; i < dev->master_count; i++)
        if (check_process(dev, &dev->masters[i], why) != 0)
            return (int)why->code;
    for (unsigned i = 0; i < dev->node_count; i++)
        if (check_process(dev, &dev->nodes[i], why) != 0)
            return (int)why->code;
    return check_process(dev, &dev->relay, why);
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

/* Ask for the nodes. Sets *ready when all are, *index to watch from. */
static int look(const struct dev *dev, struct contact *contact, bool *ready,
                uint64_t *index, struct error *why)
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

/* Until the cluster says that a node changed; looks after the processes
 * meanwhile. */
static int await_change(const struct dev *dev, struct watch *watch,
                        uint64_t deadline_ms, struct error *why)
{
    for (;;) {
        Kontor__V1__Event *event;
        int code =
            watch_next(watch, clock_monotonic_ms() + LOOK_MS, &event, why);

        if (code == 0) {
            message_free(&event->base);
            return 0;
        }
        if (code != ERROR_DEADLINE_EXCEEDED && code != ERROR_UNAVAILABLE)
            return code;
        if (check_processes(dev, why) != 0)
            return (int)why->code;
        if (clock_monotonic_ms() >= deadline_ms)
            return error_set(why, ERROR_DEADLINE_EXCEEDED,
                             "not all nodes are ready after %d s; see "
                             "%s/*.log",
                             READY_MS / 1000, dev->folder);
    }
}

static int await_nodes(const struct dev *dev, struct contact *contact,
                       uint64_t deadline_ms, struct error *why)
{
    struct watch watch = {.contact = contact, .pod = ""};
    bool ready = false;
    int code = look(dev, contact, &ready, &watch.last_index, why);

    while (code == 0 && !ready) {
        uint64_t index;

        code = await_change(dev, &watch, deadline_ms, why);
        if (code == 0)
            code = look(dev, contact, &ready, &index, why);
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
    do {
        /* Masters that just start refuse connections. */
        code = await_nodes(dev, contact, deadline_ms, why);
        if (code == ERROR_UNAVAILABLE && check_processes(dev, why) != 0)
            code = (int)why->code;
    } while (code == ERROR_UNAVAILABLE && clock_monotonic_ms() < deadline_ms);
    contact_close(contact);
    return code;
}
