#include "client/config.h"

#include "base/fd.h"
#include "base/memory.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>

enum { CONFIG_MAX_BYTES = 1 << 20 };

static char *find_path(const char *given)
{
    const char *named = getenv("KONTOR_CONFIG");
    const char *home = getenv("HOME");

    if (given)
        return memory_string(given);
    if (named && *named)
        return memory_string(named);
    return memory_format("%s/.kontor/config.json", home ? home : "");
}

static json_t *read_json(const char *path, struct error *why)
{
    struct buffer bytes;
    json_error_t wrong;
    json_t *json = NULL;

    buffer_init(&bytes, CONFIG_MAX_BYTES);
    if (file_read(AT_FDCWD, path, &bytes, why) != 0) {
        if (why->code == ERROR_NOT_FOUND)
            error_set(why, ERROR_INVALID_ARGUMENT,
                      "there is no %s; name the cluster's config.json by "
                      "--config or KONTOR_CONFIG (`kctl pki init` and "
                      "`kctl dev up` make one)",
                      path);
    } else {
        json =
            json_loadb((const char *)buffer_data(&bytes), buffer_length(&bytes),
                       JSON_REJECT_DUPLICATES, &wrong);
        if (!json)
            error_set(why, ERROR_INVALID_ARGUMENT, "%s: line %d: %s", path,
                      wrong.line, wrong.text);
    }
    buffer_fini(&bytes);
    return json;
}

/* A copy of the text at `key`, or NULL. */
static char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && *text ? memory_string(text) : NULL;
}

static int read_masters(struct config *config, const json_t *list,
                        struct error *why)
{
    size_t count = json_array_size(list);

    if (count == 0 || count > CONFIG_MASTERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s: \"masters\" must list 1 to %d masters",
                         config->path, CONFIG_MASTERS_MAX);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        struct config_master *master = &config->masters[i];

        config->master_count = i + 1;
        master->name = text_of(item, "name");
        master->address = text_of(item, "address");
        if (!master->name || !master->address || !strrchr(master->address, ':'))
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "%s: master %zu needs a \"name\" and an "
                             "\"address\" HOST:PORT",
                             config->path, i + 1);
    }
    return 0;
}

/* Where `pki` is, seen from the file's folder. */
static char *resolve(const char *path, const char *pki)
{
    const char *slash = strrchr(path, '/');

    if (pki[0] == '/' || !slash)
        return memory_string(pki);
    return memory_format("%.*s/%s", (int)(slash - path), path, pki);
}

static int read_config(struct config *config, const json_t *json,
                       struct error *why)
{
    CLEANUP(free_pointer) char *pki = text_of(json, "pki");

    if (!pki)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s: \"pki\" must name the folder of certificates",
                         config->path);
    config->pki = resolve(config->path, pki);
    config->identity = text_of(json, "identity");
    if (!config->identity)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s: \"identity\" must name a certificate, such as "
                         "\"admin\"",
                         config->path);
    return read_masters(config, json_object_get(json, "masters"), why);
}

int config_load(struct config *out, const char *path, struct error *why)
{
    struct config config = {.path = find_path(path)};
    json_t *json = read_json(config.path, why);
    int code = json ? read_config(&config, json, why) : (int)why->code;

    json_decref(json);
    if (code != 0)
        config_fini(&config);
    else
        *out = config;
    return code;
}

void config_fini(struct config *config)
{
    free(config->path);
    free(config->pki);
    free(config->identity);
    for (size_t i = 0; i < config->master_count; i++) {
        free(config->masters[i].name);
        free(config->masters[i].address);
    }
    *config = (struct config){0};
}

int config_save(const struct config *config, const char *path,
                struct error *why)
{
    json_t *masters = json_array();
    json_t *json;
    CLEANUP(free_pointer) char *text = NULL;
    CLEANUP(free_pointer) char *line = NULL;
    int code;

    for (size_t i = 0; i < config->master_count; i++)
        json_array_append_new(
            masters, json_pack("{s:s,s:s}", "name", config->masters[i].name,
                               "address", config->masters[i].address));
    json = json_pack("{s:o,s:s,s:s}", "masters", masters, "pki", config->pki,
                     "identity", config->identity);
    text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    if (text) {
        line = memory_format("%s\n", text);
        code = file_replace(AT_FDCWD, path, line, strlen(line), 0600, why);
    } else {
        code = error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s: a name or address is no UTF-8", path);
    }
    json_decref(json);
    return code;
}
