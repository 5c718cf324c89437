/* One TLS connection over two spans of memory.
 *
 * OpenSSL reads from what tls_receive() was given and writes to the caller's
 * `wire` through a BIO of our own, so no byte is copied on its way twice.
 *
 * Invariants: `in` and `wire` are set only inside a function of tls.h;
 * `ready` implies that the peer's certificate was verified against the CA,
 * that its role is known and that both sides speak h2. */
#include "base/memory.h"
#include "rpc/tls_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

/* A record's plaintext (RFC 8446 section 5.1). */
enum { RECORD_MAX_BYTES = 16384 };

/* What OpenSSL is asked to decrypt at once, at least. */
enum { PORTION_MIN_BYTES = 256 };

struct tls {
    SSL *ssl;
    const uint8_t *in; /* borrowed: what is left of tls_receive()'s bytes */
    size_t in_length;
    struct buffer *wire; /* borrowed */
    enum rpc_role role;  /* a client's: what the server must be */
    bool server;
    bool ready;
    struct rpc_identity peer;
    struct error *trouble; /* found while verifying; owned; NULL: nothing */
};

static int bio_read(BIO *bio, char *bytes, size_t length, size_t *read)
{
    struct tls *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (tls->in_length == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    if (length > tls->in_length)
        length = tls->in_length;
    memcpy(bytes, tls->in, length);
    tls->in += length;
    tls->in_length -= length;
    *read = length;
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t length,
                     size_t *written)
{
    struct tls *tls = BIO_get_data(bio);
    struct error why;

    BIO_clear_retry_flags(bio);
    if (!tls->wire || buffer_append(tls->wire, bytes, length, &why) != 0)
        return 0;
    *written = length;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *bio_method;
static CRYPTO_ONCE bio_method_once = CRYPTO_ONCE_STATIC_INIT;

static void bio_method_new(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
                              "spans of memory");
    if (!bio_method)
        abort(); /* out of memory */
    BIO_meth_set_read_ex(bio_method, bio_read);
    BIO_meth_set_write_ex(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_control);
    BIO_meth_set_create(bio_method, bio_create);
}

/* Say which certificate is wrong, while it is at hand. */
static int on_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl =
        X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    int error = X509_STORE_CTX_get_error(store);
    char subject[256] = "the peer";

    if (good || tls->trouble)
        return good;
    tls->trouble = memory_new(sizeof *tls->trouble);
    if (certificate)
        X509_NAME_oneline(X509_get_subject_name(certificate), subject,
                          sizeof subject);
    if (certificate && (error == X509_V_ERR_CERT_HAS_EXPIRED ||
                        error == X509_V_ERR_CERT_NOT_YET_VALID))
        tls_certificate_in_time(certificate, subject, tls->trouble);
    if (tls->trouble->code)
        tls->trouble->code = ERROR_UNAUTHENTICATED;
    else
        error_set(tls->trouble, ERROR_UNAUTHENTICATED, "%s: %s", subject,
                  X509_verify_cert_error_string(error));
    return 0;
}

static struct tls *tls_new(struct tls_context *context, bool server)
{
    struct tls *tls = memory_new(sizeof *tls);
    BIO *bio;

    CRYPTO_THREAD_run_once(&bio_method_once, bio_method_new);
    tls->server = server;
    tls->ssl = SSL_new(tls_context_ssl(context));
    bio = BIO_new(bio_method);
    if (!tls->ssl || !bio)
        abort(); /* out of memory */
    BIO_set_data(bio, tls);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_verify(tls->ssl, SSL_get_verify_mode(tls->ssl), on_verify);
    if (server)
        SSL_set_accept_state(tls->ssl);
    else
        SSL_set_connect_state(tls->ssl);
    return tls;
}

struct tls *tls_new_server(struct tls_context *context)
{
    return tls_new(context, true);
}

struct tls *tls_new_client(struct tls_context *context, const char *host,
                           enum rpc_role role)
{
    struct tls *tls = tls_new(context, false);
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    unsigned char address[sizeof(struct in6_addr)];

    tls->role = role;
    if (inet_pton(AF_INET, host, address) == 1 ||
        inet_pton(AF_INET6, host, address) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(param, host);
    } else {
        X509_VERIFY_PARAM_set_hostflags(param,
                                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        X509_VERIFY_PARAM_set1_host(param, host, 0);
        SSL_set_tlsext_host_name(tls->ssl, without_const(host));
    }
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    free(tls->trouble);
    free(tls);
}

/* Why OpenSSL gave up, as a person would say it. */
static int explain(struct tls *tls, struct error *why)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    const char *text = ERR_reason_error_string(code);

