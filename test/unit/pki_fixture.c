#include "pki_fixture.h"

#include "base/error.h"
#include "base/fd.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 256, DAY_S = 86400, BACKDATED_S = -300 };

static void demand(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "pki_fixture: %s failed\n", what);
    ERR_print_errors_fp(stderr);
    abort();
}

static void add_name(X509_NAME *name, const char *field, const char *text)
{
    demand(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      (const unsigned char *)text, -1, -1, 0),
           "a name");
}

static void add_extension(X509 *certificate, X509V3_CTX *context, int nid,
                          const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);

    demand(extension && X509_add_ext(certificate, extension, -1), value);
    X509_EXTENSION_free(extension);
}

static FILE *create(const struct pki_fixture *pki, const char *name,
                    const char *suffix)
{
    char path[PATH_BYTES];
    int fd;

    snprintf(path, sizeof path, "%s/%s.%s", pki->folder, name, suffix);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    demand(fd >= 0, path);
    return fdopen(fd, "w");
}

static void write_certificate(const struct pki_fixture *pki, const char *name,
                              X509 *certificate)
{
    FILE *file = create(pki, name, "crt");

    demand(PEM_write_X509(file, certificate), "write a certificate");
    fclose(file);
}

static void write_key(const struct pki_fixture *pki, const char *name,
                      EVP_PKEY *key)
{
    FILE *file = create(pki, name, "key");

    demand(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL),
           "write a key");
    fclose(file);
}

static X509 *new_certificate(struct pki_fixture *pki, EVP_PKEY *key,
                             long from_s, long until_s)
{
    X509 *certificate = X509_new();

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++pki->serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), until_s);
    X509_set_pubkey(certificate, key);
    return certificate;
}

void pki_fixture_init(struct pki_fixture *pki)
{
    X509V3_CTX context;

    *pki = (struct pki_fixture){.folder = "/tmp/kontor-pki-XXXXXX"};
    demand(mkdtemp(pki->folder) != NULL, "create a folder");
    pki->ca_key = EVP_EC_gen("P-256");
    demand(pki->ca_key != NULL, "make a key");
    pki->ca = new_certificate(pki, pki->ca_key, BACKDATED_S, DAY_S);
    add_name(X509_get_subject_name(pki->ca), "O", "kontor");
    add_name(X509_get_subject_name(pki->ca), "CN", "test CA");
    X509_set_issuer_name(pki->ca, X509_get_subject_name(pki->ca));
    X509V3_set_ctx(&context, pki->ca, pki->ca, NULL, NULL, 0);
    add_extension(pki->ca, &context, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(pki->ca, &context, NID_key_usage,
                  "critical,keyCertSign,cRLSign");
    add_extension(pki->ca, &context, NID_subject_key_identifier, "hash");
    demand(X509_sign(pki->ca, pki->ca_key, EVP_sha256()), "sign the CA");
    write_certificate(pki, "ca", pki->ca);
    write_key(pki, "ca", pki->ca_key);
}

void pki_fixture_fini(struct pki_fixture *pki)
{
    struct error why;

    X509_free(pki->ca);
    EVP_PKEY_free(pki->ca_key);
    demand(folder_remove(AT_FDCWD, pki->folder, &why) == 0, pki->folder);
}

void pki_fixture_issue(struct pki_fixture *pki, const char *name,
                       const char *role)
{
    pki_fixture_issue_between(pki, name, role, BACKDATED_S, DAY_S);
}

void pki_fixture_issue_between(struct pki_fixture *pki, const char *name,
                               const char *role, long from_s, long until_s)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = new_certificate(pki, key, from_s, until_s);
    char names[PATH_BYTES];
    X509V3_CTX context;

    add_name(X509_get_subject_name(certificate), "O", "kontor");
    add_name(X509_get_subject_name(certificate), "OU", role);
    add_name(X509_get_subject_name(certificate), "CN", name);
    X509_set_issuer_name(certificate, X509_get_subject_name(pki->ca));
    X509V3_set_ctx(&context, pki->ca, certificate, NULL, NULL, 0);
    snprintf(names, sizeof names, "DNS:%s,DNS:localhost,IP:127.0.0.1,IP:::1",
             name);
    add_extension(certificate, &context, NID_subject_alt_name, names);
    add_extension(certificate, &context, NID_ext_key_usage,
                  "serverAuth,clientAuth");
    add_extension(certificate, &context, NID_key_usage,
                  "critical,digitalSignature");
    demand(X509_sign(certificate, pki->ca_key, EVP_sha256()), "sign");
    write_certificate(pki, name, certificate);
    write_key(pki, name, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
