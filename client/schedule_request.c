#include "client/schedule_request.h"

#include "client/message.h"
#include "client/yaml.h"

#include <inttypes.h>
#include <string.h>

static const char restart_always[] = "always";

void schedule_options_init(struct schedule_options *options)
{
    memset(options, 0, sizeof *options); /* they are compared as bytes */
    options->cpu_milli = SCHEDULE_CPU_MILLI;
    options->memory_bytes = SCHEDULE_MEMORY_BYTES;
    options->restart = restart_always;
}

int schedule_count_check(const struct schedule_count *count, struct error *why)
{
    if (count->replicas == 0 || count->replicas > SCHEDULE_REPLICAS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--replicas %" PRIu64 ": 1 to %d at one time",
                         count->replicas, SCHEDULE_REPLICAS_MAX);
    if (count->gang && count->replicas == 1)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--gang needs --replicas N, with N above 1");
    return 0;
}

static int parse_restart(const char *text, Kontor__V1__RestartPolicy *policy,
                         struct error *why)
{
    if (strcmp(text, "always") == 0)
        *policy = KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS;
    else if (strcmp(text, "on-failure") == 0)
        *policy = KONTOR__V1__RESTART_POLICY__RESTART_ON_FAILURE;
    else if (strcmp(text, "never") == 0)
        *policy = KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
    else
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--restart: \"%s\" is none of always, on-failure and "
                         "never",
                         text);
    return 0;
}

static int check_env(const struct option_strings *env, struct error *why)
{
    for (size_t i = 0; i < env->count; i++)
        if (env->values[i][0] == '=' || !strchr(env->values[i], '='))
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "--env: \"%s\" is not like KEY=value",
                             env->values[i]);
    return 0;
}

/* Is there an option that says something? */
static bool says_nothing(const struct schedule_options *options)
{
    struct schedule_options none;
    const void *given = options;
    const void *nothing = &none;

    schedule_options_init(&none);
    none.file = options->file;
    return memcmp(given, nothing, sizeof none) == 0;
}

static int request_of_file(struct schedule_request *out,
                           const struct schedule_options *options,
                           const struct operands *operands, struct error *why)
{
    ProtobufCMessage *message;

    if (operands->count > 0 || operands->rest || !says_nothing(options))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "-f: the file says all of it; no image, command or "
                         "option of the pod's goes with it");
    if (yaml_read_message(options->file, &kontor__v1__pod_spec__descriptor,
                          &message, why) != 0)
        return (int)why->code;
    out->file = message;
    out->request.spec = (Kontor__V1__PodSpec *)message;
    return 0;
}

void schedule_request_fini(struct schedule_request *request)
{
    message_free(request->file);
}

int schedule_request_make(struct schedule_request *out,
                          const struct schedule_options *options,
                          const struct operands *operands, struct error *why)
{
    out->file = NULL;
    kontor__v1__schedule_request__init(&out->request);
    kontor__v1__request_id__init(&out->id);
    out->request.request_id = &out->id;
    if (options->file)
        return request_of_file(out, options, operands, why);
    if (operands->count == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "an image or -f FILE is needed");
    if (operands->values[0][0] == '\0')
        return error_set(why, ERROR_INVALID_ARGUMENT, "the image has no name");
    if (options->cpu_milli == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--cpu: a pod needs at least 1m");
    if (options->memory_bytes == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--mem: a pod needs memory");
    if (options->stop_grace_ms > SCHEDULE_GRACE_MAX_MS)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--stop-grace: an hour is the most");
    if (check_env(&options->env, why) != 0)
        return (int)why->code;
    if (operands->rest && operands->rest_count == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a command must follow --");

    kontor__v1__pod_spec__init(&out->spec);
    kontor__v1__resources__init(&out->resources);
    kontor__v1__container_spec__init(&out->container);
    if (parse_restart(options->restart, &out->spec.restart, why) != 0)
        return (int)why->code;
    out->resources.cpu_milli = options->cpu_milli;
    out->resources.memory_bytes = options->memory_bytes;
    out->resources.disk_bytes = options->disk_bytes;
    out->resources.net_bits = options->net_bits;
    out->container.image = operands->values[0];
    out->container.command = operands->rest;
    out->container.n_command = (size_t)operands->rest_count;
    out->container.env = message_texts(options->env.values);
    out->container.n_env = options->env.count;
    out->containers[0] = &out->container;
    out->spec.app = message_text(options->name ? options->name : "");
    out->spec.node = message_text(options->node ? options->node : "");
    out->spec.stop_grace_ms = (uint32_t)options->stop_grace_ms;
    out->spec.resources = &out->resources;
    out->spec.containers = out->containers;
    out->spec.n_containers = 1;
    out->spec.io_bytes = options->io_bytes;
    out->spec.shm_bytes = options->profile.shm_bytes;
    out->spec.userns = options->profile.userns;
    out->request.spec = &out->spec;
    if (schedule_rules_make(&out->rules, &options->rules, &out->spec, why) != 0)
        return (int)why->code;
    return profile_make(&out->profile, &options->profile, &out->container, why);
}
