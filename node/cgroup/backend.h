/* backend.h - inside node/cgroup: where the hierarchies are, and what v1 and
 * v2 do differently. What is the same on both stands in cgroup.c. */
#pragma once

#include "node/cgroup/cgroup.h"

enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_FREEZER,
    CGROUP_CPUACCT, /* on v1, often but not always with cpu */
    CGROUP_IO,      /* on v1 blkio, with groups for who has a limit alone */
    CGROUP_DEVICES, /* on v1 with groups for who is denied some; on v2 bpf(2) */
    CGROUP_CONTROLLERS
};

enum {
    CGROUP_ROOT_MAX = 128,
    CGROUP_FILE_PATH_MAX = 512,
    CGROUP_VALUE_MAX = 512,
    CGROUP_TABLE_MAX = 4096, /* of "key number" lines: memory.stat */
};

struct cgroup_backend;

/* The mount points of the hierarchies; on v2 it is one for all. */
struct cgroup_mounts {
    const struct cgroup_backend *backend;
    char roots[CGROUP_CONTROLLERS][CGROUP_ROOT_MAX]; /* "": none */
};

struct cgroup_backend {
    /* The group and those beneath it can have limits. NULL: they can. */
    int (*hand_down)(const struct cgroup_mounts *mounts, const char *path,
                     struct error *why);
    /* The group exists; set what `limits` says. */
    int (*limit)(const struct cgroup_mounts *mounts, const char *path,
                 const struct cgroup_limits *limits, struct error *why);
    int (*enter)(const char *root, const char *path, pid_t pid,
                 struct error *why);
    void (*usage)(const struct cgroup_mounts *mounts, const char *path,
                  struct cgroup_usage *out);
    uint64_t (*oom_kills)(const struct cgroup_mounts *mounts, const char *path);
    int (*kill)(const struct cgroup_mounts *mounts, const char *path,
                struct error *why);
};

extern const struct cgroup_backend cgroup_v1;
extern const struct cgroup_backend cgroup_v2;

/* Look through /proc/self/mountinfo, or another file like it. v2 is chosen
 * when its root offers cpu, memory and pids. */
int cgroup_mounts_find(struct cgroup_mounts *out, const char *mountinfo,
                       struct error *why);

/* The public functions, on hierarchies of the caller's choice. */
int cgroup_create_on(const struct cgroup_mounts *mounts, const char *path,
                     const struct cgroup_limits *limits, struct error *why);
int cgroup_remove_on(const struct cgroup_mounts *mounts, const char *path,
                     struct error *why);

/* One hierarchy's root for each distinct one, else NULL: several controllers
 * may share a mount point. */
const char *cgroup_distinct_root(const struct cgroup_mounts *mounts,
                                 int controller);

/* Call `each` for `path` and every group beneath it, children first, on one
 * hierarchy. What disappears meanwhile is passed over. */
int cgroup_walk(const char *root, const char *path,
                int (*each)(void *data, const char *root, const char *path,
                            struct error *why),
                void *data, struct error *why);

/* v2: all that the group and those beneath it may open. FAILED_PRECONDITION
 * when the kernel cannot be told. Told again it is as it was. */
int cgroup_device_program(const char *root, const char *path,
                          struct error *why);

/* Write `value` to a control file of a group. */
int cgroup_file_write(const char *root, const char *path, const char *file,
                      const char *value, struct error *why);

/* Read a control file as a string; false when it cannot be. Cut at `size`. */
bool cgroup_file_read(const char *root, const char *path, const char *file,
                      char *out, size_t size);

bool cgroup_file_exists(const char *root, const char *path, const char *file);

/* Of each device that a file of "DEVICE ..." lines names, write "DEVICE none".
 * A file that is not there names none. */
void cgroup_file_lift(const char *root, const char *path, const char *file,
                      const char *none);

/* The number behind `key` in a file of "key number" lines; 0 without one. */
uint64_t cgroup_file_number(const char *root, const char *path,
                            const char *file, const char *key);

/* The number that is all of a file; 0 without one. */
uint64_t cgroup_file_whole_number(const char *root, const char *path,
                                  const char *file);

/* memory: what is used less what may be dropped; `total` and `unused` are a
 * file and a key of memory.stat. */
uint64_t cgroup_working_set(const char *root, const char *path,
                            const char *total, const char *unused);

/* Call `each` for every process listed in a group's cgroup.procs. */
int cgroup_processes(const char *root, const char *path,
                     void (*each)(void *data, pid_t pid), void *data,
                     struct error *why);
