/* dev_programs.h - the command lines of a dev cluster's programs. */
#pragma once

#include "client/dev_process.h"

int dev_start_master(struct dev *dev, unsigned i, struct error *why);
/* The same with other words: those that it was started with before. */
int dev_start_master_with(struct dev *dev, unsigned i,
                          const struct dev_words *words, struct error *why);
int dev_start_node(struct dev *dev, unsigned i, struct error *why);
int dev_start_relay(struct dev *dev, struct error *why);

/* Start `knode remove`: it leaves nothing of the node's pods. Its knode must
 * have been stopped. *pid is 0 for a node that never ran: nothing to do. */
int dev_start_clean(const struct dev *dev, unsigned i, pid_t *pid,
                    struct error *why);

/* The log file of a process; the caller frees it. */
char *dev_log(const struct dev *dev, const struct dev_process *process);
