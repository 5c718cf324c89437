/* fault.h - what goes wrong: processes, machines, links, disks, clocks. */
#pragma once

#include <stdint.h>

struct host;
struct store_write;

void fault_start(void);
/* Nothing goes wrong any more; all that is down starts again. */
void fault_heal(void);
/* Entries were handed to a master's store. */
void fault_on_submitted(struct host *host, const struct store_write *write);
/* A snapshot is being loaded, or the state that it replaced freed. */
void fault_on_loading(uint64_t within_us);
