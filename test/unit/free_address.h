/* free_address.h - where a test's server may listen. */
#pragma once

enum { FREE_ADDRESS_MAX = 32 };

/* "127.0.0.1:PORT" with a port that nobody has. It lies below the range that
 * the kernel gives to outgoing connections (32768 and up), or one of those
 * might take it before the server does. */
void free_address(char address[FREE_ADDRESS_MAX]);
