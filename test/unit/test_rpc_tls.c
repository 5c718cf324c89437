/* Mutual TLS over memory: who is let in, and what is said of the others. */
#include "pki_fixture.h"
#include "rpc/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

enum { WIRE_MAX_BYTES = 1 << 20 };

static struct pki_fixture pki;
static struct pki_fixture other_pki;

static struct tls_context *context_of(const struct pki_fixture *from,
                                      const char *name)
{
    struct tls_context *context;
    struct error why;

    if (tls_context_new(&context, from->folder, name, &why) != 0)
        fail_msg("%s", why.message);
    return context;
}

/* One side and what came out of it. */
struct side {
    struct tls *tls;
    struct buffer plain;
    struct buffer wire;
    struct error why;
};

static void side_init(struct side *side, struct tls *tls)
{
    side->tls = tls;
    buffer_init(&side->plain, WIRE_MAX_BYTES);
    buffer_init(&side->wire, WIRE_MAX_BYTES);
    error_clear(&side->why);
}

static void side_fini(struct side *side)
{
    tls_free(side->tls);
    buffer_fini(&side->plain);
    buffer_fini(&side->wire);
}

/* Hand `from`'s bytes to `to` in pieces. */
static bool carry(struct side *from, struct side *to, size_t piece)
{
    bool any = buffer_length(&from->wire) > 0;

    while (buffer_length(&from->wire) > 0 && to->why.code == 0) {
        size_t left = buffer_length(&from->wire);
        size_t length = left < piece ? left : piece;

        tls_receive(to->tls, buffer_data(&from->wire), length, &to->plain,
                    &to->wire, &to->why);
        buffer_consume(&from->wire, length);
    }
    buffer_consume(&from->wire, buffer_length(&from->wire));
    return any;
}

static void talk(struct side *client, struct side *server, size_t piece)
{
    bool going = true;

    while (going) {
        going = carry(client, server, piece);
        going |= carry(server, client, piece);
    }
}

static void begin(struct side *client)
{
    assert_int_equal(tls_receive(client->tls, NULL, 0, &client->plain,
                                 &client->wire, &client->why),
                     0);
}

static void both_know_each_other_in_any_split(void **state)
{
    static const size_t pieces[] = {1, 7, 1000, WIRE_MAX_BYTES};
    struct tls_context *m1 = context_of(&pki, "m1");
    struct tls_context *alice = context_of(&pki, "alice");
    char text[40000];

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct side server;
        struct side client;

        side_init(&server, tls_new_server(m1));
        side_init(&client, tls_new_client(alice, "localhost", RPC_ROLE_MASTER));
        begin(&client);
        talk(&client, &server, pieces[i]);
        assert_true(tls_ready(client.tls) && tls_ready(server.tls));
        assert_string_equal(tls_peer(client.tls)->name, "m1");
        assert_string_equal(tls_peer(server.tls)->name, "alice");
        assert_int_equal(tls_peer(server.tls)->role, RPC_ROLE_ADMIN);
        assert_int_equal(
            tls_send(client.tls, text, sizeof text, &client.wire, &client.why),
            0);
        talk(&client, &server, pieces[i]);
        assert_int_equal(buffer_length(&server.plain), sizeof text);
        assert_memory_equal(buffer_data(&server.plain), text, sizeof text);
        tls_finish(server.tls, &server.wire);
        talk(&client, &server, pieces[i]);
        assert_int_equal(client.why.code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(client.why.message, "closed"));
        side_fini(&server);
        side_fini(&client);
    }
    tls_context_free(m1);
    tls_context_free(alice);
}

