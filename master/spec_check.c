#include "master/spec_check.h"

#include "base/quantity.h"
#include "base/utf8.h"
#include "master/cluster_spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_MIN_BYTES (UINT64_C(1) << 20)
/* A single request may have 1 MiB, and who waits for it cannot be killed. */
#define IO_MIN_BYTES (UINT64_C(1) << 20)
#define MEMORY_DEFAULT_BYTES (UINT64_C(128) << 20)

enum { CPU_DEFAULT_MILLI = 100, STOP_GRACE_DEFAULT_MS = 10000 };

static int check_text(const char *field, const char *text, struct error *why)
{
    if (utf8_valid(text))
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT, "%s is not UTF-8", field);
}

/* Where in the spec the one that is looked at stands. */
struct place {
    char name[40]; /* "spec.containers[0]" */
};

static int check_image(const struct place *at, const char *image,
                       struct error *why)
{
    size_t length = strlen(image);

    if (length == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "%s.image is empty",
                         at->name);
    if (length > SPEC_IMAGE_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.image has %zu bytes, %d are allowed", at->name,
                         length, SPEC_IMAGE_MAX);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)image[i] <= ' ' || (unsigned char)image[i] >= 0x7f)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "%s.image: byte %zu is not allowed in a "
                             "reference",
                             at->name, i);
    }
    return 0;
}

static int check_env(const struct place *at, const char *text, size_t number,
                     struct error *why)
{
    size_t length = strcspn(text, "=");

    if (text[length] != '=' || length == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.env[%zu] \"%.80s\": write KEY=value", at->name,
                         number, text);
    return 0;
}

static int check_words(const struct place *at, const char *field,
                       char *const *words, size_t count, struct error *why)
{
    char name[80];

    if (count > SPEC_WORDS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.%s has %zu words, %d are allowed", at->name, field,
                         count, SPEC_WORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s.%s[%zu]", at->name, field, i);
        if (check_text(name, words[i], why) != 0)
            return why->code;
    }
    return 0;
}

/* Names of users, groups, capabilities and limits, and what is no number of
 * them; whether there is such a one, the node knows. */
static int check_token(const struct place *at, const char *field,
                       const char *text, struct error *why)
{
    size_t length = strlen(text);

    if (length > 0 && length <= SPEC_TOKEN_MAX &&
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789_-.:") == length)
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "%s.%s \"%.80s\": letters, digits, _ - . and : are "
                     "allowed, at most %d",
                     at->name, field, text, SPEC_TOKEN_MAX);
}

/* "USER", "USER:GROUP": neither may be missing. */
static int check_user(const struct place *at, const char *user,
                      struct error *why)
{
    const char *colon = strchr(user, ':');

    if (!user[0])
        return 0;
    if (colon && (colon == user || !colon[1] || strchr(colon + 1, ':')))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.user \"%.80s\": write USER or USER:GROUP",
                         at->name, user);
    return check_token(at, "user", user, why);
}

static int check_tmpfs(const struct place *at,
                       const Kontor__V1__ContainerSpec *in, struct error *why)
{
    for (size_t i = 0; i < in->n_tmpfs; i++) {
        if (check_words(at, "tmpfs", &in->tmpfs[i]->path, 1, why) != 0)
            return why->code;
        if (in->tmpfs[i]->path[0] != '/' || !in->tmpfs[i]->path[1])
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "%s.tmpfs[%zu].path \"%.80s\": not an absolute "
                             "path",
                             at->name, i, in->tmpfs[i]->path);
    }
    return 0;
}

static int check_profile(const struct place *at,
                         const Kontor__V1__ContainerSpec *in, struct error *why)
{
    if (in->n_groups > SPEC_PROFILE_MAX || in->n_cap_add > SPEC_PROFILE_MAX ||
        in->n_cap_drop > SPEC_PROFILE_MAX || in->n_rlimits > SPEC_PROFILE_MAX ||
        in->n_tmpfs > SPEC_PROFILE_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s has more than %d groups, capabilities, rlimits "
                         "or tmpfs",
                         at->name, SPEC_PROFILE_MAX);
    if (check_user(at, in->user, why) != 0)
        return why->code;
    for (size_t i = 0; i < in->n_cap_add; i++)
        if (check_token(at, "cap_add", in->cap_add[i], why) != 0)
            return why->code;
    for (size_t i = 0; i < in->n_cap_drop; i++)
        if (check_token(at, "cap_drop", in->cap_drop[i], why) != 0)
            return why->code;
    for (size_t i = 0; i < in->n_rlimits; i++)
        if (check_token(at, "rlimits", in->rlimits[i]->name, why) != 0)
            return why->code;
    return check_tmpfs(at, in, why);
}

