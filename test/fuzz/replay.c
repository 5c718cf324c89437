/* replay.c - `fuzz_X FOLDER`: a fuzzer's corpus, input by input, without the
 * engine that makes new ones. */
#include "base/buffer.h"
#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX_BYTES = 1 << 20 };

__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static bool replay(DIR *folder, const char *name)
{
    struct buffer input;
    struct error why;
    uint8_t *bytes;
    size_t length;

    printf("%s\n", name); /* the last one said is the one that fails */
    fflush(stdout);
    buffer_init(&input, INPUT_MAX_BYTES);
    if (file_read(dirfd(folder), name, &input, &why) != 0) {
        printf("%s\n", why.message);
        return false;
    }
    length = buffer_length(&input);
    bytes = malloc(length + 1); /* so that a sanitizer sees its end */
    if (!bytes)
        abort();
    if (length > 0)
        memcpy(bytes, buffer_data(&input), length);
    LLVMFuzzerTestOneInput(bytes, length);
    free(bytes);
    buffer_fini(&input);
    return true;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    const struct dirent *entry;
    unsigned passed = 0;
    unsigned failed = 0;

    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            if (replay(folder, entry->d_name))
                passed++;
            else
                failed++;
        }
    closedir(folder);
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
