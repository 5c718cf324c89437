#include "free_address.h"

#include "base/random.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_PORT = 20000, PORTS = 12000 };

void free_address(char address[FREE_ADDRESS_MAX])
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int bound = -1;

    while (bound != 0) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint16_t number;

        random_bytes(&number, sizeof number);
        in.sin_port = htons((uint16_t)(FIRST_PORT + number % PORTS));
        bound = bind(fd, (struct sockaddr *)&in, sizeof in);
        close(fd);
    }
    snprintf(address, FREE_ADDRESS_MAX, "127.0.0.1:%u", ntohs(in.sin_port));
}
