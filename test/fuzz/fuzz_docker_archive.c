/* manifest.json of an archive of docker's, beside one file and links that lead
 * out. Whatever it says, what is outside of the two folders stays as it was,
 * and only files of the archive come into the layout. */
#include "base/fd.h"
#include "node/image/docker_archive.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static int top = -1;
static int from = -1; /* the unpacked archive */

static void on_exit_remove(void)
{
    char path[64];
    struct error why;

    snprintf(path, sizeof path, "/dev/shm/fuzz-docker-%d", getpid());
    folder_remove(AT_FDCWD, path, &why);
}

static void put(int dir, const char *name, const void *bytes, size_t length)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert(write(fd, bytes, length) == (ssize_t)length);
    close(fd);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[64];

    (void)argc;
    (void)argv;
    snprintf(path, sizeof path, "/dev/shm/fuzz-docker-%d", getpid());
    assert(mkdir(path, 0700) == 0);
    top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put(top, "secret", "secret", 6);
    assert(mkdirat(top, "from", 0700) == 0);
    from = openat(top, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put(from, "a", "content", 7);
    assert(symlinkat("../secret", from, "s") == 0);
    assert(symlinkat("..", from, "d") == 0);
    atexit(on_exit_remove);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char *const names[] = {"docker-archive:/x",
                                        "docker-archive:/x:a:1"};
    struct reference reference;
    struct stat info;
    struct error why;
    int to;

    put(from, "manifest.json", bytes, length);
    for (int i = 0; i < 2; i++) {
        assert(reference_parse(names[i], &reference, &why) == 0);
        assert(mkdirat(top, "to", 0700) == 0);
        to = openat(top, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        docker_archive_convert(&reference, from, to, &why);
        close(to);
        assert(folder_remove(top, "to", &why) == 0);
    }
    assert(fstatat(top, "secret", &info, 0) == 0 && info.st_nlink == 1 &&
           info.st_size == 6);
    return 0;
}
