#include "node/image/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define D(c) "sha256:" c c c c c c c c
#define DA D("aaaaaaaa")
#define DB D("bbbbbbbb")
#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker.distribution."
#define CONFIG(type, size)                                    \
    "\"config\":{\"mediaType\":\"" type "\",\"digest\":\"" DA \
    "\",\"size\":" size "}"
#define LAYER(type, size) \
    "{\"mediaType\":\"" type "\",\"digest\":\"" DB "\",\"size\":" size "}"
#define GOOD_CONFIG CONFIG(OCI "config.v1+json", "10")
#define GOOD_LAYER LAYER(OCI "layer.v1.tar+gzip", "20")
#define LARGE_LAYER LAYER(OCI "layer.v1.tar+gzip", "17179869184")
#define HEAD "{\"schemaVersion\":2,"

static const struct {
    const char *rule;
    const char *type;
    const char *json;
    int code;
    enum manifest_kind kind;
} kinds[] = {
    {"OCI manifest", OCI "manifest.v1+json", "{\"config\":{},\"layers\":[]}", 0,
     MANIFEST_IMAGE},
    {"OCI index", OCI "index.v1+json", "{\"manifests\":[]}", 0, MANIFEST_INDEX},
    {"Docker manifest", DOCKER "manifest.v2+json",
     "{\"config\":{},\"layers\":[]}", 0, MANIFEST_IMAGE},
    {"Docker list", DOCKER "manifest.list.v2+json", "{\"manifests\":[]}", 0,
     MANIFEST_INDEX},
    {"parameters are dropped", OCI "index.v1+json; charset=utf-8",
     "{\"manifests\":[]}", 0, MANIFEST_INDEX},
    {"by its own type", NULL,
     "{\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[]}", 0,
     MANIFEST_INDEX},
    {"by shape", "", "{\"manifests\":[]}", 0, MANIFEST_INDEX},
    {"by shape", "", "{\"config\":{},\"layers\":[]}", 0, MANIFEST_IMAGE},
    {"schema 1 is refused", DOCKER "manifest.v1+prettyjws", "{}",
     ERROR_INVALID_ARGUMENT, 0},
    {"a web page is refused", "text/html", "<html>", ERROR_INVALID_ARGUMENT, 0},
    {"header and body differ", OCI "manifest.v1+json",
     "{\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[]}",
     ERROR_INVALID_ARGUMENT, 0},
    {"both in one (CVE-2021-41190)", OCI "manifest.v1+json",
     "{\"config\":{},\"layers\":[],\"manifests\":[]}", ERROR_INVALID_ARGUMENT,
     0},
    {"a manifest sent as an index", OCI "index.v1+json",
     "{\"config\":{},\"layers\":[]}", ERROR_INVALID_ARGUMENT, 0},
    {"neither", OCI "manifest.v1+json", "{}", ERROR_INVALID_ARGUMENT, 0},
    {"a key twice", OCI "index.v1+json", "{\"manifests\":[],\"manifests\":[1]}",
     ERROR_INVALID_ARGUMENT, 0},
    {"not an object", OCI "index.v1+json", "[]", ERROR_INVALID_ARGUMENT, 0},
};

static void documents_are_what_their_type_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        enum manifest_kind kind = MANIFEST_IMAGE;
        struct error why = {0};
        int code = manifest_kind(kinds[i].type, kinds[i].json,
                                 strlen(kinds[i].json), &kind, &why);

        if (code != kinds[i].code || (!code && kind != kinds[i].kind))
            fail_msg("%s: %d %s", kinds[i].rule, code, why.message);
    }
}

