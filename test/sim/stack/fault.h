/* fault.h - what goes wrong: processes, machines, links, disks, clocks. */
#pragma once

void fault_start(void);
/* Nothing goes wrong any more; all that is down starts again. */
void fault_heal(void);
