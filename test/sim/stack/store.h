/* store.h - what stack/store.c has beside raft/store.h. */
#pragma once

#include "raft/store_file.h"
#include "test/sim/stack/world.h"

/* The host's process was killed, or lost `power`: what its store was about to
 * sync is there in part, perhaps. */
void store_interrupt(struct host *host, bool power);
