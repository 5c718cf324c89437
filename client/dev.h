/* dev.h - a whole cluster on this machine.
 *
 *        the machine                          network namespaces
 *   m1 10.77.0.1:7400 ---+                 +-- kdev-n1  eth0 10.77.0.11
 *   m2 10.77.0.1:7410 ---+-- bridge kdev0 -+      knode :7500, its pods
 *   m3 10.77.0.1:7420 ---+   10.77.0.1/24  +-- kdev-n2  eth0 10.77.0.12
 *   registry 127.0.0.1:5000 <- kctl dev relay <- 127.0.0.1:5000 in each
 *
 * Invariants:
 * 1. What may have to be undone is in state.json before it happens, so that
 *    `dev down` finds it after a crash at any point.
 * 2. A process is known by pid and start time together; no other is ended.
 * 3. Nothing is removed from the folder but what kctl put there. */
#pragma once

#include "base/error.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { DEV_MASTERS_MAX = 7, DEV_NODES_MAX = 64, DEV_NAME_MAX = 16 };

#define DEV_BRIDGE "kdev0"
#define DEV_HOST "10.77.0.1"
#define DEV_NETNS_FOLDER "/run/netns"

struct dev_process {
    char name[DEV_NAME_MAX]; /* "m1", "n1", "relay" */
    pid_t pid;               /* 0: not started */
    uint64_t started_ticks;  /* since boot, of /proc/PID/stat */
};

struct dev {
    char folder[PATH_MAX / 2]; /* absolute */
    unsigned master_count;
    unsigned node_count;
    unsigned registry_port;     /* 0: none */
    bool forwarding;            /* what ip_forward was before */
    uint64_t master_disk_bytes; /* of each master; 0: they share the folder's */
    struct {                    /* the masters' options; 0: as without them */
        uint64_t suspect_after_ms;
        uint64_t lost_after_ms;
        uint64_t snapshot_entries;
    } tuning; /* of `dev up` alone: not in state.json */
    struct dev_process masters[DEV_MASTERS_MAX];
    struct dev_process nodes[DEV_NODES_MAX];
    struct dev_process relay;
};

enum { DEV_ADDRESS_MAX = 32 };

/* 7400, 7410 ... Also the group that the master runs as: packets of its own
 * are known by it, whatever their port. */
unsigned dev_master_port(unsigned i);

/* "10.77.0.1:7400", "10.77.0.11", "10.77.0.11:7500", "kdev-n1"; i from 0. */
char *dev_master_address(char text[DEV_ADDRESS_MAX], unsigned i);
char *dev_node_host(char text[DEV_ADDRESS_MAX], unsigned i);
char *dev_node_address(char text[DEV_ADDRESS_MAX], unsigned i);
char *dev_node_netns(char text[DEV_ADDRESS_MAX], unsigned i);

/* The nodes' cgroups are beneath this: "kontor/dev-1a2b3c4d". Two clusters
 * in two folders have two. */
char *dev_cgroup(char text[DEV_ADDRESS_MAX], const struct dev *dev);

/* The folder that `given` or, without it, ~/.kontor/dev means; made when
 * `make`. NOT_FOUND: it is not there. */
int dev_folder(struct dev *dev, const char *given, bool make,
               struct error *why);

/* Until *fd is closed no other kctl makes or ends the cluster of this folder.
 * ABORTED: another one is at it. */
int dev_lock(const struct dev *dev, int *fd, struct error *why);

/* "m1", "n1" ... to masters, nodes and relay. */
void dev_name_all(struct dev *dev);

/* state.json. NOT_FOUND: there is none. */
int dev_load(struct dev *dev, struct error *why);
int dev_save(const struct dev *dev, struct error *why);

/* What state.json holds; a new reference. */
json_t *dev_json(const struct dev *dev);