static const struct {
    const char *json;
    int code;
    const char *part; /* of the message */
} manifests[] = {
    {HEAD GOOD_CONFIG ",\"layers\":[" GOOD_LAYER "]}", 0, NULL},
    {HEAD CONFIG(
         "application/vnd.docker.container.image.v1+json",
         "1") ",\"layers\":[" LAYER("application/"
                                    "vnd.docker.image.rootfs.diff.tar.gzip",
                                    "1") "]}",
     0, NULL},
    {"{" GOOD_CONFIG ",\"layers\":[" GOOD_LAYER "]}", ERROR_INVALID_ARGUMENT,
     "schemaVersion"},
    {"{\"schemaVersion\":1," GOOD_CONFIG ",\"layers\":[" GOOD_LAYER "]}",
     ERROR_INVALID_ARGUMENT, "schemaVersion"},
    {HEAD GOOD_CONFIG ",\"layers\":[]}", ERROR_INVALID_ARGUMENT, "0 layers"},
    {HEAD GOOD_CONFIG ",\"layers\":{}}", ERROR_INVALID_ARGUMENT, "layers"},
    {HEAD GOOD_CONFIG ",\"layers\":[7]}", ERROR_INVALID_ARGUMENT, "layer 0"},
    {HEAD GOOD_CONFIG ",\"layers\":[" GOOD_LAYER
                      "," LAYER("application/zip", "1") "]}",
     ERROR_INVALID_ARGUMENT, "layer 1: type \"application/zip\""},
    {HEAD CONFIG("application/vnd.cncf.helm.config.v1+json",
                 "1") ",\"layers\":[" GOOD_LAYER "]}",
     ERROR_INVALID_ARGUMENT, "helm"},
    {HEAD GOOD_CONFIG ",\"layers\":[" LAYER(OCI "layer.v1.tar+gzip", "-1") "]}",
     ERROR_INVALID_ARGUMENT, "layer 0"},
    {HEAD GOOD_CONFIG
     ",\"layers\":[" LAYER(OCI "layer.v1.tar+gzip", "1.5") "]}",
     ERROR_INVALID_ARGUMENT, "layer 0"},
    {HEAD GOOD_CONFIG
     ",\"layers\":[" LAYER(OCI "layer.v1.tar", "17179869185") "]}",
     ERROR_RESOURCE_EXHAUSTED, "limit"},
    {HEAD GOOD_CONFIG ",\"layers\":[" LARGE_LAYER "," LARGE_LAYER
                      "," LARGE_LAYER "," LARGE_LAYER "," GOOD_LAYER "]}",
     ERROR_RESOURCE_EXHAUSTED,
     "layers of 68719476756 bytes are more than the limit"},
    {HEAD CONFIG(OCI "config.v1+json", "4194305") ",\"layers\":[" GOOD_LAYER
                                                  "]}",
     ERROR_RESOURCE_EXHAUSTED, "limit"},
    {HEAD "\"config\":{\"mediaType\":\"" OCI
          "config.v1+json\",\"digest\":\"sha256:..%2f\",\"size\":1},"
          "\"layers\":[" GOOD_LAYER "]}",
     ERROR_INVALID_ARGUMENT, "no digest"},
};

static void manifests_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(manifests); i++) {
        struct manifest manifest = {0};
        struct error why = {0};
        const char *json = manifests[i].json;
        int code = manifest_parse(json, strlen(json), &manifest, &why);

        if (code != manifests[i].code)
            fail_msg("%s: %d %s", json, code, why.message);
        if (code && !strstr(why.message, manifests[i].part))
            fail_msg("%s: %s", json, why.message);
        if (!code)
            assert_string_equal(manifest.layers[0].digest.text, DB);
        manifest_fini(&manifest);
    }
}

static void many_layers_are_refused(void **state)
{
    static char json[(IMAGE_LAYERS_MAX + 2) * sizeof GOOD_LAYER + 1024];
    size_t used;
    struct manifest manifest;
    struct error why;

    (void)state;
    used = (size_t)snprintf(json, sizeof json, "%s",
                            HEAD GOOD_CONFIG ",\"layers\":[" GOOD_LAYER);
    for (int i = 0; i < IMAGE_LAYERS_MAX; i++)
        used += (size_t)snprintf(json + used, sizeof json - used, "%s",
                                 "," GOOD_LAYER);
    snprintf(json + used, sizeof json - used, "]}");
    assert_int_equal(manifest_parse(json, strlen(json), &manifest, &why),
                     ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(why.message, "501 layers"));
}

#define ENTRY(digest, platform, tag)                                  \
    "{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"" digest \
    "\",\"size\":5" platform tag "}"
#define FOR(os, arch) \
    ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define VARIANT(variant)                                                     \
    ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\"" \
    ":\"" variant "\"}"
#define TAGGED(tag) \
    ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" tag "\"}"

