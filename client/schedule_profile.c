#include "client/schedule_profile.h"

#include "base/quantity.h"
#include "client/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_count(const char *option, const struct option_strings *words,
                       struct error *why)
{
    if (words->count <= PROFILE_MAX)
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "--%s: at most %d are allowed", option, PROFILE_MAX);
}

/* Digits and nothing else, up to `max`. */
static bool parse_number(const char *text, size_t length, uint64_t max,
                         uint64_t *number)
{
    uint64_t value = 0;

    if (length == 0 || length > 19)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *number = value;
    return value <= max;
}

static int make_groups(struct profile *profile,
                       const struct option_strings *words,
                       Kontor__V1__ContainerSpec *spec, struct error *why)
{
    if (check_count("group-add", words, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < words->count; i++) {
        const char *text = words->values[i];
        uint64_t group;

        if (!parse_number(text, strlen(text), UINT32_MAX - 1, &group))
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "--group-add: \"%s\" is not the number of a group",
                             text);
        profile->groups[i] = (uint32_t)group;
    }
    spec->groups = profile->groups;
    spec->n_groups = words->count;
    return 0;
}

/* "1024", "unlimited". */
static bool parse_limit(const char *text, size_t length, uint64_t *limit)
{
    if (length == 9 && strncmp(text, "unlimited", length) == 0) {
        *limit = UINT64_MAX;
        return true;
    }
    return parse_number(text, length, INT64_MAX, limit);
}

static int make_limit(struct profile *profile, size_t at, const char *text,
                      struct error *why)
{
    Kontor__V1__Rlimit *limit = &profile->limits[at];
    size_t name = strcspn(text, "=");
    const char *soft = text + name + (text[name] == '=');
    size_t length = strcspn(soft, ":");
    /* One number is both. */
    const char *hard = soft[length] == ':' ? soft + length + 1 : soft;

    kontor__v1__rlimit__init(limit);
    if (name == 0 || name >= sizeof profile->names[at] ||
        !parse_limit(soft, length, &limit->soft) ||
        !parse_limit(hard, strlen(hard), &limit->hard))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--ulimit: \"%s\" is not like nofile=1024 or "
                         "nofile=1024:4096",
                         text);
    memcpy(profile->names[at], text, name);
    limit->name = profile->names[at];
    profile->limit_list[at] = limit;
    return 0;
}

static int make_limits(struct profile *profile,
                       const struct option_strings *words,
                       Kontor__V1__ContainerSpec *spec, struct error *why)
{
    if (check_count("ulimit", words, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < words->count; i++)
        if (make_limit(profile, i, words->values[i], why) != 0)
            return (int)why->code;
    spec->rlimits = profile->limit_list;
    spec->n_rlimits = words->count;
    return 0;
}

static int make_tmpfs(struct profile *profile,
                      const struct option_strings *words,
                      Kontor__V1__ContainerSpec *spec, struct error *why)
{
    if (check_count("tmpfs", words, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < words->count; i++) {
        const char *text = words->values[i];
        size_t length = strcspn(text, ":");
        Kontor__V1__Tmpfs *tmpfs = &profile->tmpfs[i];

        kontor__v1__tmpfs__init(tmpfs);
        if (text[0] != '/' || length >= PROFILE_PATH_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "--tmpfs: \"%s\" is not like /run or /run:16M",
                             text);
        if (text[length] == ':' &&
            quantity_parse_bytes(text + length + 1, &tmpfs->size_bytes, why) !=
                0)
            return error_wrap(why, "--tmpfs %s", text);
        memcpy(profile->paths[i], text, length);
        tmpfs->path = profile->paths[i];
        profile->tmpfs_list[i] = tmpfs;
    }
    spec->tmpfs = profile->tmpfs_list;
    spec->n_tmpfs = words->count;
    return 0;
}

/* ---- is it well, is it ready? ----------------------------------------------
 */

/* `kind` is what the options' names begin with, in these three. */
static int parse_http(Kontor__V1__HealthCheck *check, const char *kind,
                      const char *text, struct error *why)
{
    size_t length = strcspn(text, "/");
    uint64_t port;

    if (!parse_number(text, length, UINT16_MAX, &port) || port == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--%s-http: \"%s\" is not like 8080/health", kind,
                         text);
    check->http_port = (uint32_t)port;
    check->http_path = message_text(text + length);
    return 0;
}

static int check_ranges(const struct check_options *options, const char *kind,
                        struct error *why)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"tcp", options->tcp},
        {"interval", options->interval_ms},
        {"timeout", options->timeout_ms},
        {"retries", options->retries},
        {"start-period", options->start_ms},
    };

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (numbers[i].value > UINT32_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT, "--%s-%s: too large",
                             kind, numbers[i].name);
    return 0;
}

/* *to stays NULL when nothing is asked for. */
static int make_check(struct profile_check *out, const char *kind,
                      const struct check_options *options,
                      Kontor__V1__HealthCheck **to, struct error *why)
{
    const struct check_options none = {0};
    Kontor__V1__HealthCheck *check = &out->check;

    if (memcmp(options, &none, sizeof none) == 0)
        return 0;
    kontor__v1__health_check__init(check);
    if (check_ranges(options, kind, why) != 0 ||
        (options->http && parse_http(check, kind, options->http, why) != 0))
        return (int)why->code;
    if (options->command) {
        out->command[0] = message_text("sh");
        out->command[1] = message_text("-c");
        out->command[2] = message_text(options->command);
        check->command = out->command;
        check->n_command = ARRAY_LEN(out->command);
    }
    check->tcp_port = (uint32_t)options->tcp;
    check->interval_ms = (uint32_t)options->interval_ms;
    check->timeout_ms = (uint32_t)options->timeout_ms;
    check->retries = (uint32_t)options->retries;
    check->start_period_ms = (uint32_t)options->start_ms;
    *to = check;
    return 0;
}

int profile_make(struct profile *profile, const struct profile_options *options,
                 Kontor__V1__ContainerSpec *spec, struct error *why)
{
    memset(profile, 0, sizeof *profile);
    spec->user = message_text(options->user ? options->user : "");
    spec->read_only = options->read_only;
    spec->cap_add = message_texts(options->cap_add.values);
    spec->n_cap_add = options->cap_add.count;
    spec->cap_drop = message_texts(options->cap_drop.values);
    spec->n_cap_drop = options->cap_drop.count;
    if (make_groups(profile, &options->groups, spec, why) != 0 ||
        make_limits(profile, &options->rlimits, spec, why) != 0)
        return (int)why->code;
    if (make_tmpfs(profile, &options->tmpfs, spec, why) != 0 ||
        make_check(&profile->health, "health", &options->health, &spec->health,
                   why) != 0)
        return (int)why->code;
    return make_check(&profile->ready, "ready", &options->ready, &spec->ready,
                      why);
}
