#include "client/pki.h"

#include "base/fd.h"
#include "base/memory.h"
#include "client/pki_certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

enum { PEM_MAX_BYTES = 64 << 10, NAME_MAX_LENGTH = 63 };

int pki_check_name(const char *name, struct error *why)
{
    static const char *const taken[] = {"ca", "admin", "viewer", "config"};
    size_t length = strlen(name);

    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        if (strcmp(name, taken[i]) == 0)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "\"%s\" is a name that kctl uses itself", name);
    if (length == 0 || length > NAME_MAX_LENGTH || name[0] == '-' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is no name: 1 to %d of a-z, 0-9 and -", name,
                         NAME_MAX_LENGTH);
    return 0;
}

static char *path_of(const char *folder, const char *name, const char *kind)
{
    return memory_format("%s/%s.%s", folder, name, kind);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static int save(BIO *bio, const char *path, struct error *why)
{
    char *bytes = NULL;
    long length = BIO_get_mem_data(bio, &bytes);

    return file_replace(AT_FDCWD, path, bytes, (size_t)length, 0600, why);
}

static int save_pair(const char *folder, const char *name,
                     const struct pki_pair *pair, struct error *why)
{
    CLEANUP(free_pointer) char *key_path = path_of(folder, name, "key");
    CLEANUP(free_pointer) char *crt_path = path_of(folder, name, "crt");
    BIO *key = BIO_new(BIO_s_secmem());
    BIO *crt = BIO_new(BIO_s_mem());
    int code;

    if (!key || !crt ||
        PEM_write_bio_PKCS8PrivateKey(key, pair->key, NULL, NULL, 0, NULL,
                                      NULL) != 1 ||
        PEM_write_bio_X509(crt, pair->certificate) != 1)
        code = error_set(why, ERROR_INTERNAL, "write %s as PEM", name);
    else if (save(key, key_path, why) != 0 || save(crt, crt_path, why) != 0)
        code = (int)why->code;
    else
        code = 0;
    BIO_free(key);
    BIO_free(crt);
    return code;
}

/* A file's content as a BIO of OpenSSL's. */
static BIO *load(const char *path, struct error *why)
{
    struct buffer bytes;
    BIO *bio = NULL;

    buffer_init(&bytes, PEM_MAX_BYTES);
    if (file_read(AT_FDCWD, path, &bytes, why) == 0) {
        bio = BIO_new(BIO_s_secmem());
        if (!bio ||
            BIO_write(bio, buffer_data(&bytes), (int)buffer_length(&bytes)) < 0)
            abort();
        OPENSSL_cleanse(buffer_data(&bytes), buffer_length(&bytes));
    }
    buffer_fini(&bytes);
    return bio;
}

static X509 *load_certificate(const char *path, struct error *why)
{
    BIO *bio = load(path, why);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    if (bio && !certificate)
        error_set(why, ERROR_DATA_LOSS, "%s holds no certificate", path);
    BIO_free(bio);
    return certificate;
}

static EVP_PKEY *load_key(const char *path, struct error *why)
{
    BIO *bio = load(path, why);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

    if (bio && !key)
        error_set(why, ERROR_DATA_LOSS, "%s holds no key", path);
    BIO_free(bio);
    return key;
}

static int load_ca(struct pki *pki, const char *crt, const char *key,
                   struct error *why)
{
    pki->certificate = load_certificate(crt, why);
    if (!pki->certificate)
        return (int)why->code;
    pki->key = load_key(key, why);
    if (!pki->key)
        return (int)why->code;
    if (X509_check_private_key(pki->certificate, pki->key) != 1)
        return error_set(why, ERROR_DATA_LOSS, "%s is not the key of %s", key,
                         crt);
    return 0;
}

static int make_ca(struct pki *pki, struct error *why)
{
    struct pki_pair pair;

    if (pki_make_ca(&pair, why) != 0)
        return (int)why->code;
    pki->key = pair.key;
    pki->certificate = pair.certificate;
    pki->made = true;
    return save_pair(pki->folder, "ca", &pair, why);
}

int pki_open(struct pki *out, const char *folder, struct error *why)
{
    struct pki pki = {.folder = memory_string(folder)};
    CLEANUP(free_pointer) char *crt = path_of(folder, "ca", "crt");
    CLEANUP(free_pointer) char *key = path_of(folder, "ca", "key");
    int code;

    if (is_there(crt) && !is_there(key))
        code = error_set(why, ERROR_DATA_LOSS,
                         "%s is there but %s is not: no certificate can be "
                         "added to this authority",
                         crt, key);
    else if (is_there(crt))
        code = load_ca(&pki, crt, key, why);
    else if (is_there(key))
        code = error_set(why, ERROR_DATA_LOSS,
                         "%s is there but %s is not: bring it back, or remove "
                         "the key for a new authority",
                         key, crt);
    else if (folder_make(folder, 0700, why) != 0)
        code = (int)why->code;
    else
        code = make_ca(&pki, why);
    if (code != 0)
        pki_close(&pki);
    else
        *out = pki;
    return code;
}

void pki_close(struct pki *pki)
{
    free(pki->folder);
    EVP_PKEY_free(pki->key);
    X509_free(pki->certificate);
    *pki = (struct pki){0};
}

/* The certificate that is there serves for `subject`, too. */
static int check_kept(const char *path, const struct pki_subject *subject,
                      struct error *why)
{
    X509 *certificate = load_certificate(path, why);
    char role[RPC_NAME_MAX] = "";
    int code = 0;

    if (!certificate)
        return (int)why->code;
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                              NID_organizationalUnitName, role, sizeof role);
    if (strcmp(role, rpc_role_name(subject->role)) != 0)
        code = error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s is there and is a %s's, not a %s's", path, role,
                         rpc_role_name(subject->role));
    else if (subject->host && !pki_names_host(certificate, subject->host))
        code = error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s is there and is not for %s; remove it for a new "
                         "one",
                         path, subject->host);
    X509_free(certificate);
    return code;
}

int pki_issue(const struct pki *pki, const struct pki_subject *subject,
              bool *made, struct error *why)
{
    CLEANUP(free_pointer)
    char *path = path_of(pki->folder, subject->name, "crt");
    struct pki_pair pair;
    int code;

    *made = false;
    if (is_there(path))
        return check_kept(path, subject, why);
    if (pki_make_pair(&pair, subject, pki, why) != 0)
        return (int)why->code;
    code = save_pair(pki->folder, subject->name, &pair, why);
    pki_pair_fini(&pair);
    *made = code == 0;
    return code;
}
