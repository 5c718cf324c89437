/* supervisor.h - what knode and kpod agree on.
 *
 * A pod's folder, made by knode:
 *
 *   bundle.pb     Bundle: what to run; written before kpod starts
 *   order.pb      PodOrder: what the master asked for; knode's own
 *   upper/ work/  the container's writable layer (upper/<container>, ...)
 *   disk.img      both of these instead, of a pod that asks for disk: kpod
 *   disk/         mounts it here, where only it sees it (node/disk/disk.h)
 *   root/         where its root is mounted, in kpod's mount namespace only
 *   status.pb     PodStatus, replaced by kpod at every change
 *   log, log.1    stdout and stderr in records; see log_record
 *   kpod.sock     SOCK_SEQPACKET; to each who connects kpod sends a
 *                 PodStatus at once and at every change, and takes
 *                 SupervisorMessage
 *   kpod.lock     flock()ed from before kpod exists until it is gone
 *
 * kpod is started as `kpod FOLDER` in a session of its own with these
 * descriptors: 3 the pod's network namespace (and by what it belongs to, the
 * user namespace, where the bundle has a first_id), 4 kpod.sock, bound and
 * listening already (so knode connects without waiting or retrying), 5
 * kpod.lock, locked already, 6 ... the containers' system call filters
 * (node/pod/syscalls.h). kpod makes neither file, writes its pid into
 * the lock and lets none of them into a container; "lock free" always
 * means "no kpod".
 *
 * It makes the other namespaces, enters the cgroup with the pod's processes
 * (not with itself), runs the container, restarts it by policy with back-off
 * (100 ms doubling to 60 s, reset after 10 min of running), and ends when
 * the pod has ended for good or was stopped, after the last status is on
 * disk. By then every process of the pod is gone; the cgroup itself is left
 * to knode.
 *
 * The last status is POD_STOPPED when it was stopped (by StopPodNow, or
 * SIGTERM, which gives the bundle's grace time), else POD_SUCCEEDED or
 * POD_FAILED. A pod that cannot be started for a reason that will not go
 * away (no such program, user or folder in the image) ends POD_FAILED at
 * once, whatever the policy; exit_code is then 127 for a program that is not
 * there, 126 for one that cannot be run, 125 for all else, and the reason
 * names it. `restarts` counts from Bundle.restarts. */
#pragma once

#include <stdint.h>

#define SUPERVISOR_BUNDLE "bundle.pb"
#define SUPERVISOR_STATUS "status.pb"
#define SUPERVISOR_SOCKET "kpod.sock"
#define SUPERVISOR_LOCK "kpod.lock"
#define SUPERVISOR_LOG "log"
#define SUPERVISOR_LOG_OLD "log.1"

enum {
    SUPERVISOR_NETNS_FD = 3,
    SUPERVISOR_SOCKET_FD = 4, /* listening */
    SUPERVISOR_LOCK_FD = 5,   /* locked */
    SUPERVISOR_FILTER_FD = 6, /* of the first container; one for each */
    SUPERVISOR_CONTAINERS_MAX = 8,
    SUPERVISOR_IDS = 65536, /* of a pod's user namespace */
    SUPERVISOR_FILE_MAX_BYTES = 1 << 20,
    SUPERVISOR_MESSAGE_MAX_BYTES = 65536, /* to kpod */
};

enum log_stream { LOG_STREAM_STDOUT = 1, LOG_STREAM_STDERR = 2 };

/* One piece of output in a log file, in the machine's byte order, followed
 * by `length` bytes. */
struct log_record {
    uint64_t wall_ms;
    uint32_t length; /* at most LOG_RECORD_MAX_BYTES */
    uint8_t stream;  /* enum log_stream */
    uint8_t container;
    uint16_t
        run; /* of the container: how often it was restarted, its low bits */
};

enum { LOG_RECORD_MAX_BYTES = 65536 };
