#include "master/cluster_spec.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

void specs_init(struct specs *specs)
{
    map_init(&specs->map);
}

void specs_fini(struct specs *specs)
{
    assert(specs->map.count == 0);
    map_fini(&specs->map);
}

static struct spec *find(const struct specs *specs, uint64_t hash,
                         const uint8_t *bytes, size_t length)
{
    struct map_link *link = map_chain(&specs->map, hash);

    for (; link; link = link->next) {
        struct spec *spec = container_of(link, struct spec, by_bytes);

        if (link->hash == hash && spec->length == length &&
            memcmp(spec->bytes, bytes, length) == 0)
            return spec;
    }
    return NULL;
}

static int check(const Kontor__V1__PodSpec *message, size_t length,
                 struct error *why)
{
    struct resources want = resources_of(message->resources);

    if (length > SPEC_MAX_BYTES)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec has %zu bytes, %d are allowed", length,
                         SPEC_MAX_BYTES);
    if (message->n_containers == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.containers is empty");
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (want.amount[i] > SPEC_AMOUNT_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "spec.resources: more %s than there can be",
                             resource_name((enum resource_kind)i));
    }
    return 0;
}

int specs_intern(struct specs *specs, const Kontor__V1__PodSpec *message,
                 struct spec **out, struct error *why)
{
    size_t length = kontor__v1__pod_spec__get_packed_size(message);
    struct spec *spec;
    uint64_t hash;

    if (check(message, length, why) != 0)
        return why->code;

    spec = memory_new(sizeof *spec + length);
    kontor__v1__pod_spec__pack(message, spec->bytes);
    hash = map_hash_bytes(spec->bytes, length);
    *out = find(specs, hash, spec->bytes, length);
    if (*out) {
        free(spec);
        spec_take(*out);
        return 0;
    }
    spec->message = kontor__v1__pod_spec__unpack(NULL, length, spec->bytes);
    if (!spec->message) {
        free(spec);
        return error_set(why, ERROR_INVALID_ARGUMENT, "spec is not readable");
    }
    spec->references = 1;
    spec->length = (uint32_t)length;
    spec->want = resources_of(spec->message->resources);
    map_insert(&specs->map, &spec->by_bytes, hash);
    *out = spec;
    return 0;
}

struct spec *spec_take(struct spec *spec)
{
    spec->references++;
    return spec;
}

void specs_drop(struct specs *specs, struct spec *spec)
{
    assert(spec->references > 0);
    if (--spec->references > 0)
        return;
    map_remove(&specs->map, &spec->by_bytes);
    kontor__v1__pod_spec__free_unpacked(spec->message, NULL);
    free(spec);
}
