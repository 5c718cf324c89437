/* Indexes, manifests and configs. What is taken keeps the limits. */
#include "node/image/manifest.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct platform platform = {"linux", "amd64", 2};
    struct image_config config;
    struct manifest manifest;
    struct descriptor chosen;
    enum manifest_kind kind;
    struct error why;

    if (manifest_kind(NULL, bytes, length, &kind, &why) == 0)
        assert(kind == MANIFEST_IMAGE || kind == MANIFEST_INDEX);
    if (manifest_parse(bytes, length, &manifest, &why) == 0) {
        assert(manifest.layer_count > 0 &&
               manifest.layer_count <= IMAGE_LAYERS_MAX);
        assert(manifest.config.size_bytes <= CONFIG_MAX_BYTES);
        manifest_fini(&manifest);
    }
    if (index_choose(bytes, length, &platform, NULL, &chosen, &why) == 0)
        assert(chosen.size_bytes <= MANIFEST_MAX_BYTES);
    if (index_choose(bytes, length, &platform, "web", &chosen, &why) == 0)
        assert(strlen(chosen.digest.text) == DIGEST_TEXT_MAX - 1);
    if (image_config_parse(bytes, length, &platform, &config, &why) == 0)
        image_config_fini(&config);
    return 0;
}