static const struct {
    const char *rule;
    const char *server;
    const char *client;
    const char *host;
    enum rpc_role wanted;
    enum error_code client_code; /* 0: let in */
    enum error_code server_code;
    bool client_of_other_ca;
} rows[] = {
    {"by name", "m1", "alice", "m1", RPC_ROLE_MASTER, 0, 0, false},
    {"by IPv4", "m1", "n1", "127.0.0.1", RPC_ROLE_MASTER, 0, 0, false},
    {"by IPv6", "m1", "bob", "::1", RPC_ROLE_MASTER, 0, 0, false},
    {"to a node", "n1", "m1", "n1", RPC_ROLE_NODE, 0, 0, false},
    {"server is no master", "n1", "alice", "localhost", RPC_ROLE_MASTER,
     ERROR_PERMISSION_DENIED, 0, false},
    {"a person is no server", "alice", "m1", "localhost", RPC_ROLE_NODE,
     ERROR_PERMISSION_DENIED, 0, false},
    {"other name", "m1", "alice", "m2", RPC_ROLE_MASTER, ERROR_UNAUTHENTICATED,
     ERROR_UNAUTHENTICATED, false},
    {"other address", "m1", "alice", "127.0.0.2", RPC_ROLE_MASTER,
     ERROR_UNAUTHENTICATED, ERROR_UNAUTHENTICATED, false},
    {"other CA", "m1", "alice", "localhost", RPC_ROLE_MASTER,
     ERROR_UNAUTHENTICATED, ERROR_UNAUTHENTICATED, true},
};

static void certificates_decide(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *m = context_of(&pki, rows[i].server);
        struct tls_context *c = context_of(
            rows[i].client_of_other_ca ? &other_pki : &pki, rows[i].client);
        struct side server;
        struct side client;

        side_init(&server, tls_new_server(m));
        side_init(&client, tls_new_client(c, rows[i].host, rows[i].wanted));
        begin(&client);
        talk(&client, &server, WIRE_MAX_BYTES);
        if (client.why.code != rows[i].client_code ||
            server.why.code != rows[i].server_code)
            fail_msg("%s: client %d (%s), server %d (%s)", rows[i].rule,
                     client.why.code, client.why.message, server.why.code,
                     server.why.message);
        assert_int_equal(tls_ready(client.tls), rows[i].client_code == 0);
        side_fini(&server);
        side_fini(&client);
        tls_context_free(m);
        tls_context_free(c);
    }
}

/* A client that our own code would not be. */
struct stranger {
    const char *rule;
    const char *certificate; /* NULL: none */
    bool no_alpn;
    int version; /* the newest that it speaks */
    const char *complaint;
};

static const struct stranger strangers[] = {
    {"none", NULL, false, TLS1_3_VERSION, "no certificate"},
    {"expired", "old", false, TLS1_3_VERSION, "is valid from"},
    {"not yet valid", "early", false, TLS1_3_VERSION, "is valid from"},
    {"a role that is none", "king", false, TLS1_3_VERSION, "names no role"},
    {"no ALPN", "alice", true, TLS1_3_VERSION, "HTTP/2"},
    {"TLS 1.2", "alice", false, TLS1_2_VERSION, "unsupported protocol"},
};

static SSL_CTX *stranger_context(const struct stranger *stranger)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    char path[128];

    SSL_CTX_set_max_proto_version(ctx, stranger->version);
    if (!stranger->no_alpn)
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3);
    if (stranger->certificate) {
        snprintf(path, sizeof path, "%s/%s.crt", pki.folder,
                 stranger->certificate);
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, path), 1);
        snprintf(path, sizeof path, "%s/%s.key", pki.folder,
                 stranger->certificate);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, path, 1), 1);
    }
    return ctx;
}

/* How many certificates the server showed. */
static int meet(struct side *server, const struct stranger *stranger)
{
    SSL_CTX *ctx = stranger_context(stranger);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    char bytes[8192];
    int length = 1;
    int shown;

    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    while (length > 0 && server->why.code == 0) {
        SSL_do_handshake(ssl);
        length = BIO_read(out, bytes, sizeof bytes);
        if (length > 0)
            tls_receive(server->tls, bytes, (size_t)length, &server->plain,
                        &server->wire, &server->why);
        BIO_write(in, buffer_data(&server->wire),
                  (int)buffer_length(&server->wire));
        buffer_consume(&server->wire, buffer_length(&server->wire));
    }
    shown = sk_X509_num(SSL_get_peer_cert_chain(ssl));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return shown;
}

