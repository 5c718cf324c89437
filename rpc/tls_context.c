#include "base/memory.h"
#include "rpc/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

/* Long enough for our CA, its intermediates and a peer. */
enum { CHAIN_DEPTH_MAX = 4, DATE_MAX = 40, DN_ORGANISATION_MAX = 64 };

/* 112 bits at least in keys and signatures (SSL_CTX_set_security_level(3)). */
enum { SECURITY_LEVEL = 2 };

/* AES-128 first: as strong as the P-256 keys and cheaper. */
static const char ciphers[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                              "TLS_CHACHA20_POLY1305_SHA256";

static const unsigned char alpn_h2[] = "\x02h2";

struct tls_context {
    SSL_CTX *ssl; /* of servers and clients: each connection says which it is */
    struct rpc_identity identity;
};

/* What OpenSSL says of the oldest error in its queue, which is emptied. */
static const char *openssl_reason(void)
{
    unsigned long first = ERR_peek_error();
    const char *reason = ERR_SYSTEM_ERROR(first)
                             ? strerror(ERR_GET_REASON(first))
                             : ERR_reason_error_string(first);

    ERR_clear_error();
    return reason ? reason : "unknown error";
}

static void date_format(const ASN1_TIME *time, char text[DATE_MAX])
{
    BIO *bio = BIO_new(BIO_s_mem());
    int length = 0;

    if (bio && ASN1_TIME_print(bio, time))
        length = BIO_read(bio, text, DATE_MAX - 1);
    text[length > 0 ? length : 0] = '\0';
    BIO_free(bio);
}

int tls_certificate_in_time(X509 *certificate, const char *name,
                            struct error *why)
{
    const ASN1_TIME *from = X509_get0_notBefore(certificate);
    const ASN1_TIME *until = X509_get0_notAfter(certificate);
    char from_text[DATE_MAX];
    char until_text[DATE_MAX];

    if (X509_cmp_current_time(from) < 0 && X509_cmp_current_time(until) > 0)
        return 0;
    date_format(from, from_text);
    date_format(until, until_text);
    return error_set(why, ERROR_UNAUTHENTICATED,
                     "%s is valid from %s until %s, which now is not", name,
                     from_text, until_text);
}

/* The one entry `nid` of a name. Not there, there twice, too long or with a
 * zero byte inside: false. */
static bool name_entry(const X509_NAME *name, int nid, char *out, size_t size)
{
    int at = X509_NAME_get_index_by_NID(name, nid, -1);
    unsigned char *text = NULL;
    bool good = false;
    int length;

    if (at < 0 || X509_NAME_get_index_by_NID(name, nid, at) >= 0)
        return false;
    length = ASN1_STRING_to_UTF8(
        &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (length > 0 && (size_t)length < size &&
        memchr(text, 0, (size_t)length) == NULL) {
        memcpy(out, text, (size_t)length);
        out[length] = '\0';
        good = true;
    }
    OPENSSL_free(text);
    return good;
}

int tls_certificate_identity(X509 *certificate, struct rpc_identity *identity,
                             struct error *why)
{
    const X509_NAME *name = X509_get_subject_name(certificate);
    char organisation[DN_ORGANISATION_MAX];
    struct rpc_identity found = {0};
    char role[RPC_NAME_MAX];

    if (name_entry(name, NID_organizationName, organisation,
                   sizeof organisation) &&
        strcmp(organisation, "kontor") == 0 &&
        name_entry(name, NID_organizationalUnitName, role, sizeof role) &&
        name_entry(name, NID_commonName, found.name, sizeof found.name))
        found.role = rpc_role_parse(role);
    if (found.role == RPC_ROLE_NONE) {
        char text[256];

        X509_NAME_oneline(name, text, sizeof text);
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "the certificate of %s names no role and name "
                         "(O=kontor, OU=ROLE, CN=NAME)",
                         text);
    }
    *identity = found;
    return 0;
}

/* A server takes the one protocol there is, or ends the handshake. */
static int on_alpn(SSL *ssl, const unsigned char **chosen,
                   unsigned char *chosen_length, const unsigned char *offered,
                   unsigned offered_length, void *data)
{
    (void)ssl;
    (void)data;
    for (unsigned at = 0; at < offered_length; at += offered[at] + 1u) {
        if (offered[at] == 2 && memcmp(offered + at + 1, "h2", 2) == 0) {
            *chosen = offered + at + 1;
            *chosen_length = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int load_files(SSL_CTX *ctx, const char *folder, const char *name,
                      struct error *why)
{
    CLEANUP(free_pointer) char *ca = memory_format("%s/ca.crt", folder);
    CLEANUP(free_pointer) char *crt = memory_format("%s/%s.crt", folder, name);
    CLEANUP(free_pointer) char *key = memory_format("%s/%s.key", folder, name);

    ERR_clear_error();
    if (SSL_CTX_load_verify_file(ctx, ca) != 1)
        return error_set(why, ERROR_UNAUTHENTICATED,
                         "read the CA's certificate %s: %s", ca,
                         openssl_reason());
    if (SSL_CTX_use_certificate_chain_file(ctx, crt) != 1)
        return error_set(why, ERROR_UNAUTHENTICATED,
                         "read the certificate %s: %s", crt, openssl_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH)
            return error_set(why, ERROR_UNAUTHENTICATED,
                             "%s is not the key of %s", key, crt);
        return error_set(why, ERROR_UNAUTHENTICATED, "read the key %s: %s", key,
                         openssl_reason());
    }
    return tls_certificate_in_time(SSL_CTX_get0_certificate(ctx), crt, why);
}

/* What is spoken is said here alone, not in a machine's openssl.cnf, and a
 * program that ends leaves its memory to the kernel: reading the one and
 * tidying the other would be a tenth of what a kctl verb takes. */
static SSL_CTX *new_ssl(void)
{
    SSL_CTX *ctx = NULL;

    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT,
                         NULL) == 1)
        ctx = SSL_CTX_new(TLS_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(ctx, ciphers);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
    SSL_CTX_set_verify_depth(ctx, CHAIN_DEPTH_MAX);
    /* Every connection verifies certificates: no resumption, no early data. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_num_tickets(ctx, 0);
    /* An idle connection keeps no 34 KiB of record buffers. What NAME.crt holds
     * is shown, and not the CA: who knows it would have us verify ourselves in
     * each handshake, take it apart, and keep it. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_alpn_protos(ctx, alpn_h2, sizeof alpn_h2 - 1);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    return ctx;
}

int tls_context_new(struct tls_context **out, const char *folder,
                    const char *name, struct error *why)
{
    struct tls_context *context = memory_new(sizeof *context);

    context->ssl = new_ssl();
    if (!context->ssl) {
        error_set(why, ERROR_INTERNAL, "set TLS up: %s", openssl_reason());
    } else if (load_files(context->ssl, folder, name, why) == 0 &&
               tls_certificate_identity(SSL_CTX_get0_certificate(context->ssl),
                                        &context->identity, why) == 0) {
        *out = context;
        return 0;
    }
    tls_context_free(context);
    return (int)why->code;
}

void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    free(context);
}

const struct rpc_identity *
tls_context_identity(const struct tls_context *context)
{
    return &context->identity;
}

SSL_CTX *tls_context_ssl(const struct tls_context *context)
{
    return context->ssl;
}
