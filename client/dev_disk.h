/* dev_disk.h - a disk of its own for each master's data: a tmpfs. */
#pragma once

#include "client/dev.h"

/* INVALID_ARGUMENT: too small for a master to work on. 0 is none. */
int dev_disk_check(uint64_t bytes, struct error *why);

/* Mount them where `dev` asks for them, and remove those that are there. */
int dev_disk_make(const struct dev *dev, struct error *why);
int dev_disk_remove(const struct dev *dev, struct error *why);

/* The folder of a master's data; the caller frees it. */
char *dev_disk_folder(const struct dev *dev, unsigned i);
