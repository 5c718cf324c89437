#include "node/image/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DIGEST \
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *text;
    const char *full;
} good[] = {
    {"busybox", "docker.io/library/busybox:latest"},
    {"busybox:1.36", "docker.io/library/busybox:1.36"},
    {"library/busybox", "docker.io/library/busybox:latest"},
    {"index.docker.io/library/busybox", "docker.io/library/busybox:latest"},
    {"docker.io/busybox", "docker.io/library/busybox:latest"},
    {"user/app", "docker.io/user/app:latest"},
    {"quay.io/a/b/c:v1", "quay.io/a/b/c:v1"},
    {"localhost/app", "localhost/app:latest"},
    {"localhost:5000", "docker.io/library/localhost:5000"},
    {"localhost:5000/app", "localhost:5000/app:latest"},
    {"127.0.0.1:5000/app:x", "127.0.0.1:5000/app:x"},
    {"[::1]:5000/app", "[::1]:5000/app:latest"},
    {"registry.local:5000/web:1", "registry.local:5000/web:1"},
    {"HOST/app", "HOST/app:latest"},
    {"a.b/c__d/e-f.g--h", "a.b/c__d/e-f.g--h:latest"},
    {"app@" DIGEST, "docker.io/library/app@" DIGEST},
    {"r.io/app:1@" DIGEST, "r.io/app:1@" DIGEST},
    {"oci:/srv/images:web", "oci:/srv/images:web"},
    {"oci:/srv/images", "oci:/srv/images"},
    {"oci:/srv/a:b/images:web", "oci:/srv/a:b/images:web"},
    {"oci:/srv/a:b/images", "oci:/srv/a:b/images"},
    {"oci-archive:/srv/web.tar", "oci-archive:/srv/web.tar"},
    {"oci-archive:/srv/web.tar:1", "oci-archive:/srv/web.tar:1"},
    {"docker-archive:/srv/web.tar", "docker-archive:/srv/web.tar"},
    {"docker-archive:/srv/web.tar:web",
     "docker-archive:/srv/web.tar:docker.io/library/web:latest"},
    {"docker-archive:/srv/web.tar:r.io:5000/a/web:2",
     "docker-archive:/srv/web.tar:r.io:5000/a/web:2"},
    {"squashfs:/srv/root.img", "squashfs:/srv/root.img"},
    {"erofs:/srv/a:b.img", "erofs:/srv/a:b.img"},
    {"ext4:/srv/root.img", "ext4:/srv/root.img"},
};

static void references_are_read_as_docker_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char full[REFERENCE_TEXT_MAX];
        struct reference reference;
        struct error why = {0};

        if (reference_parse(good[i].text, &reference, &why) != 0)
            fail_msg("%s: %s", good[i].text, why.message);
        reference_format(&reference, full);
        assert_string_equal(full, good[i].full);
    }
}

static const struct {
    const char *text;
    const char *part; /* of the message */
} bad[] = {
    {"", "empty"},
    {"Busybox", "lower-case"},
    {"a//b", "lower-case"},
    {"/a", "lower-case"},
    {"a/", "lower-case"},
    {"a..b", "lower-case"},
    {"a/-b", "lower-case"},
    {"../../etc/passwd", "HOST"},
    {"a/../b", "lower-case"},
    {"host:5000/", "lower-case"},
    {"host:0/a", "HOST"},
    {"host:99999/a", "HOST"},
    {"host:x/a", "HOST"},
    {"-host.io/a", "HOST"},
    {"host-.io/a", "HOST"},
    {"host..io/a", "HOST"},
    {"http://host/a", "HOST"},
    {"a b", "lower-case"},
    {"a:", "tag"},
    {"a:.x", "tag"},
    {"a:b\nc", "tag"},
    {"a:b:c", "lower-case"},
    {"a@sha256:12", "digest"},
    {"a@md5:0123", "digest"},
    {"a@SHA256:"
     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
     "digest"},
    {"oci:", "oci:FOLDER:TAG"},
    {"oci::tag", "oci:FOLDER:TAG"},
    {"oci:/srv:a/b:", "tag"},
    {"oci-archive:", "oci-archive:/FILE"},
    {"oci-archive:web.tar", "oci-archive:/FILE"},
    {"oci-archive:/web.tar:.x", "tag"},
    {"docker-archive:web.tar", "docker-archive:/FILE"},
    {"docker-archive:/web.tar:", "empty"},
    {"docker-archive:/web.tar:Web", "lower-case"},
    {"docker-archive:/web.tar:web@" DIGEST, "digest"},
    {"squashfs:root.img", "squashfs:/FILE"},
    {"ext4:", "ext4:/FILE"},
};

static void what_is_no_reference_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reference reference = {.host = "untouched"};
        struct error why = {0};

        if (reference_parse(bad[i].text, &reference, &why) !=
            ERROR_INVALID_ARGUMENT)
            fail_msg("\"%s\" was taken", bad[i].text);
        if (!strstr(why.message, bad[i].part) ||
            !strstr(why.message, bad[i].text))
            fail_msg("\"%s\": %s", bad[i].text, why.message);
        assert_string_equal(reference.host, "untouched");
    }
}

/* "PREFIXaaa...", with `count` letters; whether it is a reference. */
static bool is_taken(const char *prefix, size_t count)
{
    char text[4096];
    size_t length = strlen(prefix);
    struct reference reference;
    struct error why;

    memcpy(text, prefix, length);
    memset(text + length, 'a', count);
    text[length + count] = '\0';
    return reference_parse(text, &reference, &why) == 0;
}

static void long_names_are_refused(void **state)
{
    (void)state;
    assert_true(is_taken("r.io/", 255));
    assert_false(is_taken("r.io/", 256));
    assert_true(is_taken("r.io/x:", 128));
    assert_false(is_taken("r.io/x:", 129));
    assert_true(is_taken("oci:/", 1022));
    assert_false(is_taken("oci:/", 1023));
    assert_false(is_taken("", 4000));
}

static void loopback_is_told_from_its_imitators(void **state)
{
    static const char *const local[] = {"localhost", "localhost:5000",
                                        "127.0.0.1", "127.255.3.4:80",
                                        "[::1]:5000"};
    static const char *const remote[] = {
        "localhost.example.org",
        "127.0.0.1.example.org",
        "128.0.0.1",
        "127.0.0.256",
        "127.0.0.1x",
        "[::2]:5000",
        "127.0.0",
        "example.org:5000",
        "127.1",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(local); i++)
        assert_true(reference_host_is_loopback(local[i]));
    for (size_t i = 0; i < ARRAY_LEN(remote); i++)
        assert_false(reference_host_is_loopback(remote[i]));
}

static void digests_are_sha256_in_lower_case(void **state)
{
    struct digest digest;
    struct error why;

    (void)state;
    assert_int_equal(digest_parse(DIGEST, &digest, &why), 0);
    assert_string_equal(digest_hex(&digest), DIGEST + 7);
    assert_int_equal(digest_parse(DIGEST "0", &digest, &why),
                     ERROR_INVALID_ARGUMENT);
    digest_of("abc", 3, &digest); /* FIPS 180-2, B.1 */
    assert_string_equal(
        digest.text,
        "sha256:"
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_read_as_docker_reads_them),
        cmocka_unit_test(what_is_no_reference_is_refused_by_name),
        cmocka_unit_test(long_names_are_refused),
        cmocka_unit_test(loopback_is_told_from_its_imitators),
        cmocka_unit_test(digests_are_sha256_in_lower_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
