/* matcher.h - who waits is placed where it can be; for placer.c. */
#pragma once

#include "master/placer.h"

/* Propose places for pods that wait, the first in order first: on nodes that
 * may help some, and for those of whom it is not known where they fit. As
 * leader, before new requests are placed in a loop turn. True: there is more
 * to look at than may be looked at now. */
bool placer_step(struct placer *placer);

/* The placer goes before what it proposed ends. */
void matcher_forget(struct placer *placer);
