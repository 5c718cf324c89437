/* Certificates and config.json, as files. */
#include "base/fd.h"
#include "base/memory.h"
#include "client/config.h"
#include "client/pki_cluster.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/kontor-pki-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    struct error why;

    (void)state;
    return folder_remove(AT_FDCWD, folder, &why);
}

static char *path_of(const char *name)
{
    return memory_format("%s/%s", folder, name);
}

static X509 *load(const char *name)
{
    CLEANUP(free_pointer) char *path = path_of(name);
    FILE *file = fopen(path, "r");
    X509 *certificate;

    assert_non_null(file);
    certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(certificate);
    return certificate;
}

static int make(const char *master, const char *node, struct error *why)
{
    struct option_strings masters = {0};
    struct option_strings nodes = {0};
    struct pki_cluster cluster = {.folder = folder, .days = 30};

    if (master)
        masters.values[masters.count++] = master;
    if (node)
        nodes.values[nodes.count++] = node;
    if (pki_cluster_read(&cluster, &masters, &nodes, why) != 0)
        return (int)why->code;
    return pki_cluster_make(&cluster, why);
}

static int mode_of(const char *name)
{
    CLEANUP(free_pointer) char *path = path_of(name);
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return (int)(info.st_mode & 07777);
}

static void files_are_private(void **state)
{
    static const char *const names[] = {"ca.crt",     "ca.key",     "m1.crt",
                                        "m1.key",     "admin.crt",  "admin.key",
                                        "viewer.crt", "config.json"};
    struct error why;

    (void)state;
    assert_int_equal(make("m1=127.0.0.1:7400", NULL, &why), 0);
    assert_int_equal(mode_of("."), 0700);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(mode_of(names[i]), 0600);
}

/* Seconds from now to a certificate's time. */
static long seconds_to(const ASN1_TIME *time)
{
    int days;
    int seconds;

    assert_int_equal(ASN1_TIME_diff(&days, &seconds, NULL, time), 1);
    return days * 86400L + seconds;
}

static void a_certificate_is_backdated_and_ends(void **state)
{
    struct error why;
    X509 *certificate;

    (void)state;
    assert_int_equal(make("m1=127.0.0.1:7400", NULL, &why), 0);
    certificate = load("m1.crt");
    assert_in_range(-seconds_to(X509_get0_notBefore(certificate)), 295, 305);
    assert_in_range(seconds_to(X509_get0_notAfter(certificate)),
                    30 * 86400L - 5, 30 * 86400L + 5);
    X509_free(certificate);
}

static void verify(const char *name, int purpose, const char *role)
{
    X509 *ca = load("ca.crt");
    X509 *certificate = load(name);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    char unit[32] = "";

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, certificate, NULL);
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(context, purpose);
    if (X509_verify_cert(context) != 1)
        fail_msg(
            "%s: %s", name,
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                              NID_organizationalUnitName, unit, sizeof unit);
    assert_string_equal(unit, role);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(certificate);
    X509_free(ca);
}

static void certificates_serve_their_purpose(void **state)
{
    struct error why;

    (void)state;
    assert_int_equal(make("m1=127.0.0.1:7400", "n1=host.example:7500", &why),
                     0);
    verify("m1.crt", X509_PURPOSE_SSL_SERVER, "master");
    verify("m1.crt", X509_PURPOSE_SSL_CLIENT, "master");
    verify("n1.crt", X509_PURPOSE_SSL_SERVER, "node");
    verify("n1.crt", X509_PURPOSE_SSL_CLIENT, "node");
    verify("admin.crt", X509_PURPOSE_SSL_CLIENT, "admin");
    verify("viewer.crt", X509_PURPOSE_SSL_CLIENT, "viewer");
}

