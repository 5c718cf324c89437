/* fuzz_h2_server.c - any bytes as what a client sends after its preface, in
 * pieces; the first byte says how large they are. */
#include "test/unit/session_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { OUT_MAX_BYTES = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                  "\0\0\0\4\0\0\0\0"; /* empty SETTINGS */
    struct session_fixture server;
    struct buffer out;
    struct error why = {0};
    size_t piece;

    if (length < 1)
        return 0;
    piece = bytes[0] ? bytes[0] : length;
    session_fixture_init_server(&server);
    buffer_init(&out, OUT_MAX_BYTES);
    h2_receive(server.session.h2, (const uint8_t *)preface, sizeof preface,
               &why);
    for (size_t at = 1; at < length && why.code == 0; at += piece) {
        size_t left = length - at;

        h2_receive(server.session.h2, bytes + at, left < piece ? left : piece,
                   &why);
        if (why.code == 0)
            session_fixture_turn(&server, &out, &why);
        buffer_consume(&out, buffer_length(&out));
    }
    buffer_fini(&out);
    session_fixture_fini(&server);
    return 0;
}
