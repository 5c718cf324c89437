/* register.h - tell the masters that this node is there.
 *
 * Asks one master after the other until one answers, then waits to be told
 * to ask again. A follower passes the request on to its leader, so any will
 * do. Between rounds it backs off: 200 ms doubling to 5 s. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"

#include <uv.h>

struct registration;

struct registration_config {
    const char *const *masters; /* HOST:PORT; borrowed, at least one */
    size_t master_count;
    struct tls_context *tls; /* borrowed */
    /* What is sent; borrowed. Its request id is filled in here. */
    Kontor__V1__RegisterNodeRequest *request;
    /* Borrowed answer. */
    void (*registered)(void *data,
                       const Kontor__V1__RegisterNodeResponse *response);
    /* A master did not take it. */
    void (*refused)(void *data, const char *master, const struct error *why);
    void *data;
};

struct registration *
registration_open(uv_loop_t *loop, const struct registration_config *config);

/* Register (again). Under way already: nothing happens. */
void registration_start(struct registration *registration);

void registration_close(struct registration *registration,
                        void (*closed)(void *data), void *data);
