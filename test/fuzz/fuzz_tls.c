/* fuzz_tls.c - any bytes as the other side of a handshake.
 *
 * The first byte chooses: 0 a fresh server, 1 a fresh client, 2 a server that
 * has answered a true client's hello, 3 a connection that is set up. */
#include "rpc/tls.h"
#include "test/unit/pki_fixture.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum { WIRE_MAX_BYTES = 1 << 20 };

static struct tls_context *context;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* The files are read once and removed. */
static void set_up(void)
{
    struct pki_fixture pki;
    struct error why;

    if (context)
        return;
    pki_fixture_init(&pki);
    pki_fixture_issue(&pki, "m1", "master");
    if (tls_context_new(&context, pki.folder, "m1", &why) != 0)
        abort();
    pki_fixture_fini(&pki);
}

/* Hand over everything that `from` holds. */
static void carry(struct tls *to, struct buffer *from, struct buffer *out)
{
    struct buffer plain;
    struct error why;

    buffer_init(&plain, WIRE_MAX_BYTES);
    if (tls_receive(to, buffer_data(from), buffer_length(from), &plain, out,
                    &why) != 0)
        abort(); /* both are ours */
    buffer_consume(from, buffer_length(from));
    buffer_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct buffer to_server;
    struct buffer to_client;
    struct buffer plain;
    struct tls *server;
    struct tls *client;
    struct error why;
    uint8_t mode;

    if (length < 1)
        return 0;
    mode = bytes[0] & 3;
    set_up();
    server = tls_new_server(context);
    client = tls_new_client(context, "m1", RPC_ROLE_MASTER);
    buffer_init(&to_server, WIRE_MAX_BYTES);
    buffer_init(&to_client, WIRE_MAX_BYTES);
    buffer_init(&plain, WIRE_MAX_BYTES);
    if (tls_receive(client, NULL, 0, &plain, &to_server, &why) != 0)
        abort();
    if (mode >= 2)
        carry(server, &to_server, &to_client);
    if (mode == 3) {
        carry(client, &to_client, &to_server);
        carry(server, &to_server, &to_client);
        assert(tls_ready(server));
    }
    tls_receive(mode == 1 ? client : server, bytes + 1, length - 1, &plain,
                &to_client, &why);
    assert(mode == 3 || !tls_ready(server));
    assert(buffer_length(&plain) == 0);
    tls_finish(server, &to_client);
    tls_free(server);
    tls_free(client);
    buffer_fini(&to_server);
    buffer_fini(&to_client);
    buffer_fini(&plain);
    return 0;
}
