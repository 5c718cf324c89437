#include "node/pod/bundle.h"

#include "base/memory.h"
#include "node/pod/profile.h"
#include "node/pod/signals.h"

#include <ctype.h>
#include <string.h>

#define DEFAULT_NAME "main"
#define DEFAULT_PATH \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- lists of strings as protobuf-c keeps them --------------------------- */

struct strings {
    char **values;
    size_t count;
};

static void strings_take(struct strings *strings, char *taken)
{
    strings->values = memory_resize(
        strings->values, (strings->count + 1) * sizeof *strings->values);
    strings->values[strings->count++] = taken;
}

static void strings_copy(struct strings *strings, char *const *from,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        strings_take(strings, memory_string(from[i]));
}

/* "KEY=value" over the one with the same key. */
static void strings_set(struct strings *env, const char *variable)
{
    size_t key = strcspn(variable, "=");

    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->values[i], variable, key) != 0 ||
            (env->values[i][key] != '=' && env->values[i][key] != '\0'))
            continue;
        free(env->values[i]);
        env->values[i] = memory_string(variable);
        return;
    }
    strings_take(env, memory_string(variable));
}

/* ---- the order ----------------------------------------------------------- */

/* A name becomes a folder's name, so it must be no path. */
static bool good_name(const char *name)
{
    size_t length = strlen(name);

    if (length > BUNDLE_NAME_MAX || name[0] == '.')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
            return false;
    return true;
}

const char *bundle_container_name(const Kontor__V1__ContainerSpec *spec)
{
    return spec->name[0] ? spec->name : DEFAULT_NAME;
}

static int check_container(const Kontor__V1__ContainerSpec *spec,
                           struct error *why)
{
    if (!good_name(spec->name))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "container name \"%.80s\": letters, digits, - _ . "
                         "are allowed, at most %d",
                         spec->name, BUNDLE_NAME_MAX);
    if (!spec->image[0])
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "container %s names no image",
                         bundle_container_name(spec));
    if (spec->n_command > BUNDLE_STRINGS_MAX ||
        spec->n_env > BUNDLE_STRINGS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "container %s has more than %d arguments or variables",
                         bundle_container_name(spec), BUNDLE_STRINGS_MAX);
    for (size_t i = 0; i < spec->n_env; i++)
        if (spec->env[i][0] == '=' || !strchr(spec->env[i], '='))
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "environment \"%.64s\" is not KEY=value",
                             spec->env[i]);
    return 0;
}

int bundle_check_order(const Kontor__V1__PodOrder *order, struct error *why)
{
    const Kontor__V1__PodSpec *spec = order->spec;

    if (!spec || spec->n_containers == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "the order for pod %s names no container",
                         order->name);
    if (spec->n_containers > BUNDLE_CONTAINERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "pod %s has %zu containers, at most %d", order->name,
                         spec->n_containers, BUNDLE_CONTAINERS_MAX);
    for (size_t i = 0; i < spec->n_containers; i++) {
        if (check_container(spec->containers[i], why) != 0)
            return (int)why->code;
        for (size_t k = 0; k < i; k++)
            if (strcmp(bundle_container_name(spec->containers[i]),
                       bundle_container_name(spec->containers[k])) == 0)
                return error_set(why, ERROR_INVALID_ARGUMENT,
                                 "two containers of pod %s are called %s",
                                 order->name,
                                 bundle_container_name(spec->containers[i]));
    }
    return 0;
}

/* ---- the bundle ---------------------------------------------------------- */

static Kontor__V1__Resources *
copy_resources(const Kontor__V1__Resources *resources)
{
    Kontor__V1__Resources *copy = memory_copy(resources, sizeof *resources);

    copy->base.n_unknown_fields = 0;
    copy->base.unknown_fields = NULL;
    return copy;
}

static Kontor__V1__HealthCheck *copy_check(const Kontor__V1__HealthCheck *check)
{
    Kontor__V1__HealthCheck *copy;
    struct strings command = {0};

    if (!check)
        return NULL;
    copy = memory_copy(check, sizeof *check);
    copy->base.n_unknown_fields = 0;
    copy->base.unknown_fields = NULL;
    copy->http_path = memory_string(check->http_path);
    strings_copy(&command, check->command, check->n_command);
    copy->command = command.values;
    return copy;
}

Kontor__V1__Bundle *bundle_new(const Kontor__V1__PodOrder *order)
{
    Kontor__V1__Bundle *bundle = memory_new(sizeof *bundle);
    const Kontor__V1__PodSpec *spec = order->spec;

    kontor__v1__bundle__init(bundle);
    bundle->pod_id = order->pod_id;
    bundle->generation = order->generation;
    bundle->hostname = memory_string(order->name);
    bundle->restart = spec->restart;
    bundle->shm_bytes = spec->shm_bytes;
    bundle->stop_grace_ms =
        spec->stop_grace_ms ? spec->stop_grace_ms : BUNDLE_GRACE_MS;
    if (spec->resources)
        bundle->resources = copy_resources(spec->resources);
    return bundle;
}

static int check_image(const Kontor__V1__Image *image, struct error *why)
{
    if (image->n_layers == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "image %s has no layers",
                         image->reference);
    if (image->n_env > BUNDLE_STRINGS_MAX ||
        image->n_entrypoint + image->n_command > BUNDLE_STRINGS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "image %s has more than %d arguments or variables",
                         image->reference, BUNDLE_STRINGS_MAX);
    return 0;
}

