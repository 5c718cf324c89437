/* Arbitrary bytes as commands to apply, and as a snapshot to load. The first
 * byte chooses. Nothing may crash, and what loads must be savable. */
#include "base/fd.h"
#include "master/cluster.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Commands follow each other, each after its length in two bytes. */
static void apply_all(const uint8_t *bytes, size_t length)
{
    struct cluster *cluster = cluster_new();
    uint64_t index = 0;

    while (length >= 2) {
        struct cluster_result result;
        size_t one = (size_t)(bytes[0] | bytes[1] << 8);

        bytes += 2;
        length -= 2;
        if (one > length)
            one = length;
        cluster_apply(cluster, ++index, bytes, one, &result);
        assert(result.index <= index);
        bytes += one;
        length -= one;
    }
    cluster_free(cluster);
}

static void load(const uint8_t *bytes, size_t length)
{
    CLEANUP(fd_close) int fd = memfd_create("snapshot", MFD_CLOEXEC);
    CLEANUP(fd_close) int again = memfd_create("again", MFD_CLOEXEC);
    struct cluster *cluster = NULL;
    struct error why;

    assert(fd >= 0 && again >= 0);
    assert(fd_write_all(fd, bytes, length, &why) == 0);
    lseek(fd, 0, SEEK_SET);
    if (cluster_load(&cluster, fd, &why) != 0) {
        assert(why.code != 0 && !cluster);
        return;
    }
    assert(cluster_save(cluster, again, &why) == 0);
    cluster_free(cluster);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length == 0)
        return 0;
    if (bytes[0] & 1)
        load(bytes + 1, length - 1);
    else
        apply_all(bytes + 1, length - 1);
    return 0;
}
