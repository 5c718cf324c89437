/* procfs.h - writing to files of /proc, and to nothing else. */
#pragma once

#include "base/error.h"

/* Write `value` to `path` beneath /proc ("self/oom_score_adj"). Whatever is
 * mounted at /proc, or upon what is beneath it, is not written to
 * (CVE-2025-52881): FAILED_PRECONDITION. */
int procfs_write(const char *path, const char *value, struct error *why);
