/* disk.h - what a pod may write: its layers in a file system of their own.
 *
 * A pod that asks for disk gets an ext4 image of that size, sparse, in its
 * folder. kpod mounts it in a mount namespace of its own, over a loop device
 * that goes with its last user: whatever is killed, mount and device go with
 * the processes, and there is nothing to tidy up. Of the size, a part is set
 * aside for the two log files, so that a pod that fills its disk cannot
 * silence itself: both together never exceed what was asked for.
 *
 * Whoever uses an image holds its flock(2), by way of the loop device's own
 * reference to the open file: a free lock means that no device is left. */
#pragma once

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

#define DISK_IMAGE "disk.img"
#define DISK_FOLDER "disk" /* what kpod mounts it on */

enum { DISK_MIN_BYTES = 4 << 20 };

/* How large one of a pod's two log files may be, where `most` is the node's
 * limit and `disk_bytes` what the pod asks for; 0: it asks for none. */
uint64_t disk_log_limit(uint64_t disk_bytes, uint64_t most);

/* ---- image.c: for knode; these block --------------------------------------
 */

/* Make image and folder in the pod's `folder`; an image that is there is
 * kept. `bytes` is what the pod asks for, with its logs, whose limit is
 * `log_limit_bytes`. INVALID_ARGUMENT: too small to hold a file system.
 * UNAVAILABLE: it is still in use by the run before. */
int disk_make(const char *folder, uint64_t bytes, uint64_t log_limit_bytes,
              struct error *why);

/* No loop device holds the image in the pod's folder `dir` any more, or there
 * is none. Waits a moment for one that is just going; FAILED_PRECONDITION
 * when it does not. */
int disk_await_unused(int dir, struct error *why);

/* Give the writable layer `path` in `dir`, a folder of the host's as it was
 * made, to `owner`, the root of a pod's user namespace; 0: it has none.
 * FAILED_PRECONDITION: it was written with the ids of another one. */
int disk_give(int dir, const char *path, uid_t owner, struct error *why);

/* ---- usage.c ---------------------------------------------------------------
 */

/* Bytes in the writable layers and logs of a pod whose supervisor is `kpod`
 * (0: it has none). Walks through layers that have no disk of their own. */
uint64_t disk_usage(const char *folder, pid_t kpod);

/* ---- device.c --------------------------------------------------------------
 */

/* The whole disk beneath the file system of `path`: what io limits are for. A
 * pod's own disk lies in a file there, and its kernel (Linux 5.13) charges the
 * pod for what it reads and writes in it, so this one device is all of a pod's
 * io. FAILED_PRECONDITION: there is none. */
int disk_device(const char *path, dev_t *out, struct error *why);

/* `device` itself, or the disk that it is a partition of. */
int disk_whole(dev_t device, dev_t *out, struct error *why);

/* ---- mount.c: for kpod ----------------------------------------------------
 */

/* From here on this process has mounts of its own, and the image of the
 * current folder is mounted in it, with a folder upper/NAME, which belongs to
 * `owner`, and work/NAME for each of the names. */
int disk_mount(const char *const *names, size_t count, uid_t owner,
               struct error *why);