static void servers_are_named(void **state)
{
    struct error why;
    X509 *certificate;

    (void)state;
    assert_int_equal(make("m1=10.0.0.1:7400", "n1=host.example:7500", &why), 0);
    certificate = load("m1.crt");
    assert_int_equal(X509_check_ip_asc(certificate, "10.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(certificate, "::1", 0), 1);
    assert_int_equal(X509_check_host(certificate, "m1", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(certificate, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(certificate, "m2", 0, 0, NULL), 0);
    X509_free(certificate);
    certificate = load("n1.crt");
    assert_int_equal(X509_check_host(certificate, "host.example", 0, 0, NULL),
                     1);
    X509_free(certificate);
}

static void serials_are_random(void **state)
{
    struct error why;
    X509 *one;
    X509 *other;

    (void)state;
    assert_int_equal(make("m1=127.0.0.1:7400", "n1=127.0.0.1:7500", &why), 0);
    one = load("m1.crt");
    other = load("n1.crt");
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(one),
                                          X509_get0_serialNumber(other)),
                         0);
    assert_in_range(ASN1_STRING_length(X509_get0_serialNumber(one)), 12, 16);
    X509_free(one);
    X509_free(other);
}

static void what_is_there_is_kept(void **state)
{
    struct error why;
    X509 *ca;
    X509 *m1;
    X509 *now;

    (void)state;
    assert_int_equal(make("m1=127.0.0.1:7400", NULL, &why), 0);
    ca = load("ca.crt");
    m1 = load("m1.crt");
    assert_int_equal(make("m1=127.0.0.1:7400", "n9=127.0.0.1:7500", &why), 0);
    now = load("ca.crt");
    assert_int_equal(X509_cmp(ca, now), 0);
    X509_free(now);
    now = load("m1.crt");
    assert_int_equal(X509_cmp(m1, now), 0);
    X509_free(now);
    verify("n9.crt", X509_PURPOSE_SSL_SERVER, "node");
    X509_free(ca);
    X509_free(m1);
    /* A master may not become a node behind its back. */
    assert_int_equal(make(NULL, "m1=127.0.0.1:7500", &why),
                     ERROR_FAILED_PRECONDITION);
}

static void an_authority_without_its_key_is_not_replaced(void **state)
{
    CLEANUP(free_pointer) char *key = NULL;
    struct error why;

    (void)state;
    assert_int_equal(make("m1=127.0.0.1:7400", NULL, &why), 0);
    key = path_of("ca.key");
    assert_int_equal(unlink(key), 0);
    assert_int_equal(make("m2=127.0.0.1:7410", NULL, &why), ERROR_DATA_LOSS);
    assert_non_null(strstr(why.message, "ca.key"));
}

/* Nor does its key fall to a certificate that was moved away. */
static void an_authoritys_key_is_not_replaced(void **state)
{
    CLEANUP(free_pointer) char *crt = path_of("ca.crt");
    CLEANUP(free_pointer) char *key = path_of("ca.key");
    struct buffer before;
    struct buffer after;
    struct error why;

    (void)state;
    buffer_init(&before, 4096);
    buffer_init(&after, 4096);
    assert_int_equal(make("m1=127.0.0.1:7400", NULL, &why), 0);
    assert_int_equal(file_read(AT_FDCWD, key, &before, &why), 0);
    assert_int_equal(unlink(crt), 0);
    assert_int_equal(make("m1=127.0.0.1:7400", NULL, &why), ERROR_DATA_LOSS);
    assert_non_null(strstr(why.message, "ca.crt"));
    assert_int_equal(file_read(AT_FDCWD, key, &after, &why), 0);
    assert_int_equal(buffer_length(&before), buffer_length(&after));
    assert_memory_equal(buffer_data(&before), buffer_data(&after),
                        buffer_length(&before));
    buffer_fini(&before);
    buffer_fini(&after);
}

/* `kctl pki init /tmp` must not shut everybody out of it. */
static void a_folder_that_is_there_keeps_its_mode(void **state)
{
    struct error why;

    (void)state;
    assert_int_equal(chmod(folder, 01777), 0);
    assert_int_equal(make("m1=127.0.0.1:7400", NULL, &why), 0);
    assert_int_equal(mode_of("."), 01777);
    assert_int_equal(mode_of("ca.key"), 0600);
}

/* A server that moved would show a certificate that nobody believes. */
static void a_certificate_for_another_host_is_not_kept(void **state)
{
    struct error why;

    (void)state;
    assert_int_equal(make("m1=10.0.0.1:7400", "n1=host.example:7500", &why), 0);
    assert_int_equal(make("m1=10.0.0.1:7400", "n1=HOST.example:7500", &why), 0);
    assert_int_equal(make("m1=10.0.0.2:7400", NULL, &why),
                     ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "10.0.0.2"));
    assert_int_equal(make(NULL, "n1=other.example:7500", &why),
                     ERROR_FAILED_PRECONDITION);
}

static const struct {
    const char *master, *node, *names;
} refused[] = {
    {NULL, NULL, "--master"},
    {"m1", NULL, "m1"},
    {"m1=127.0.0.1", NULL, "m1=127.0.0.1"},
    {"m1=127.0.0.1:0", NULL, "m1=127.0.0.1:0"},
    {"m1=127.0.0.1:99999", NULL, "99999"},
    {"m1=::1:7400", NULL, "[::1]"},
    {"m1=:7400", NULL, "no host"},
    {"M1=127.0.0.1:7400", NULL, "M1"},
    {"../m1=127.0.0.1:7400", NULL, "../m1"},
    {"ca=127.0.0.1:7400", NULL, "ca"},
    {"admin=127.0.0.1:7400", NULL, "admin"},
    {"m1=a,IP:1.2.3.4:7400", NULL, "IPv6"},
    {"m1=a,b:7400", NULL, "a,b"},
    {"m1=127.0.0.1:7400", "m1=127.0.0.1:7500", "twice"},
};

static void what_is_refused_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct error why;

        assert_int_equal(make(refused[i].master, refused[i].node, &why),
                         ERROR_INVALID_ARGUMENT);
        if (!strstr(why.message, refused[i].names))
            fail_msg("%s: %s", refused[i].names, why.message);
    }
}

