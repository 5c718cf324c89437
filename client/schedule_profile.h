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
    const char *health_command;
    const char *health_http;
    uint64_t health_tcp;
    uint64_t health_interval_ms;
    uint64_t health_timeout_ms;
    uint64_t health_retries;
    uint64_t health_start_ms;
    bool read_only;
    bool userns;
};

#define PROFILE_OPTIONS(o)                                                     \
    {"user", OPTION_STRING, &(o)->user, "USER[:GROUP]",                        \
     "names of the image's or numbers (the image's)"},                         \
        {"group-add", OPTION_STRINGS, &(o)->groups, "GID",                     \
         "a supplementary group; repeatable"},                                 \
        {"cap-add", OPTION_STRINGS, &(o)->cap_add, "CAP",                      \
         "NET_RAW, ALL ...; repeatable"},                                      \
        {"cap-drop", OPTION_STRINGS, &(o)->cap_drop, "CAP",                    \
         "before those that are added; repeatable"},                           \
        {"read-only", OPTION_FLAG, &(o)->read_only, NULL,                      \
         "nothing of the image can be written to"},                            \
        {"userns", OPTION_FLAG, &(o)->userns, NULL,                            \
         "its root is nobody outside: a user namespace of its own"},           \
        {"ulimit", OPTION_STRINGS, &(o)->rlimits, "NAME=N[:N]",                \
         "nofile=1024:4096, core=unlimited; repeatable"},                      \
        {"health-cmd", OPTION_STRING, &(o)->health_command, "SCRIPT",          \
         "healthy while `sh -c SCRIPT` in it succeeds"},                       \
        {"health-http", OPTION_STRING, &(o)->health_http, "PORT[/PATH]",       \
         "healthy while this answers with 200 to 399"},                        \
        {"health-tcp", OPTION_NUMBER, &(o)->health_tcp, "PORT",                \
         "healthy while this can be connected to"},                            \
        {"health-interval", OPTION_DURATION, &(o)->health_interval_ms, "TIME", \
         "between two checks (10s)"},                                          \
        {"health-timeout", OPTION_DURATION, &(o)->health_timeout_ms, "TIME",   \
         "of one check (5s)"},                                                 \
        {"health-retries", OPTION_NUMBER, &(o)->health_retries, "N",           \
         "failures in a row that end it (3)"},                                 \
        {"health-start-period", OPTION_DURATION, &(o)->health_start_ms,        \
         "TIME", "in which failures do not count (none)"},                     \
        {"tmpfs", OPTION_STRINGS, &(o)->tmpfs, "PATH[:BYTES]",                 \
         "memory as a folder (64M); repeatable"},                              \
    {                                                                          \
        "shm-size", OPTION_BYTES, &(o)->shm_bytes, "BYTES", "/dev/shm (64M)"   \
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
    Kontor__V1__HealthCheck health;
    char *health_command[3];
};

/* Set them in `spec`, which borrows from both. INVALID_ARGUMENT names the
 * option and what is wrong with it. */
int profile_make(struct profile *profile, const struct profile_options *options,
                 Kontor__V1__ContainerSpec *spec, struct error *why);