/* Within the pod's, which are checked already. */
static int check_limits(const struct place *at, const struct checked_spec *out,
                        const Kontor__V1__Resources *limits, struct error *why)
{
    if (!limits)
        return 0;
    if (limits->disk_bytes || limits->net_bits)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.limits: only cpu_milli and memory_bytes can be a "
                         "container's own",
                         at->name);
    if (limits->cpu_milli > out->resources.cpu_milli)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.limits.cpu_milli is %u, the pod has %u", at->name,
                         limits->cpu_milli, out->resources.cpu_milli);
    if (limits->memory_bytes > out->resources.memory_bytes)
        return error_set(
            why, ERROR_INVALID_ARGUMENT,
            "%s.limits.memory_bytes is %" PRIu64 ", the pod has %" PRIu64,
            at->name, limits->memory_bytes, out->resources.memory_bytes);
    return 0;
}

/* One without a name is "main"; no two are called the same. */
static int check_name(const struct place *at, struct checked_spec *out,
                      size_t index, struct error *why)
{
    Kontor__V1__ContainerSpec *container = &out->container[index];

    if (container->name[0] == '\0')
        container->name = out->container_name;
    else if (!app_name_valid(container->name))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.name \"%.80s\": a name has a-z, 0-9 and \"-\" "
                         "inside",
                         at->name, container->name);
    for (size_t i = 0; i < index; i++)
        if (strcmp(out->container[i].name, container->name) == 0)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "%s.name: there is a \"%s\" already", at->name,
                             container->name);
    return 0;
}

/* One way, and only one. */
static int check_health(const struct place *at, const char *field,
                        const Kontor__V1__HealthCheck *check, struct error *why)
{
    char command[32];

    if (!check)
        return 0;
    if ((check->n_command > 0) + (check->http_port > 0) +
            (check->tcp_port > 0) !=
        1)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.%s: one of command, http_port and tcp_port is "
                         "needed",
                         at->name, field);
    if (check->http_port > UINT16_MAX || check->tcp_port > UINT16_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.%s: there is no such port", at->name, field);
    if (strpbrk(check->http_path, " \r\n") ||
        strlen(check->http_path) > SPEC_PATH_MAX ||
        (check->http_path[0] && check->http_path[0] != '/'))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.%s.http_path \"%.80s\": not a path of at most "
                         "%d bytes",
                         at->name, field, check->http_path, SPEC_PATH_MAX);
    snprintf(command, sizeof command, "%s.command", field);
    return check_words(at, command, check->command, check->n_command, why);
}

static int check_container(const Kontor__V1__ContainerSpec *in,
                           struct checked_spec *out, size_t index,
                           struct error *why)
{
    struct place at;

    snprintf(at.name, sizeof at.name, "spec.containers[%zu]", index);
    out->container[index] = *in;
    out->containers[index] = &out->container[index];
    if (check_name(&at, out, index, why) != 0 ||
        check_image(&at, in->image, why) != 0 ||
        check_words(&at, "command", in->command, in->n_command, why) != 0 ||
        check_words(&at, "env", in->env, in->n_env, why) != 0 ||
        check_profile(&at, in, why) != 0 ||
        check_limits(&at, out, in->limits, why) != 0 ||
        check_health(&at, "health", in->health, why) != 0 ||
        check_health(&at, "ready", in->ready, why) != 0)
        return why->code;
    for (size_t i = 0; i < in->n_env; i++) {
        if (check_env(&at, in->env[i], i, why) != 0)
            return why->code;
    }
    if ((int)in->restart <
            KONTOR__V1__CONTAINER_RESTART__CONTAINER_RESTART_AS_POD ||
        in->restart > KONTOR__V1__CONTAINER_RESTART__CONTAINER_RESTART_NEVER)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s.restart %d is no restart policy", at.name,
                         (int)in->restart);
    return 0;
}

static int check_containers(const Kontor__V1__PodSpec *spec,
                            struct checked_spec *out, struct error *why)
{
    bool lasting = false;

