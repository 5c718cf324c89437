#include "master/spec_check.h"

#include "base/quantity.h"
#include "base/utf8.h"
#include "master/cluster_spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_MIN_BYTES (UINT64_C(1) << 20)
#define MEMORY_DEFAULT_BYTES (UINT64_C(128) << 20)

enum { CPU_DEFAULT_MILLI = 100, STOP_GRACE_DEFAULT_MS = 10000 };

static int check_text(const char *field, const char *text, struct error *why)
{
    if (utf8_valid(text))
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT, "%s is not UTF-8", field);
}

static int check_image(const char *image, struct error *why)
{
    size_t length = strlen(image);

    if (length == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers[0].image is empty");
    if (length > SPEC_IMAGE_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers[0].image has %zu bytes, %d are "
                         "allowed",
                         length, SPEC_IMAGE_MAX);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)image[i] <= ' ' || (unsigned char)image[i] >= 0x7f)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "spec.containers[0].image: byte %zu is not "
                             "allowed in a reference",
                             i);
    }
    return 0;
}

static int check_env(const char *text, size_t number, struct error *why)
{
    size_t length = strcspn(text, "=");

    if (text[length] != '=' || length == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers[0].env[%zu] \"%.80s\": write "
                         "KEY=value",
                         number, text);
    return 0;
}

static int check_words(const char *field, char *const *words, size_t count,
                       struct error *why)
{
    char name[64];

    if (count > SPEC_WORDS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers[0].%s has %zu words, %d are allowed",
                         field, count, SPEC_WORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "spec.containers[0].%s[%zu]", field, i);
        if (check_text(name, words[i], why) != 0)
            return why->code;
    }
    return 0;
}

static int check_container(const Kontor__V1__PodSpec *spec,
                           struct checked_spec *out, struct error *why)
{
    const Kontor__V1__ContainerSpec *in;

    if (spec->n_containers == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers is empty");
    if (spec->n_containers > SPEC_CONTAINERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers has %zu, a pod can have %d",
                         spec->n_containers, SPEC_CONTAINERS_MAX);
    in = spec->containers[0];
    out->container = *in;
    out->containers[0] = &out->container;
    out->spec.containers = out->containers;
    if (in->name[0] == '\0') {
        strcpy(out->container_name, "main");
        out->container.name = out->container_name;
    } else if (!app_name_valid(in->name)) {
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers[0].name \"%.80s\": a name has a-z, "
                         "0-9 and \"-\" inside",
                         in->name);
    }
    if (check_image(in->image, why) != 0 ||
        check_words("command", in->command, in->n_command, why) != 0 ||
        check_words("env", in->env, in->n_env, why) != 0)
        return why->code;
    for (size_t i = 0; i < in->n_env; i++) {
        if (check_env(in->env[i], i, why) != 0)
            return why->code;
    }
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

static int check_app(const Kontor__V1__PodSpec *spec, struct checked_spec *out,
                     struct error *why)
{
    out->named = spec->app[0] != '\0';
    if (!out->named) {
        app_name_of_image(out->container.image, out->app);
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
    if (check_container(spec, out, why) != 0 ||
        check_resources(spec, out, why) != 0 || check_app(spec, out, why) != 0)
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