static const struct {
    const char *rule;
    const char *json;
    const char *tag; /* NULL: by platform */
    int code;
    const char *digest; /* or part of the message */
} indexes[] = {
    {"by platform",
     "{\"manifests\":[" ENTRY(DA, FOR("linux", "arm64"),
                              "") "," ENTRY(DB, FOR("linux", "amd64"), "") "]}",
     NULL, 0, DB},
    {"another system's",
     "{\"manifests\":[" ENTRY(DA, FOR("windows", "amd64"), "") "]}", NULL,
     ERROR_NOT_FOUND, "no manifest for linux/amd64, there is windows/amd64"},
    {"attestations are passed over",
     "{\"manifests\":[" ENTRY(DA, FOR("unknown", "unknown"),
                              "") "," ENTRY(DB, FOR("linux", "amd64"), "") "]}",
     NULL, 0, DB},
    {"the greatest variant that it can run",
     "{\"manifests\":[" ENTRY(DA, FOR("linux", "amd64"), "") "," ENTRY(
         DB, VARIANT("v2"), "") "," ENTRY(DA, VARIANT("v3"), "") "]}",
     NULL, 0, DB},
    {"the first of two alike",
     "{\"manifests\":[" ENTRY(DB, VARIANT("v1"),
                              "") "," ENTRY(DA, FOR("linux", "amd64"), "") "]}",
     NULL, 0, DB},
    {"only greater ones",
     "{\"manifests\":[" ENTRY(DA, VARIANT("v3"),
                              "") "," ENTRY(DB, VARIANT("vx"), "") "]}",
     NULL, ERROR_NOT_FOUND, "linux/amd64/v3, linux/amd64/vx"},
    {"alone, without platform", "{\"manifests\":[" ENTRY(DA, "", "") "]}", NULL,
     0, DA},
    {"two without platform",
     "{\"manifests\":[" ENTRY(DA, "", "") "," ENTRY(DB, "", "") "]}", NULL,
     ERROR_NOT_FOUND, "none with a platform"},
    {"by tag",
     "{\"manifests\":[" ENTRY(DA, "", TAGGED("x")) "," ENTRY(
         DB, "", TAGGED("web")) "]}",
     "web", 0, DB},
    {"unknown tag", "{\"manifests\":[" ENTRY(DA, "", TAGGED("x")) "]}", "web",
     ERROR_NOT_FOUND, "\"web\""},
    {"the only one", "{\"manifests\":[" ENTRY(DA, "", TAGGED("x")) "]}", "", 0,
     DA},
    {"not the only one",
     "{\"manifests\":[" ENTRY(DA, "", "") "," ENTRY(DB, "", "") "]}", "",
     ERROR_INVALID_ARGUMENT, "2 images"},
    {"empty", "{\"manifests\":[]}", NULL, ERROR_NOT_FOUND, "none"},
    {"no list", "{\"manifests\":7}", NULL, ERROR_INVALID_ARGUMENT, "manifests"},
    {"no descriptor", "{\"manifests\":[{}]}", NULL, ERROR_INVALID_ARGUMENT,
     "mediaType"},
};

static void indexes_are_searched(void **state)
{
    const struct platform platform = {"linux", "amd64", 2};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(indexes); i++) {
        struct descriptor found;
        struct error why = {0};
        int code = index_choose(indexes[i].json, strlen(indexes[i].json),
                                &platform, indexes[i].tag, &found, &why);

        if (code != indexes[i].code)
            fail_msg("%s: %d %s", indexes[i].rule, code, why.message);
        if (code && !strstr(why.message, indexes[i].digest))
            fail_msg("%s: %s", indexes[i].rule, why.message);
        if (!code)
            assert_string_equal(found.digest.text, indexes[i].digest);
    }
}

#define ROOTFS \
    "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DA "\",\"" DB "\"]}"

static void configs_say_how_to_run(void **state)
{
    static const char json[] =
        "{\"os\":\"linux\",\"architecture\":\"amd64\"," ROOTFS
        ",\"config\":{\"Entrypoint\":[\"/app\"],\"Cmd\":[\"-v\",\"\"],"
        "\"Env\":[\"A=1\",\"P\xc3\xa9=2\"],\"WorkingDir\":\"/w\",\"User\":"
        "\"www\",\"StopSignal\":\"SIGINT\",\"Labels\":{\"x\":\"y\"}}}";
    const struct platform platform = {"linux", "amd64", 2};
    struct image_config config;
    struct error why;

    (void)state;
    assert_int_equal(
        image_config_parse(json, strlen(json), &platform, &config, &why), 0);
    assert_int_equal(config.diff_id_count, 2);
    assert_string_equal(config.diff_ids[1].text, DB);
    assert_int_equal(config.image->n_entrypoint, 1);
    assert_string_equal(config.image->entrypoint[0], "/app");
    assert_int_equal(config.image->n_command, 2);
    assert_string_equal(config.image->command[1], "");
    assert_string_equal(config.image->env[1], "P\xc3\xa9=2");
    assert_string_equal(config.image->working_dir, "/w");
    assert_string_equal(config.image->user, "www");
    assert_string_equal(config.image->stop_signal, "SIGINT");
    image_config_fini(&config);
}

