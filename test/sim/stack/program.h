/* program.h - which program a master is started with: in some seeds they begin
 * with one that knows no format but 0, and are upgraded one by one; now and
 * then one is taken back meanwhile. */
#pragma once

#include "test/sim/stack/kmaster.h"

/* It is about to begin, or to start again. */
void program_begin(struct kmaster *kmaster, bool founder);
void program_restart(struct kmaster *kmaster);
/* Whoever has an older one is stopped and starts with the newest, one after
 * the other; who was taken back is the last. */
void program_upgrade_all(void);