static void strangers_stay_outside(void **state)
{
    struct tls_context *m1 = context_of(&pki, "m1");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
        struct side server;

        side_init(&server, tls_new_server(m1));
        meet(&server, &strangers[i]);
        assert_false(tls_ready(server.tls));
        if (!strstr(server.why.message, strangers[i].complaint))
            fail_msg("%s: %s", strangers[i].rule, server.why.message);
        side_fini(&server);
    }
    tls_context_free(m1);
}

/* Whoever trusts the CA has its certificate. */
static void the_ca_is_not_shown(void **state)
{
    static const struct stranger friend = {
        .rule = "a friend", .certificate = "alice", .version = TLS1_3_VERSION};
    struct tls_context *m1 = context_of(&pki, "m1");
    struct side server;

    (void)state;
    side_init(&server, tls_new_server(m1));
    assert_int_equal(meet(&server, &friend), 1);
    assert_true(tls_ready(server.tls));
    side_fini(&server);
    tls_context_free(m1);
}

static void what_is_no_tls_is_named(void **state)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: m1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    struct tls_context *m1 = context_of(&pki, "m1");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct side server;

        side_init(&server, tls_new_server(m1));
        tls_receive(server.tls, texts[i], strlen(texts[i]), &server.plain,
                    &server.wire, &server.why);
        assert_non_null(strstr(server.why.message, "speaks no TLS"));
        side_fini(&server);
    }
    tls_context_free(m1);
}

static void bad_files_are_named(void **state)
{
    static const struct {
        const char *name;
        const char *complaint;
    } files[] = {
        {"nobody", "/nobody.crt"},
        {"old", "/old.crt is valid from"},
        {"early", "/early.crt is valid from"},
        {"king", "names no role"},
        {"swapped", "/swapped.key is not the key of"},
    };
    char from[128];
    char to[128];

    (void)state;
    pki_fixture_issue(&pki, "swapped", "admin");
    snprintf(from, sizeof from, "%s/alice.key", pki.folder);
    snprintf(to, sizeof to, "%s/swapped.key", pki.folder);
    assert_int_equal(rename(from, to), 0);
    pki_fixture_issue(&pki, "alice", "admin");
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct tls_context *context = NULL;
        struct error why;

        assert_int_not_equal(
            tls_context_new(&context, pki.folder, files[i].name, &why), 0);
        assert_null(context);
        if (!strstr(why.message, files[i].complaint))
            fail_msg("%s: %s", files[i].name, why.message);
    }
}

/* A machine whose openssl.cnf allows no TLS 1.3: nobody asks it. */
static void set_openssl_conf(void)
{
    char path[] = "/tmp/kontor-cnf-XXXXXX";
    int fd = mkstemp(path);
    struct tls_context *context = NULL;
    struct error why;

    assert_true(fd >= 0);
    dprintf(fd, "openssl_conf = all\n[all]\nssl_conf = ssl\n"
                "[ssl]\nsystem_default = system\n"
                "[system]\nMaxProtocol = TLSv1.2\n");
    close(fd);
    setenv("OPENSSL_CONF", path, 1);
    assert_int_not_equal(tls_context_new(&context, "/", "nobody", &why), 0);
    unlink(path);
}

static int set_up(void **state)
{
    (void)state;
    set_openssl_conf();
    pki_fixture_init(&pki);
    pki_fixture_issue(&pki, "m1", "master");
    pki_fixture_issue(&pki, "n1", "node");
    pki_fixture_issue(&pki, "alice", "admin");
    pki_fixture_issue(&pki, "bob", "viewer");
    pki_fixture_issue(&pki, "king", "king");
    pki_fixture_issue_between(&pki, "old", "admin", -7200, -3600);
    pki_fixture_issue_between(&pki, "early", "admin", 3600, 7200);
    pki_fixture_init(&other_pki);
    pki_fixture_issue(&other_pki, "alice", "admin");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_fixture_fini(&pki);
    pki_fixture_fini(&other_pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_know_each_other_in_any_split),
        cmocka_unit_test(certificates_decide),
        cmocka_unit_test(strangers_stay_outside),
        cmocka_unit_test(the_ca_is_not_shown),
        cmocka_unit_test(what_is_no_tls_is_named),
        cmocka_unit_test(bad_files_are_named),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
