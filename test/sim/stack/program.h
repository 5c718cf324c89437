/* program.h - which program a master is started with: in some seeds most begin
 * with one that knows no format but 0, and are upgraded one by one. */
#pragma once

#include "test/sim/stack/kmaster.h"

/* It is about to begin, or to start again. */
void program_begin(struct kmaster *kmaster, bool founder);
void program_restart(struct kmaster *kmaster);
/* All is well again: whoever has an older one is stopped and starts with the
 * newest, one after the other; and one is taken back before the last. */
void program_upgrade_all(void);
