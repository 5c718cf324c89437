/* What people ask for, as it comes in Schedule. Whatever is taken is complete,
 * is taken again as it is, and is an order that a node can carry out or that it
 * refuses by name; a pod's bundle is never made of half of it. */
#include "master/spec_check.h"
#include "node/pod/bundle.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static size_t pack(const Kontor__V1__PodSpec *spec, uint8_t **out)
{
    size_t size = kontor__v1__pod_spec__get_packed_size(spec);

    *out = malloc(size + 1);
    assert(*out);
    return kontor__v1__pod_spec__pack(spec, *out);
}

/* A spec that was completed lacks nothing more. */
static void check_again(const struct checked_spec *checked)
{
    struct checked_spec again;
    struct error why;
    uint8_t *once, *twice;
    size_t length = pack(&checked->spec, &once);

    assert(spec_check(&checked->spec, &again, &why) == 0);
    assert(pack(&again.spec, &twice) == length);
    assert(memcmp(once, twice, length) == 0);
    free(once);
    free(twice);
}

static void add_containers(Kontor__V1__Bundle *bundle,
                           const Kontor__V1__PodSpec *spec)
{
    char *entrypoint[] = {(char[]){"/bin/sh"}};
    char *env[] = {(char[]){"PATH=/bin"}, (char[]){"A="}};
    char *layers[] = {(char[]){"layers/sha256/0"}};
    Kontor__V1__Image image = KONTOR__V1__IMAGE__INIT;
    struct error why;

    image.layers = layers;
    image.n_layers = 1;
    image.entrypoint = entrypoint;
    image.n_entrypoint = 1;
    image.env = env;
    image.n_env = 2;
    for (size_t i = 0; i < spec->n_containers; i++) {
        const struct bundle_source source = {.spec = spec->containers[i],
                                             .image = &image,
                                             .image_folder = "/images",
                                             .log_limit_bytes = 1 << 20};

        if (bundle_add(bundle, &source, &why) != 0) {
            assert(bundle->n_containers == i);
            return;
        }
        assert(bundle->containers[i]->n_argv > 0);
        assert(bundle->containers[i]->argv[0][0] != '\0');
    }
}

static void order(Kontor__V1__PodSpec *spec)
{
    Kontor__V1__PodOrder message = KONTOR__V1__POD_ORDER__INIT;
    Kontor__V1__Bundle *bundle;
    struct error why;

    message.pod_id = 1;
    message.generation = 1;
    message.name = (char[]){"web-1"};
    message.spec = spec;
    if (bundle_check_order(&message, &why) != 0)
        return;
    bundle = bundle_new(&message);
    add_containers(bundle, spec);
    bundle_place(bundle, "kontor/n1/1", "10.42.1.2", "");
    kontor__v1__bundle__free_unpacked(bundle, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    Kontor__V1__PodSpec *spec =
        kontor__v1__pod_spec__unpack(NULL, length, bytes);
    struct checked_spec checked;
    struct error why;

    if (!spec)
        return 0;
    if (spec_check(spec, &checked, &why) == 0) {
        check_again(&checked);
        order(&checked.spec);
    }
    /* A node trusts no master's check. */
    order(spec);
    kontor__v1__pod_spec__free_unpacked(spec, NULL);
    return 0;
}
