/* probe.c - run in a container by test_escape.c: what a hostile program
 * would try, and what the kernel says to it.
 *
 *   probe call NUMBER [ARGUMENT...]   a system call of this machine's ABI
 *   probe i386 NUMBER [ARGUMENT]      one by int 0x80
 *   probe x32 NUMBER                  one with the x32 bit
 *   probe memory MIB                  take so much
 *   probe forks COUNT                 so many children that sleep
 *   probe fds                         descriptors beyond the standard ones
 *   probe open PATH                   for reading
 *   probe overwrite PATH              for writing, of what is open by then
 *
 * Prints one line: "ok" or the errno's name, or what was found. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 6, X32_BIT = 0x40000000 };

static long number(const char *text)
{
    return (long)strtoull(text, NULL, 0);
}

static void say(long result)
{
    printf("%s\n", result >= 0 ? "ok" : strerrorname_np(errno));
    fflush(stdout);
}

static void call(int argc, char **argv, long bit)
{
    long a[ARGUMENTS_MAX] = {0};

    for (int i = 0; i < ARGUMENTS_MAX && i + 3 < argc; i++)
        a[i] = number(argv[i + 3]);
    say(syscall(number(argv[2]) | bit, a[0], a[1], a[2], a[3], a[4], a[5]));
}

static void call_i386(int argc, char **argv)
{
    long result = number(argv[2]);
    long argument = argc > 3 ? number(argv[3]) : 0;

    __asm__ volatile("int $0x80"
                     : "+a"(result)
                     : "b"(argument), "c"(0L), "d"(0L)
                     : "memory", "r8", "r9", "r10", "r11");
    errno = (int)-result;
    say((int)result < 0 ? -1 : 0);
}

static void take_memory(char **argv)
{
    size_t length = (size_t)number(argv[2]) << 20;
    char *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (bytes != MAP_FAILED)
        memset(bytes, 1, length);
    say(bytes == MAP_FAILED ? -1 : 0);
}

static void fork_many(char **argv)
{
    long count = 0;

    for (; count < number(argv[2]); count++) {
        pid_t pid = fork();

        if (pid == 0) {
            pause();
            _exit(0);
        }
        if (pid < 0)
            break;
    }
    printf("forked %ld %s\n", count,
           count < number(argv[2]) ? strerrorname_np(errno) : "");
}

static void list_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;

    while (folder && (entry = readdir(folder)))
        count += atoi(entry->d_name) > STDERR_FILENO &&
                 atoi(entry->d_name) != dirfd(folder);
    printf("descriptors %d\n", count);
}

/* Through the descriptor: what PATH names may be gone or busy. */
static void overwrite(const char *path)
{
    int fd = open(path, O_RDONLY);
    char own[64];

    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    say(fd < 0 ? -1 : open(own, O_WRONLY | O_TRUNC));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "fds") == 0)
        list_descriptors();
    else if (argc < 3)
        return 2;
    else if (strcmp(what, "call") == 0)
        call(argc, argv, 0);
    else if (strcmp(what, "x32") == 0)
        call(argc, argv, X32_BIT);
    else if (strcmp(what, "i386") == 0)
        call_i386(argc, argv);
    else if (strcmp(what, "open") == 0)
        say(open(argv[2], O_RDONLY | O_NONBLOCK));
    else if (strcmp(what, "overwrite") == 0)
        overwrite(argv[2]);
    else if (strcmp(what, "memory") == 0)
        take_memory(argv);
    else if (strcmp(what, "forks") == 0)
        fork_many(argv);
    else
        return 2;
    return 0;
}
