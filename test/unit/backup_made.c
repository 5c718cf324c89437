#include "backup_made.h"

#include "base/envelope.h"
#include "base/fd.h"

#include <assert.h>
#include <sys/mman.h>

static void put(int fd, const void *bytes, size_t length)
{
    struct error why;
    int code = fd_write_all(fd, bytes, length, &why);

    assert(code == 0);
}

int backup_made(const char *kind, const uint8_t *header, size_t header_length,
                const uint8_t *body, size_t body_length)
{
    int fd = memfd_create("backup", MFD_CLOEXEC);
    struct envelope_writer writer;
    uint8_t head[ENVELOPE_HEAD_BYTES];
    uint8_t seal[ENVELOPE_SEAL_BYTES];

    assert(fd >= 0);
    envelope_begin(&writer, kind, header_length, head);
    envelope_add(&writer, header, header_length);
    envelope_add(&writer, body, body_length);
    envelope_end(&writer, seal);
    envelope_fini(&writer);
    put(fd, head, sizeof head);
    put(fd, header, header_length);
    put(fd, body, body_length);
    put(fd, seal, sizeof seal);
    return fd;
}
