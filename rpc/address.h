/* address.h - HOST:PORT, taken apart. */
#pragma once

#include "base/error.h"

enum { ADDRESS_HOST_MAX = 256, ADDRESS_PORT_MAX = 6 };

struct address {
    char host[ADDRESS_HOST_MAX]; /* without brackets */
    char port[ADDRESS_PORT_MAX]; /* "0" to "65535" */
};

/* "m1.example:7400", "10.0.0.1:7400", "[::1]:7400". INVALID_ARGUMENT names
 * the text. */
int address_parse(const char *text, struct address *address, struct error *why);
