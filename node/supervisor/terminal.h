/* terminal.h - a terminal of the container's own, for a program in it. */
#pragma once

#include "base/error.h"

#include <sys/ioctl.h>
#include <sys/types.h>

/* In the container, by the leader of a session: make a terminal, which
 * becomes the session's and the three standard streams, belongs to `owner`,
 * and whose other end is sent through the socket `to` with an exec_note. */
int terminal_take(const struct winsize *size, uid_t owner, int to,
                  struct error *why);