    if (spec->n_containers == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers is empty");
    if (spec->n_containers > SPEC_CONTAINERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers has %zu, a pod can have %d",
                         spec->n_containers, SPEC_CONTAINERS_MAX);
    strcpy(out->container_name, "main");
    out->spec.containers = out->containers;
    for (size_t i = 0; i < spec->n_containers; i++) {
        if (check_container(spec->containers[i], out, i, why) != 0)
            return why->code;
        lasting |= !spec->containers[i]->init;
    }
    if (!lasting)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers: all of them are init containers");
    return 0;
}

static int check_resources(const Kontor__V1__PodSpec *spec,
                           struct checked_spec *out, struct error *why)
{
    static const char *const fields[RESOURCE_COUNT] = {
        "cpu_milli", "memory_bytes", "disk_bytes", "net_bits"};
    struct resources want = resources_of(spec->resources);

    if (want.amount[RESOURCE_CPU] == 0)
        want.amount[RESOURCE_CPU] = CPU_DEFAULT_MILLI;
    if (want.amount[RESOURCE_MEMORY] == 0)
        want.amount[RESOURCE_MEMORY] = MEMORY_DEFAULT_BYTES;
    if (want.amount[RESOURCE_MEMORY] < MEMORY_MIN_BYTES)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.resources.memory_bytes is %" PRIu64
                         ", a pod needs 1Mi at least",
                         want.amount[RESOURCE_MEMORY]);
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (want.amount[i] > SPEC_AMOUNT_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "spec.resources.%s is %" PRIu64
                             ", at most 2^50 is allowed",
                             fields[i], want.amount[i]);
    }
    kontor__v1__resources__init(&out->resources);
    if (spec->resources)
        out->resources.base = spec->resources->base;
    resources_tell(&want, &out->resources);
    out->spec.resources = &out->resources;
    return 0;
}

/* The first that is there to stay. */
static const Kontor__V1__ContainerSpec *
main_container(const struct checked_spec *checked)
{
    const Kontor__V1__ContainerSpec *container = checked->container;

    while (container->init)
        container++;
    return container;
}

static int check_app(const Kontor__V1__PodSpec *spec, struct checked_spec *out,
                     struct error *why)
{
    out->named = spec->app[0] != '\0';
    if (!out->named) {
        app_name_of_image(main_container(out)->image, out->app);
        out->spec.app = out->app;
        return 0;
    }
    if (!app_name_valid(spec->app))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.app \"%.80s\": a name has a-z, 0-9 and \"-\" "
                         "inside, %d characters at most",
                         spec->app, APP_NAME_MAX);
    return 0;
}

int spec_check(const Kontor__V1__PodSpec *spec, struct checked_spec *out,
               struct error *why)
{
    if (!spec)
        return error_set(why, ERROR_INVALID_ARGUMENT, "spec is missing");
    out->spec = *spec; /* with what a newer node may understand */
    if (check_resources(spec, out, why) != 0 ||
        check_containers(spec, out, why) != 0 ||
        check_app(spec, out, why) != 0 || spec_check_rules(spec, why) != 0)
        return why->code;
    if ((int)spec->restart < KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS ||
        spec->restart > KONTOR__V1__RESTART_POLICY__RESTART_NEVER)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.restart %d is no restart policy",
                         (int)spec->restart);
    if (spec->node[0] && !node_name_valid(spec->node))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.node \"%.80s\" cannot be a node's name",
                         spec->node);
    if (spec->shm_bytes > SPEC_AMOUNT_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.shm_bytes is %" PRIu64
                         ", at most 2^50 is allowed",
                         spec->shm_bytes);
    if (spec->io_bytes &&
        (spec->io_bytes < IO_MIN_BYTES || spec->io_bytes > SPEC_AMOUNT_MAX))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.io_bytes is %" PRIu64
                         ", 1Mi to 2^50 a second are allowed",
                         spec->io_bytes);
    if (spec->stop_grace_ms == 0)
        out->spec.stop_grace_ms = STOP_GRACE_DEFAULT_MS;
    if (spec->stop_grace_ms > SPEC_STOP_GRACE_MAX_MS)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.stop_grace_ms is %u, at most an hour is "
                         "allowed",
                         spec->stop_grace_ms);
    if (kontor__v1__pod_spec__get_packed_size(&out->spec) > SPEC_MAX_BYTES)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec is larger than %d bytes", SPEC_MAX_BYTES);
    return 0;
}
