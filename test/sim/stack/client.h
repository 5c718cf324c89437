/* client.h - programs that schedule, stop, read and watch through whichever
 * master answers, and send a write again, with its id, until they know. */
#pragma once

#include "test/sim/stack/world.h"

void clients_init(unsigned count);
void clients_start(void);
/* Ask for nothing new from now on. */
void clients_quiet(void);
/* Operations that are not over. */
unsigned clients_busy(void);
void clients_fini(void);