static void the_configuration_names_the_masters(void **state)
{
    CLEANUP(free_pointer) char *path = NULL;
    struct config config;
    struct error why;

    (void)state;
    assert_int_equal(make("m1=127.0.0.1:7400", NULL, &why), 0);
    assert_int_equal(make("m2=[::1]:7410", NULL, &why), 0);
    assert_int_equal(make("m1=127.0.0.1:7409", NULL, &why), 0); /* moved */
    path = path_of("config.json");
    assert_int_equal(config_load(&config, path, &why), 0);
    assert_int_equal(config.master_count, 2);
    assert_string_equal(config.masters[0].name, "m1");
    assert_string_equal(config.masters[0].address, "127.0.0.1:7409");
    assert_string_equal(config.masters[1].address, "[::1]:7410");
    assert_string_equal(config.identity, "admin");
    assert_int_equal(strncmp(config.pki, folder, strlen(folder)),
                     0); /* resolved */
    config_fini(&config);
}

static const struct {
    const char *text, *names;
} broken[] = {
    {"", "line"},
    {"{", "line 1"},
    {"[]", "pki"},
    {"{\"pki\": 1}", "pki"},
    {"{\"pki\": \".\"}", "identity"},
    {"{\"pki\": \".\", \"identity\": \"admin\"}", "masters"},
    {"{\"pki\": \".\", \"identity\": \"admin\", \"masters\": []}", "masters"},
    {"{\"pki\": \".\", \"identity\": \"admin\", \"masters\": [{}]}",
     "master 1"},
    {"{\"pki\": \".\", \"identity\": \"admin\", \"masters\": "
     "[{\"name\": \"m1\", \"address\": \"nowhere\"}]}",
     "HOST:PORT"},
};

static void a_broken_configuration_is_named(void **state)
{
    CLEANUP(free_pointer) char *path = path_of("config.json");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct config config = {0};
        struct error why;

        assert_int_equal(file_replace(AT_FDCWD, path, broken[i].text,
                                      strlen(broken[i].text), 0600, &why),
                         0);
        assert_int_equal(config_load(&config, path, &why),
                         ERROR_INVALID_ARGUMENT);
        assert_null(config.path); /* untouched */
        if (!strstr(why.message, path) || !strstr(why.message, broken[i].names))
            fail_msg("%s: %s", broken[i].text, why.message);
    }
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(files_are_private),
        IN_A_FOLDER(a_certificate_is_backdated_and_ends),
        IN_A_FOLDER(certificates_serve_their_purpose),
        IN_A_FOLDER(servers_are_named),
        IN_A_FOLDER(serials_are_random),
        IN_A_FOLDER(what_is_there_is_kept),
        IN_A_FOLDER(an_authority_without_its_key_is_not_replaced),
        IN_A_FOLDER(an_authoritys_key_is_not_replaced),
        IN_A_FOLDER(a_folder_that_is_there_keeps_its_mode),
        IN_A_FOLDER(a_certificate_for_another_host_is_not_kept),
        IN_A_FOLDER(what_is_refused_is_named),
        IN_A_FOLDER(the_configuration_names_the_masters),
        IN_A_FOLDER(a_broken_configuration_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