/* As merge_argv() will have it first; "" when nobody names one. Borrowed. */
static const char *program_of(const struct bundle_source *source)
{
    if (source->spec->n_command > 0)
        return source->spec->command[0];
    if (source->image->n_entrypoint > 0)
        return source->image->entrypoint[0];
    return source->image->n_command > 0 ? source->image->command[0] : "";
}

static void merge_argv(Kontor__V1__BundleContainer *container,
                       const struct bundle_source *source)
{
    struct strings argv = {0};

    if (source->spec->n_command > 0) {
        strings_copy(&argv, source->spec->command, source->spec->n_command);
    } else {
        strings_copy(&argv, source->image->entrypoint,
                     source->image->n_entrypoint);
        strings_copy(&argv, source->image->command, source->image->n_command);
    }
    container->argv = argv.values;
    container->n_argv = argv.count;
}

static void merge_env(Kontor__V1__BundleContainer *container,
                      const struct bundle_source *source, const char *hostname)
{
    CLEANUP(free_pointer)
    char *own_name = memory_format("HOSTNAME=%s", hostname);
    struct strings env = {0};

    strings_set(&env, DEFAULT_PATH);
    strings_set(&env, own_name);
    for (size_t i = 0; i < source->image->n_env; i++)
        strings_set(&env, source->image->env[i]);
    for (size_t i = 0; i < source->spec->n_env; i++)
        strings_set(&env, source->spec->env[i]);
    container->env = env.values;
    container->n_env = env.count;
}

static void list_layers(Kontor__V1__BundleContainer *container,
                        const struct bundle_source *source)
{
    struct strings layers = {0};

    for (size_t i = 0; i < source->image->n_layers; i++)
        strings_take(&layers, memory_format("%s/%s", source->image_folder,
                                            source->image->layers[i]));
    container->layers = layers.values;
    container->n_layers = layers.count;
}

int bundle_add(Kontor__V1__Bundle *bundle, const struct bundle_source *source,
               struct error *why)
{
    const Kontor__V1__Image *image = source->image;
    Kontor__V1__BundleContainer *container;
    uint32_t stop_signal;

    if (check_image(image, why) != 0)
        return (int)why->code;
    if (signal_parse(image->stop_signal, &stop_signal, why) != 0)
        return error_wrap(why, "image %s: StopSignal", image->reference);
    if (program_of(source)[0] == '\0')
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "image %s names no program to run: give one",
                         image->reference);
    container = memory_new(sizeof *container);
    kontor__v1__bundle_container__init(container);
    container->user = memory_string(image->user);
    if (profile_apply(source->spec, container, why) != 0) {
        kontor__v1__bundle_container__free_unpacked(container, NULL);
        return error_wrap(why, "container %s",
                          bundle_container_name(source->spec));
    }
    container->name = memory_string(bundle_container_name(source->spec));
    container->working_dir =
        memory_string(image->working_dir[0] ? image->working_dir : "/");
    container->stop_signal = stop_signal;
    container->restart = source->spec->restart;
    container->init = source->spec->init;
    container->health = copy_check(source->spec->health);
    container->ready = copy_check(source->spec->ready);
    if (source->spec->limits)
        container->limits = copy_resources(source->spec->limits);
    container->log_limit_bytes = source->log_limit_bytes;
    merge_argv(container, source);
    merge_env(container, source, bundle->hostname);
    list_layers(container, source);
    bundle->containers =
        memory_resize(bundle->containers,
                      (bundle->n_containers + 1) * sizeof *bundle->containers);
    bundle->containers[bundle->n_containers++] = container;
    return 0;
}

static void replace(char **field, const char *value)
{
    if (*field != (const char *)protobuf_c_empty_string)
        free(*field);
    *field = memory_string(value);
}

void bundle_place(Kontor__V1__Bundle *bundle, const char *cgroup,
                  const char *address, const char *resolv_conf)
{
    replace(&bundle->cgroup, cgroup);
    replace(&bundle->address, address);
    replace(&bundle->resolv_conf, resolv_conf);
}

/* ---- resolv.conf --------------------------------------------------------- */

/* The address of a "nameserver ADDRESS" line, or NULL. */
static const char *name_server(const char *line)
{
    static const char word[] = "nameserver";

    line += strspn(line, " \t");
    if (strncmp(line, word, sizeof word - 1) != 0)
        return NULL;
    line += sizeof word - 1;
    return *line == ' ' || *line == '\t' ? line + strspn(line, " \t") : NULL;
}

static bool on_loopback(const char *address)
{
    size_t length = strcspn(address, " \t\r\n");

    return strncmp(address, "127.", 4) == 0 ||
           (length == 3 && strncmp(address, "::1", 3) == 0);
}

char *bundle_resolv_conf(const char *host, bool *usable)
{
    char *out = memory_new(strlen(host) + 2);
    char *end = out;

    *usable = false;
    while (*host) {
        size_t length = strcspn(host, "\n");
        const char *server = name_server(host);

        if (!server || !on_loopback(server)) {
            memcpy(end, host, length);
            end += length;
            *end++ = '\n';
            *usable |= server != NULL;
        }
        host += length + (host[length] == '\n');
    }
    *end = '\0';
    return out;
}
