/* schedule_profile.h - the options of `kctl schedule` that say what a
 * container may do, as the part of a ContainerSpec that they are. */
#pragma once

#include "client/verb.h"
#include "kontor/v1/types.pb-c.h"

enum { PROFILE_MAX = 16, PROFILE_PATH_MAX = 256 }; /* of each kind */

/* The options' targets; zeroed at first. */
struct profile_options {
    const char *user;
    struct option_strings groups;
    struct option_strings cap_add;
    struct option_strings cap_drop;
    struct option_strings rlimits;
    struct option_strings tmpfs;
    uint64_t shm_bytes;
    bool read_only;
};

#define PROFILE_OPTIONS(o)                                                   \
    {"user", OPTION_STRING, &(o)->user, "USER[:GROUP]",                      \
     "names of the image's or numbers (the image's)"},                       \
        {"group-add", OPTION_STRINGS, &(o)->groups, "GID",                   \
         "a supplementary group; repeatable"},                               \
        {"cap-add", OPTION_STRINGS, &(o)->cap_add, "CAP",                    \
         "NET_RAW, ALL ...; repeatable"},                                    \
        {"cap-drop", OPTION_STRINGS, &(o)->cap_drop, "CAP",                  \
         "before those that are added; repeatable"},                         \
        {"read-only", OPTION_FLAG, &(o)->read_only, NULL,                    \
         "nothing of the image can be written to"},                          \
        {"ulimit", OPTION_STRINGS, &(o)->rlimits, "NAME=N[:N]",              \
         "nofile=1024:4096, core=unlimited; repeatable"},                    \
        {"tmpfs", OPTION_STRINGS, &(o)->tmpfs, "PATH[:BYTES]",               \
         "memory as a folder (64M); repeatable"},                            \
    {                                                                        \
        "shm-size", OPTION_BYTES, &(o)->shm_bytes, "BYTES", "/dev/shm (64M)" \
    }

/* What the options become; in the caller's storage, not to be moved. */
struct profile {
    uint32_t groups[PROFILE_MAX];
    Kontor__V1__Rlimit limits[PROFILE_MAX];
    Kontor__V1__Rlimit *limit_list[PROFILE_MAX];
    char names[PROFILE_MAX][16];
    Kontor__V1__Tmpfs tmpfs[PROFILE_MAX];
    Kontor__V1__Tmpfs *tmpfs_list[PROFILE_MAX];
    char paths[PROFILE_MAX][PROFILE_PATH_MAX];
};

/* Set them in `spec`, which borrows from both. INVALID_ARGUMENT names the
 * option and what is wrong with it. */
int profile_make(struct profile *profile, const struct profile_options *options,
                 Kontor__V1__ContainerSpec *spec, struct error *why);
