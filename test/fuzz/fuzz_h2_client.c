/* fuzz_h2_client.c - any bytes as what a server sends to a client with two
 * calls under way. */
#include "test/unit/session_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { OUT_MAX_BYTES = 16 << 20 };

static void begin(struct session_fixture *client, struct rpc_record *record)
{
    struct call *call = call_new(&client->turn, false);
    struct error why;

    call->path = "/test.Echo/Chat";
    call->incoming = &kontor__v1__logs_chunk__descriptor;
    call_listen(call, &rpc_record_events, record);
    client_call_start(call, &client->session);
    if (rpc_fixture_send(call, "hello", 5, &why) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const uint8_t settings[9] = {0, 0, 0, 4};
    struct session_fixture client;
    struct rpc_record records[2] = {0};
    struct buffer out;
    struct error why = {0};

    session_fixture_init_client(&client);
    buffer_init(&out, OUT_MAX_BYTES);
    begin(&client, &records[0]);
    begin(&client, &records[1]);
    h2_receive(client.session.h2, settings, sizeof settings, &why);
    session_fixture_turn(&client, &out, &why);
    h2_receive(client.session.h2, bytes, length, &why);
    if (why.code == 0)
        session_fixture_turn(&client, &out, &why);
    buffer_fini(&out);
    session_fixture_fini(&client);
    for (size_t i = 0; i < 2; i++)
        if (records[i].ended_count != 1)
            abort(); /* exactly once, whatever the server said */
    return 0;
}
