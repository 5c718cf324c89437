/* schedule_profile.h - the options of `kctl schedule` that say what a
 * container may do, as the part of a ContainerSpec that they are. */
#pragma once

#include "client/verb.h"
#include "kontor/v1/types.pb-c.h"

enum { PROFILE_MAX = 16, PROFILE_PATH_MAX = 256 }; /* of each kind */

/* How a container is asked whether it is well, or ready. */
struct check_options {
    const char *command;
    const char *http;
    uint64_t tcp;
    uint64_t interval_ms;
    uint64_t timeout_ms;
    uint64_t retries;  /* of health alone */
    uint64_t start_ms; /* of health alone */
};

/* The options' targets; zeroed at first. */
struct profile_options {
    const char *user;
    struct option_strings groups;
    struct option_strings cap_add;
    struct option_strings cap_drop;
    struct option_strings rlimits;
    struct option_strings tmpfs;
    uint64_t shm_bytes;
    struct check_options health;
    struct check_options ready;
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
        {"health-cmd", OPTION_STRING, &(o)->health.command, "SCRIPT",          \
         "healthy while `sh -c SCRIPT` in it succeeds"},                       \
        {"health-http", OPTION_STRING, &(o)->health.http, "PORT[/PATH]",       \
         "healthy while this answers with 200 to 399"},                        \
        {"health-tcp", OPTION_NUMBER, &(o)->health.tcp, "PORT",                \
         "healthy while this can be connected to"},                            \
        {"health-interval", OPTION_DURATION, &(o)->health.interval_ms, "TIME", \
         "between two checks (10s)"},                                          \
        {"health-timeout", OPTION_DURATION, &(o)->health.timeout_ms, "TIME",   \
         "of one check (5s)"},                                                 \
        {"health-retries", OPTION_NUMBER, &(o)->health.retries, "N",           \
         "failures in a row that end it (3)"},                                 \
        {"health-start-period", OPTION_DURATION, &(o)->health.start_ms,        \
         "TIME", "in which failures do not count (none)"},                     \
        {"ready-cmd", OPTION_STRING, &(o)->ready.command, "SCRIPT",            \
         "ready while `sh -c SCRIPT` in it succeeds; else it runs on"},        \
        {"ready-http", OPTION_STRING, &(o)->ready.http, "PORT[/PATH]",         \
         "ready while this answers with 200 to 399"},                          \
        {"ready-tcp", OPTION_NUMBER, &(o)->ready.tcp, "PORT",                  \
         "ready while this can be connected to"},                              \
        {"ready-interval", OPTION_DURATION, &(o)->ready.interval_ms, "TIME",   \
         "between two checks (10s)"},                                          \
        {"ready-timeout", OPTION_DURATION, &(o)->ready.timeout_ms, "TIME",     \
         "of one check (5s)"},                                                 \
        {"tmpfs", OPTION_STRINGS, &(o)->tmpfs, "PATH[:BYTES]",                 \
         "memory as a folder (64M); repeatable"},                              \
    {                                                                          \
        "shm-size", OPTION_BYTES, &(o)->shm_bytes, "BYTES", "/dev/shm (64M)"   \
    }

struct profile_check {
    Kontor__V1__HealthCheck check;
    char *command[3];
};

/* What the options become; in the caller's storage, not to be moved. */
struct profile {
    uint32_t groups[PROFILE_MAX];
    Kontor__V1__Rlimit limits[PROFILE_MAX];
    Kontor__V1__Rlimit *limit_list[PROFILE_MAX];
    char names[PROFILE_MAX][16];
    Kontor__V1__Tmpfs tmpfs[PROFILE_MAX];
    Kontor__V1__Tmpfs *tmpfs_list[PROFILE_MAX];
    char paths[PROFILE_MAX][PROFILE_PATH_MAX];
    struct profile_check health;
    struct profile_check ready;
};

/* Set them in `spec`, which borrows from both. INVALID_ARGUMENT names the
 * option and what is wrong with it. */
int profile_make(struct profile *profile, const struct profile_options *options,
                 Kontor__V1__ContainerSpec *spec, struct error *why);
