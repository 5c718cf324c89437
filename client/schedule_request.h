/* schedule_request.h - what `kctl schedule` was told, as a PodSpec. */
#pragma once

#include "client/schedule_profile.h"
#include "client/schedule_rules.h"
#include "kontor/v1/cluster.pb-c.h"

enum {
    SCHEDULE_CPU_MILLI = 100,
    SCHEDULE_MEMORY_BYTES = 64 << 20,
    SCHEDULE_GRACE_MAX_MS = 3600 * 1000,
    SCHEDULE_REPLICAS_MAX = 10000, /* the masters' PODS_PER_COMMAND_MAX */
};

/* The options' targets; filled with defaults by schedule_options_init(). */
struct schedule_options {
    uint32_t cpu_milli;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t net_bits;
    uint64_t io_bytes;
    uint64_t stop_grace_ms;
    const char *name;
    const char *node;
    const char *restart;
    const char *file; /* that says it all instead */
    struct option_strings env;
    struct rules_options rules;
    struct profile_options profile;
};

#define SCHEDULE_OPTIONS(o)                                                    \
    {"cpu", OPTION_CPU, &(o)->cpu_milli, "CPU", "cores: 2, 0.5, 500m (0.1)"},  \
        {"mem", OPTION_BYTES, &(o)->memory_bytes, "BYTES",                     \
         "memory: 512M, 1G (64M)"},                                            \
        {"disk", OPTION_BYTES, &(o)->disk_bytes, "BYTES", "disk: 10G (none)"}, \
        {"net", OPTION_NET, &(o)->net_bits, "BITS",                            \
         "network, each way: 100M (no limit)"},                                \
        {"io", OPTION_BYTES, &(o)->io_bytes, "BYTES",                          \
         "a second, each of read from and written to disk: 50M (no limit)"},   \
        {"f|file", OPTION_STRING, &(o)->file, "FILE",                          \
         "a PodSpec in YAML or JSON instead; - is stdin"},                     \
        {"name", OPTION_STRING, &(o)->name, "APP",                             \
         "the app's name; pods are APP-1 ... (the image's)"},                  \
        {"node", OPTION_STRING, &(o)->node, "NODE", "run on this node only"},  \
        {"env", OPTION_STRINGS, &(o)->env, "K=V", "a variable; repeatable"},   \
        {"restart", OPTION_STRING, &(o)->restart, "WHEN",                      \
         "always, on-failure or never (always)"},                              \
        {"stop-grace", OPTION_DURATION, &(o)->stop_grace_ms, "TIME",           \
         "from the stop signal to SIGKILL (10s)"},                             \
        RULES_OPTIONS(&(o)->rules), PROFILE_OPTIONS(&(o)->profile)

/* How many pods of one request; { 1, false } is one. */
struct schedule_count {
    uint64_t replicas;
    bool gang;
};

#define COUNT_OPTIONS(c)                                 \
    {"replicas", OPTION_NUMBER, &(c)->replicas, "N",     \
     "so many pods of this kind, at once (1)"},          \
    {                                                    \
        "gang", OPTION_FLAG, &(c)->gang, NULL,           \
            "with --replicas: place none before all fit" \
    }

/* INVALID_ARGUMENT. */
int schedule_count_check(const struct schedule_count *count, struct error *why);

void schedule_options_init(struct schedule_options *options);

/* A request in the caller's storage; all text is borrowed from argv. */
struct schedule_request {
    Kontor__V1__ScheduleRequest request;
    Kontor__V1__RequestId id;
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
    Kontor__V1__ContainerSpec container;
    struct schedule_rules rules;
    struct profile profile;
    Kontor__V1__ContainerSpec *containers[1];
    ProtobufCMessage *file; /* owned: the spec of a file, or NULL */
};

/* INVALID_ARGUMENT names the option and what is wrong with it. */
int schedule_request_make(struct schedule_request *out,
                          const struct schedule_options *options,
                          const struct operands *operands, struct error *why);

/* Of one that was made. */
void schedule_request_fini(struct schedule_request *request);
