/* layer_attributes.h - owner, mode, time and extended attributes of an
 * archive's entry, put on what was unpacked from it. */
#pragma once

#include "base/error.h"

#include <archive_entry.h>
#include <time.h>

/* Owner, then mode (a change of owner clears set-user-ID), then attributes
 * (a change of owner clears capabilities). */
int layer_set_attributes(int fd, struct archive_entry *entry,
                         struct error *why);

/* For what cannot be opened: a symbolic link or a fifo; with its time. */
int layer_set_attributes_at(int parent, const char *name,
                            struct archive_entry *entry, struct error *why);

/* The modification time, given for both of a file's times. */
int layer_set_time(int fd, struct archive_entry *entry, struct error *why);
struct timespec layer_entry_time(struct archive_entry *entry);
