#include "free_address.h"

#include "base/random.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_PORT = 20000, PORTS = 12000 };

/* Another one each time: who got one may listen on it later. */
static uint16_t draw_port(void)
{
    static bool drawn;
    static uint16_t last;

    if (!drawn)
        random_bytes(&last, sizeof last);
    drawn = true;
    last = (uint16_t)((last + 1) % PORTS);
    return (uint16_t)(FIRST_PORT + last);
}

void free_address(char address[FREE_ADDRESS_MAX])
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int bound = -1;

    while (bound != 0) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        in.sin_port = htons(draw_port());
        bound = bind(fd, (struct sockaddr *)&in, sizeof in);
        close(fd);
    }
    snprintf(address, FREE_ADDRESS_MAX, "127.0.0.1:%u", ntohs(in.sin_port));
}
