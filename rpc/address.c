#include "rpc/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_MAX = 65535 };

int address_parse(const char *text, struct address *address, struct error *why)
{
    const char *colon = strrchr(text, ':');
    const char *from = text;
    const char *until = colon;
    size_t digits = colon ? strlen(colon + 1) : 0;

    if (!colon || digits == 0 || digits >= ADDRESS_PORT_MAX ||
        strspn(colon + 1, "0123456789") != digits ||
        strtoul(colon + 1, NULL, 10) > PORT_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "address \"%.200s\": not HOST:PORT", text);
    if (*from == '[' && until > from && until[-1] == ']') {
        from++;
        until--;
    } else if (memchr(from, ':', (size_t)(until - from))) {
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "address \"%.200s\": write IPv6 as [HOST]:PORT", text);
    }
    if (until == from || until - from >= ADDRESS_HOST_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "address \"%.200s\": no host, or too long", text);
    memcpy(address->host, from, (size_t)(until - from));
    address->host[until - from] = '\0';
    snprintf(address->port, sizeof address->port, "%s", colon + 1);
    return 0;
}
