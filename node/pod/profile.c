#include "node/pod/profile.h"

#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>

enum { PROFILE_ITEMS_MAX = 64 }; /* of any one kind */

static const struct {
    const char *name;
    uint32_t resource;
} limits[] = {
    {"as", RLIMIT_AS},
    {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},
    {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE},
    {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},
    {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

/* ---- capabilities -------------------------------------------------------- */

static uint64_t all_capabilities(void)
{
    return (UINT64_C(1) << (CAP_LAST_CAP + 1)) - 1;
}

/* "NET_RAW", "CAP_NET_RAW", "net_raw", "ALL". */
static int parse_capability(const char *text, uint64_t *mask, struct error *why)
{
    bool prefixed = strncasecmp(text, "cap_", 4) == 0;
    char name[64];
    cap_value_t value;

    snprintf(name, sizeof name, "%s%.32s", prefixed ? "" : "cap_", text);
    if (strcasecmp(text, "ALL") == 0)
        *mask |= all_capabilities();
    else if (strlen(text) <= 32 && cap_from_name(name, &value) == 0)
        *mask |= UINT64_C(1) << value;
    else
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "there is no capability \"%.40s\"", text);
    return 0;
}

static int parse_capabilities(char *const *texts, size_t count, uint64_t *mask,
                              struct error *why)
{
    for (size_t i = 0; i < count; i++)
        if (parse_capability(texts[i], mask, why) != 0)
            return (int)why->code;
    return 0;
}

/* As with Docker: "all but" (add ALL, drop X) and "only" (drop ALL, add X). */
static int apply_capabilities(const Kontor__V1__ContainerSpec *spec,
                              Kontor__V1__BundleContainer *out,
                              struct error *why)
{
    uint64_t add = 0;
    uint64_t drop = 0;

    if (parse_capabilities(spec->cap_add, spec->n_cap_add, &add, why) != 0 ||
        parse_capabilities(spec->cap_drop, spec->n_cap_drop, &drop, why) != 0)
        return (int)why->code;
    if (add == all_capabilities())
        add &= ~drop;
    if (drop != all_capabilities() && (add & drop) != 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a capability is both added and dropped");
    out->cap_add = add;
    out->cap_drop = drop;
    return 0;
}

bool profile_reaches_devices(const Kontor__V1__Bundle *bundle)
{
    const uint64_t reaching = 1ull << CAP_SYS_ADMIN | 1ull << CAP_MKNOD;

    if (bundle->first_id != 0)
        return false;
    for (size_t i = 0; i < bundle->n_containers; i++)
        if (bundle->containers[i]->cap_add & reaching)
            return true;
    return false;
}

/* ---- resource limits ----------------------------------------------------- */

static int make_limit(const Kontor__V1__Rlimit *asked,
                      Kontor__V1__BundleRlimit **out, struct error *why)
{
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        if (strcmp(limits[i].name, asked->name) != 0)
            continue;
        if (asked->soft > asked->hard)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "limit %s: the soft one is above the hard one",
                             asked->name);
        *out = memory_new(sizeof **out);
        kontor__v1__bundle_rlimit__init(*out);
        (*out)->resource = limits[i].resource;
        (*out)->soft = asked->soft;
        (*out)->hard = asked->hard;
        return 0;
    }
    return error_set(why, ERROR_INVALID_ARGUMENT, "there is no limit \"%.40s\"",
                     asked->name);
}

static int apply_limits(const Kontor__V1__ContainerSpec *spec,
                        Kontor__V1__BundleContainer *out, struct error *why)
{
    out->rlimits = memory_array(spec->n_rlimits + 1, sizeof *out->rlimits);
    for (size_t i = 0; i < spec->n_rlimits; i++) {
        if (make_limit(spec->rlimits[i], &out->rlimits[i], why) != 0)
            return (int)why->code;
        out->n_rlimits++;
    }
    return 0;
}

/* ---- the rest ------------------------------------------------------------ */

static int apply_tmpfs(const Kontor__V1__ContainerSpec *spec,
                       Kontor__V1__BundleContainer *out, struct error *why)
{
    out->tmpfs = memory_array(spec->n_tmpfs + 1, sizeof *out->tmpfs);
    for (size_t i = 0; i < spec->n_tmpfs; i++) {
        const Kontor__V1__Tmpfs *asked = spec->tmpfs[i];
        Kontor__V1__Tmpfs *made;

        if (asked->path[0] != '/' || !asked->path[1])
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "tmpfs \"%.80s\": not an absolute path",
                             asked->path);
        made = memory_new(sizeof *made);
        kontor__v1__tmpfs__init(made);
        made->path = memory_string(asked->path);
        made->size_bytes = asked->size_bytes;
        out->tmpfs[out->n_tmpfs++] = made;
    }
    return 0;
}

int profile_apply(const Kontor__V1__ContainerSpec *spec,
                  Kontor__V1__BundleContainer *out, struct error *why)
{
    if (spec->n_groups > PROFILE_ITEMS_MAX ||
        spec->n_cap_add > PROFILE_ITEMS_MAX ||
        spec->n_cap_drop > PROFILE_ITEMS_MAX ||
        spec->n_rlimits > PROFILE_ITEMS_MAX ||
        spec->n_tmpfs > PROFILE_ITEMS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "more than %d groups, capabilities, limits or tmpfs",
                         PROFILE_ITEMS_MAX);
    if (spec->user[0]) {
        if (out->user != (const char *)protobuf_c_empty_string)
            free(out->user);
        out->user = memory_string(spec->user);
    }
    out->read_only = spec->read_only;
    out->groups =
        memory_copy(spec->groups, spec->n_groups * sizeof *spec->groups);
    out->n_groups = spec->n_groups;
    if (apply_capabilities(spec, out, why) != 0 ||
        apply_limits(spec, out, why) != 0)
        return (int)why->code;
    return apply_tmpfs(spec, out, why);
}
