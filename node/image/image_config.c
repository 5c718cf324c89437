/* image_config.c - the config document of an image (OCI image-spec,
 * config.md): how to run it and what its layers unpack to. */
#include "base/memory.h"
#include "node/image/manifest.h"

#include <jansson.h>
#include <string.h>

static void json_drop(json_t **json)
{
    json_decref(*json);
}

void image_config_fini(struct image_config *config)
{
    if (config->image)
        kontor__v1__image__free_unpacked(config->image, NULL);
    free(config->diff_ids);
    *config = (struct image_config){0};
}

/* A missing or null field leaves `out` as it is. */
static int take_string(const json_t *object, const char *key, char **out,
                       struct error *why)
{
    const json_t *value = json_object_get(object, key);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return error_set(why, ERROR_INVALID_ARGUMENT, "%s is not a string",
                         key);
    *out = memory_string(json_string_value(value));
    return 0;
}

static int take_strings(const json_t *object, const char *key, char ***out,
                        size_t *count, struct error *why)
{
    const json_t *array = json_object_get(object, key);
    size_t size = json_array_size(array);

    if (!array || json_is_null(array))
        return 0;
    if (!json_is_array(array))
        return error_set(why, ERROR_INVALID_ARGUMENT, "%s is not a list", key);
    *out = memory_array(size, sizeof **out);
    for (size_t i = 0; i < size; i++) {
        const char *value = json_string_value(json_array_get(array, i));

        if (!value)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "%s holds something that is not a string", key);
        (*out)[(*count)++] = memory_string(value);
    }
    return 0;
}

static int take_run(const json_t *run, Kontor__V1__Image *image,
                    struct error *why)
{
    if (run && !json_is_null(run) && !json_is_object(run))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "config is not an object");
    if (take_strings(run, "Entrypoint", &image->entrypoint,
                     &image->n_entrypoint, why) != 0 ||
        take_strings(run, "Cmd", &image->command, &image->n_command, why) !=
            0 ||
        take_strings(run, "Env", &image->env, &image->n_env, why) != 0 ||
        take_string(run, "WorkingDir", &image->working_dir, why) != 0 ||
        take_string(run, "User", &image->user, why) != 0 ||
        take_string(run, "StopSignal", &image->stop_signal, why) != 0)
        return (int)why->code;
    return 0;
}

static int take_diff_ids(const json_t *rootfs, struct image_config *out,
                         struct error *why)
{
    const char *type = json_string_value(json_object_get(rootfs, "type"));
    const json_t *ids = json_object_get(rootfs, "diff_ids");
    size_t count = json_array_size(ids);

    if (!type || strcmp(type, "layers") != 0 || !json_is_array(ids))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "rootfs of type \"layers\" with diff_ids is missing");
    if (count > IMAGE_LAYERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%zu diff_ids, the limit is %d", count,
                         IMAGE_LAYERS_MAX);
    out->diff_ids = memory_array(count, sizeof *out->diff_ids);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(ids, i));

        if (digest_parse(text ? text : "", &out->diff_ids[i], why) != 0)
            return error_wrap(why, "diff_id %zu", i);
    }
    out->diff_id_count = count;
    return 0;
}

/* Images that name no platform are taken: some tools leave it out. */
static int check_platform(const json_t *root, const struct platform *platform,
                          struct error *why)
{
    const char *os = json_string_value(json_object_get(root, "os"));
    const char *architecture =
        json_string_value(json_object_get(root, "architecture"));

    if (os && os[0] && strcmp(os, platform->os) != 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "the image is for %.40s, this node is %s", os,
                         platform->os);
    if (architecture && architecture[0] &&
        strcmp(architecture, platform->architecture) != 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "the image is for %.40s, this node is %s",
                         architecture, platform->architecture);
    return 0;
}

static int parse(const json_t *root, const struct platform *platform,
                 struct image_config *out, struct error *why)
{
    if (!json_is_object(root))
        return error_set(why, ERROR_INVALID_ARGUMENT, "not an object");
    if (check_platform(root, platform, why) != 0 ||
        take_diff_ids(json_object_get(root, "rootfs"), out, why) != 0)
        return (int)why->code;
    return take_run(json_object_get(root, "config"), out->image, why);
}

int image_config_parse(const void *json, size_t length,
                       const struct platform *platform,
                       struct image_config *out, struct error *why)
{
    json_error_t at;
    CLEANUP(json_drop)
    json_t *root = json_loadb(json, length, JSON_REJECT_DUPLICATES, &at);
    struct image_config parsed = {0};

    if (!root)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "image config: JSON: %s at byte %d", at.text,
                         at.position);
    parsed.image = memory_new(sizeof *parsed.image);
    kontor__v1__image__init(parsed.image);
    if (parse(root, platform, &parsed, why) != 0) {
        image_config_fini(&parsed);
        return error_wrap(why, "image config");
    }
    *out = parsed;
    return 0;
}