/* What an image says beyond that is not taken, whatever it is called
 * (CVE-2022-23648 was volumes, CVE-2026-53488 labels). */
static void configs_say_no_more(void **state)
{
    static const char *const json[] = {
        "{" ROOTFS ",\"config\":{\"User\":\"www\"}}",
        "{" ROOTFS ",\"config\":{\"User\":\"www\",\"Volumes\":{\"/../etc\":{},"
        "\"../..\":{},\"/link\":{}},\"Labels\":{\"user\":\"0\",\"cap_add\":"
        "\"ALL\",\"kontor.io/privileged\":\"true\",\"reference\":\"x\","
        "\"containerd.io/restart.loguri\":\"binary:///bin/"
        "sh\"},\"Healthcheck\":"
        "{\"Test\":[\"CMD\",\"x\"]},\"Layers\":[\"/\"],\"layers\":[\"/\"]},"
        "\"container_config\":{\"User\":\"0\",\"HostConfig\":{\"Privileged\":"
        "true,\"Binds\":[\"/:/link\"]}},\"annotations\":{\"user\":\"0\"}}",
    };
    const struct platform platform = {"linux", "amd64", 2};
    uint8_t packed[2][256];
    size_t lengths[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct image_config config;
        struct error why;

        assert_int_equal(image_config_parse(json[i], strlen(json[i]), &platform,
                                            &config, &why),
                         0);
        lengths[i] = kontor__v1__image__get_packed_size(config.image);
        assert_in_range(lengths[i], 1, sizeof packed[i]);
        kontor__v1__image__pack(config.image, packed[i]);
        image_config_fini(&config);
    }
    assert_int_equal(lengths[0], lengths[1]);
    assert_memory_equal(packed[0], packed[1], lengths[0]);
}

static const struct {
    const char *json;
    int code;
    const char *part;
} configs[] = {
    {"{" ROOTFS "}", 0, NULL},
    {"{" ROOTFS ",\"config\":null}", 0, NULL},
    {"{" ROOTFS ",\"config\":{\"Cmd\":null,\"User\":null}}", 0, NULL},
    {"{" ROOTFS ",\"os\":\"windows\"}", ERROR_FAILED_PRECONDITION, "windows"},
    {"{" ROOTFS ",\"architecture\":\"arm64\"}", ERROR_FAILED_PRECONDITION,
     "arm64"},
    {"{" ROOTFS ",\"config\":{\"Cmd\":\"sh\"}}", ERROR_INVALID_ARGUMENT, "Cmd"},
    {"{" ROOTFS ",\"config\":{\"Env\":[\"A=1\",2]}}", ERROR_INVALID_ARGUMENT,
     "Env"},
    {"{" ROOTFS ",\"config\":{\"User\":0}}", ERROR_INVALID_ARGUMENT, "User"},
    {"{" ROOTFS ",\"config\":{\"User\":\"a\\u0000b\"}}", ERROR_INVALID_ARGUMENT,
     "JSON"},
    {"{" ROOTFS ",\"config\":[]}", ERROR_INVALID_ARGUMENT, "config"},
    {"{}", ERROR_INVALID_ARGUMENT, "rootfs"},
    {"{\"rootfs\":{\"type\":\"foreign\",\"diff_ids\":[]}}",
     ERROR_INVALID_ARGUMENT, "rootfs"},
    {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"../..\"]}}",
     ERROR_INVALID_ARGUMENT, "diff_id 0"},
    {"[]", ERROR_INVALID_ARGUMENT, "object"},
    {"", ERROR_INVALID_ARGUMENT, "JSON"},
};

static void configs_are_checked(void **state)
{
    const struct platform platform = {"linux", "amd64", 2};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        struct image_config config = {0};
        struct error why = {0};
        int code = image_config_parse(configs[i].json, strlen(configs[i].json),
                                      &platform, &config, &why);

        if (code != configs[i].code ||
            (code && !strstr(why.message, configs[i].part)))
            fail_msg("%s: %d %s", configs[i].json, code, why.message);
        image_config_fini(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_what_their_type_says),
        cmocka_unit_test(manifests_are_checked),
        cmocka_unit_test(many_layers_are_refused),
        cmocka_unit_test(indexes_are_searched),
        cmocka_unit_test(configs_say_how_to_run),
        cmocka_unit_test(configs_say_no_more),
        cmocka_unit_test(configs_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
