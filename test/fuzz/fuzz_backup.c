/* A backup's reader. The first byte chooses: the bytes are the file, or its
 * header and state, which are then sealed as they should be, as a damaged seal
 * keeps all else from being looked at. Nothing may crash. */
#include "base/fd.h"
#include "client/backup_file.h"
#include "test/unit/backup_made.h"

#include <assert.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static int as_it_is(const uint8_t *bytes, size_t length)
{
    int fd = memfd_create("backup", MFD_CLOEXEC);
    struct error why;

    assert(fd >= 0);
    assert(fd_write_all(fd, bytes, length, &why) == 0);
    return fd;
}

/* The header after its length in one byte. */
static int sealed(const uint8_t *bytes, size_t length)
{
    size_t header = length > 0 ? bytes[0] : 0;

    if (length == 0 || header > length - 1)
        return backup_made("kontor-backup 1\n", bytes, 0, bytes, length);
    return backup_made("kontor-backup 1\n", bytes + 1, header,
                       bytes + 1 + header, length - 1 - header);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct backup_content content;
    struct error why;
    int fd;

    if (length == 0)
        return 0;
    fd = bytes[0] & 1 ? sealed(bytes + 1, length - 1)
                      : as_it_is(bytes + 1, length - 1);
    if (backup_file_read(fd, &content, &why) == 0)
        backup_content_fini(&content);
    else
        assert(why.code != ERROR_OK && why.message[0]);
    fd_close(&fd);
    return 0;
}
