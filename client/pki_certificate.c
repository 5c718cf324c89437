#include "client/pki_certificate.h"

#include "base/memory.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { SERIAL_BYTES = 16, SECONDS_A_DAY = 86400 };

void pki_pair_fini(struct pki_pair *pair)
{
    EVP_PKEY_free(pair->key);
    X509_free(pair->certificate);
    *pair = (struct pki_pair){0};
}

/* RFC 5280 4.1.2.2: positive and at most 20 octets. */
static bool set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number = NULL;
    bool good = false;

    if (RAND_bytes(bytes, sizeof bytes) == 1) {
        bytes[0] &= 0x7f;
        bytes[SERIAL_BYTES - 1] |= 1; /* never 0 */
        number = BN_bin2bn(bytes, sizeof bytes, NULL);
    }
    if (number)
        good = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) !=
               NULL;
    BN_free(number);
    return good;
}

static bool add_text(X509_NAME *name, const char *key, const char *text)
{
    return X509_NAME_add_entry_by_txt(name, key, MBSTRING_UTF8,
                                      (const unsigned char *)text, -1, -1,
                                      0) == 1;
}

static bool set_subject(X509 *certificate, const char *unit, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(certificate);

    return add_text(subject, "O", "kontor") && add_text(subject, "OU", unit) &&
           add_text(subject, "CN", name);
}

static bool set_times(X509 *certificate, long days)
{
    return X509_gmtime_adj(X509_getm_notBefore(certificate),
                           -PKI_BACKDATE_SECONDS) &&
           X509_gmtime_adj(X509_getm_notAfter(certificate),
                           days * SECONDS_A_DAY);
}

/* `value` as openssl's x509v3_config(5) writes it. */
static bool add_extension(X509 *certificate, X509 *issuer, int nid,
                          const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    bool good;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    good = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool is_address(const char *host)
{
    struct in6_addr unused;

    return inet_pton(AF_INET, host, &unused) == 1 ||
           inet_pton(AF_INET6, host, &unused) == 1;
}

/* Commas would start another name; colons belong to IPv6 addresses only. */
static bool is_host(const char *host)
{
    return is_address(host) ||
           (host[0] && strspn(host, "abcdefghijklmnopqrstuvwxyz"
                                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789-._") == strlen(host));
}

bool pki_names_host(X509 *certificate, const char *host)
{
    return is_address(host)
               ? X509_check_ip_asc(certificate, host, 0) == 1
               : X509_check_host(certificate, host, 0, 0, NULL) == 1;
}

static bool add_names(X509 *certificate, X509 *issuer,
                      const struct pki_subject *subject)
{
    CLEANUP(free_pointer)
    char *names = memory_format(
        "DNS:%s,DNS:localhost,IP:127.0.0.1,IP:::1,%s:%s", subject->name,
        is_address(subject->host) ? "IP" : "DNS", subject->host);

    return add_extension(certificate, issuer, NID_subject_alt_name, names);
}

static int failed(struct pki_pair *pair, const char *name, struct error *why)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    ERR_clear_error();
    pki_pair_fini(pair);
    return error_set(why, ERROR_INTERNAL, "make a certificate for %s: %s", name,
                     reason ? reason : "unknown error");
}

/* A key and a certificate that holds it, unsigned. */
static bool begin(struct pki_pair *pair)
{
    ERR_clear_error();
    *pair = (struct pki_pair){
        .key = EVP_EC_gen("P-256"),
        .certificate = X509_new(),
    };
    return pair->key && pair->certificate &&
           X509_set_version(pair->certificate, X509_VERSION_3) == 1 &&
           X509_set_pubkey(pair->certificate, pair->key) == 1 &&
           set_serial(pair->certificate);
}

int pki_make_ca(struct pki_pair *out, struct error *why)
{
    struct pki_pair pair;
    bool good =
        begin(&pair) && set_subject(pair.certificate, "ca", "kontor ca") &&
        set_times(pair.certificate, PKI_CA_DAYS) &&
        X509_set_issuer_name(pair.certificate,
                             X509_get_subject_name(pair.certificate)) == 1 &&
        add_extension(pair.certificate, pair.certificate, NID_basic_constraints,
                      "critical,CA:TRUE,pathlen:0") &&
        add_extension(pair.certificate, pair.certificate, NID_key_usage,
                      "critical,keyCertSign,cRLSign") &&
        add_extension(pair.certificate, pair.certificate,
                      NID_subject_key_identifier, "hash") &&
        X509_sign(pair.certificate, pair.key, EVP_sha256()) > 0;

    if (!good)
        return failed(&pair, "the authority", why);
    *out = pair;
    return 0;
}

/* A certificate that outlives its authority would only mislead. */
static bool cut_end(X509 *certificate, const X509 *issuer)
{
    const ASN1_TIME *last = X509_get0_notAfter(issuer);

    return ASN1_TIME_compare(X509_get0_notAfter(certificate), last) <= 0 ||
           X509_set1_notAfter(certificate, last) == 1;
}

int pki_make_pair(struct pki_pair *out, const struct pki_subject *subject,
                  const struct pki *pki, struct error *why)
{
    X509 *issuer = pki->certificate;
    struct pki_pair pair;
    X509 *certificate;
    bool good;

    if (subject->host && !is_host(subject->host))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is neither an IP address nor a host name",
                         subject->host);
    good = begin(&pair);
    certificate = pair.certificate;
    good =
        good &&
        set_subject(certificate, rpc_role_name(subject->role), subject->name) &&
        set_times(certificate, (long)subject->days) &&
        cut_end(certificate, issuer) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
        add_extension(certificate, issuer, NID_basic_constraints,
                      "critical,CA:FALSE") &&
        add_extension(certificate, issuer, NID_key_usage,
                      "critical,digitalSignature") &&
        add_extension(certificate, issuer, NID_ext_key_usage,
                      subject->host ? "serverAuth,clientAuth" : "clientAuth") &&
        add_extension(certificate, issuer, NID_subject_key_identifier,
                      "hash") &&
        add_extension(certificate, issuer, NID_authority_key_identifier,
                      "keyid:always") &&
        (!subject->host || add_names(certificate, issuer, subject)) &&
        X509_sign(certificate, pki->key, EVP_sha256()) > 0;
    if (!good)
        return failed(&pair, subject->name, why);
    *out = pair;
    return 0;
}
