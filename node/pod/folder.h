/* folder.h - a pod's folder on disk: its messages, its lock, its syncs.
 *
 *   order.pb   PodOrder: what the master asked for
 *   next.pb    PodOrder of a newer generation, to take order.pb's place once
 *              nothing is left of the present one
 *   delete.pb  PodOrder: that generation (or an older one) is to go
 *   kpod.err   what kpod says on stderr
 *   ...        the rest: node/supervisor/supervisor.h
 *
 * Without state; may be called from any thread. All of it blocks for the
 * time of small file operations; pod_folder_sync() for the disk's. */
#pragma once

#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <sys/types.h>

#define POD_FOLDER_ORDER "order.pb"
#define POD_FOLDER_NEXT "next.pb"
#define POD_FOLDER_DELETE "delete.pb"
#define POD_FOLDER_KPOD_ERR "kpod.err"

/* Put a message in the place of `file`; not yet synced. */
int pod_folder_write(const char *folder, const char *file,
                     const ProtobufCMessage *message, struct error *why);

/* The message in `file`; freed with protobuf_c_message_free_unpacked().
 * NULL: NOT_FOUND, or DATA_LOSS when it is no such message. */
ProtobufCMessage *pod_folder_read(const char *folder, const char *file,
                                  const ProtobufCMessageDescriptor *type,
                                  struct error *why);

/* Not there is success. */
int pod_folder_unlink(const char *folder, const char *file, struct error *why);

/* Bring order.pb, next.pb, delete.pb and the folder's list to disk. A folder
 * that is gone by now is success. */
int pod_folder_sync(const char *folder, struct error *why);

/* Bring one file to disk, and that it is there. */
int pod_folder_sync_file(const char *folder, const char *file,
                         struct error *why);

/* next.pb, if there is one, takes order.pb's place: from then on the folder
 * is that of a pod that is yet to start. Synced. */
int pod_folder_promote(const char *folder, struct error *why);

/* Take kpod.lock, which the pod's kpod inherits and holds as long as it
 * lives. UNAVAILABLE: a kpod lives, or a child of ours that has not come to
 * exec yet holds a copy. *fd is the caller's. */
int pod_folder_lock(const char *folder, int *fd, struct error *why);

/* The kpod that holds the lock, as it wrote there itself; 0: it has not yet.
 * Meaningful while the lock is held. */
pid_t pod_folder_lock_owner(const char *folder);

bool pod_folder_locked(const char *folder);

/* A socket of kpod.sock's kind: bound and listening, or connected to it
 * (UNAVAILABLE: nobody listens). Non-blocking; *fd is the caller's. */
int pod_folder_listen(const char *folder, int *fd, struct error *why);
int pod_folder_connect(const char *folder, int *fd, struct error *why);
