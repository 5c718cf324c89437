/* store_wal.h - has SQLite's write-ahead log lost anything?
 *
 * SQLite takes the first frame whose checksum is wrong for the end of the
 * log. That is right for the transaction a crash cut short and silent loss
 * for a bit that rotted further up, where synced transactions follow
 * (Alagappan et al., "Protocol-Aware Recovery", 2018). */
#pragma once

#include "base/error.h"

/* Look at `path`, which may be missing, before SQLite opens it. DATA_LOSS
 * when more is damaged than the one transaction that may have been under way
 * in a crash. */
int store_wal_check(const char *path, struct error *why);

/* Make `path` at least `length` bytes long with zeros, which SQLite ignores:
 * writing over what is there already syncs in half the time of appending. */
int store_wal_prepare(const char *path, size_t length, struct error *why);