    ERR_clear_error();
    if (tls->trouble) {
        *why = *tls->trouble;
        return (int)why->code;
    }
    if (reason > SSL_AD_REASON_OFFSET)
        return error_set(why, ERROR_UNAUTHENTICATED,
                         "the peer refused the connection: %s",
                         text ? text : "alert");
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNEXPECTED_MESSAGE:
        return error_set(why, ERROR_UNAVAILABLE, "the peer speaks no TLS: %s",
                         text ? text : "unknown record");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return error_set(why, ERROR_UNAUTHENTICATED,
                         "the peer showed no certificate");
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return error_set(why, ERROR_UNAVAILABLE,
                         "the peer does not offer HTTP/2 (ALPN h2)");
    default:
        return error_set(why, ERROR_UNAVAILABLE, "TLS: %s",
                         text ? text : "broken connection");
    }
}

/* The handshake is over: is the peer somebody we talk to? */
static int admit_peer(struct tls *tls, struct error *why)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    const unsigned char *protocol;
    unsigned protocol_length;

    SSL_get0_alpn_selected(tls->ssl, &protocol, &protocol_length);
    if (protocol_length != 2 || memcmp(protocol, "h2", 2) != 0)
        return error_set(why, ERROR_UNAVAILABLE,
                         "the peer does not offer HTTP/2 (ALPN h2)");
    if (!certificate || SSL_get_verify_result(tls->ssl) != X509_V_OK)
        return error_set(why, ERROR_UNAUTHENTICATED,
                         "the peer showed no certificate that is valid");
    if (tls_certificate_identity(certificate, &tls->peer, why) != 0)
        return (int)why->code;
    if (!tls->server && tls->peer.role != tls->role)
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "the server is %s %s and not a %s",
                         rpc_role_name(tls->peer.role), tls->peer.name,
                         rpc_role_name(tls->role));
    tls->ready = true;
    return 0;
}

static int handshake(struct tls *tls, struct error *why)
{
    int result = SSL_do_handshake(tls->ssl);

    if (result == 1)
        return admit_peer(tls, why);
    if (SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ)
        return 0;
    return explain(tls, why);
}

/* How much to ask for: hardly more than there can be, as most records are small
 * and large memory is slow to come by. */
static size_t portion(const struct tls *tls)
{
    size_t most = tls->in_length + (size_t)SSL_pending(tls->ssl);

    if (most < PORTION_MIN_BYTES)
        return PORTION_MIN_BYTES;
    return most < RECORD_MAX_BYTES ? most : RECORD_MAX_BYTES;
}

static int decrypt(struct tls *tls, struct buffer *plain, struct error *why)
{
    for (;;) {
        size_t size = portion(tls);
        uint8_t *room = buffer_reserve(plain, size);
        size_t length;

        if (!room)
            return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                             "decrypted bytes exceed %zu", plain->limit);
        if (SSL_read_ex(tls->ssl, room, size, &length) == 1) {
            buffer_extend(plain, length);
            continue;
        }
        switch (SSL_get_error(tls->ssl, 0)) {
        case SSL_ERROR_WANT_READ:
            return 0;
        case SSL_ERROR_ZERO_RETURN:
            return error_set(why, ERROR_UNAVAILABLE,
                             "the peer closed the connection");
        default:
            return explain(tls, why);
        }
    }
}

int tls_receive(struct tls *tls, const void *bytes, size_t length,
                struct buffer *plain, struct buffer *wire, struct error *why)
{
    int code = 0;

    ERR_clear_error();
    tls->in = bytes;
    tls->in_length = length;
    tls->wire = wire;
    if (!tls->ready)
        code = handshake(tls, why);
    if (code == 0 && tls->ready)
        code = decrypt(tls, plain, why);
    tls->in = NULL;
    tls->in_length = 0;
    tls->wire = NULL;
    return code;
}

int tls_send(struct tls *tls, const void *bytes, size_t length,
             struct buffer *wire, struct error *why)
{
    size_t written;
    int result;

    assert(tls->ready);
    if (length == 0)
        return 0;
    ERR_clear_error();
    tls->wire = wire;
    result = SSL_write_ex(tls->ssl, bytes, length, &written);
    tls->wire = NULL;
    if (result != 1)
        return explain(tls, why);
    assert(written == length);
    return 0;
}

void tls_finish(struct tls *tls, struct buffer *wire)
{
    ERR_clear_error();
    tls->wire = wire;
    if (SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    tls->wire = NULL;
    ERR_clear_error();
}

bool tls_ready(const struct tls *tls)
{
    return tls->ready;
}

const struct rpc_identity *tls_peer(const struct tls *tls)
{
    return &tls->peer;
}
