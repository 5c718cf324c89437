/* What a process may still do in the sandboxes. Each probe runs in a child:
 * 0 means that it could, 1 that it was refused; killed is killed. */
#include "base/fd.h"
#include "image_archive.h"
#include "node/image/sandbox.h"
#include "node/image/unpacker.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

enum { KILLED = 100 };

static int root = -1; /* the folder to be in */

static bool probe_read(void)
{
    char byte;

    return read(STDIN_FILENO, &byte, 1) >= 0;
}

static bool probe_memory(void)
{
    void *bytes = malloc(4 << 20);

    free(bytes);
    return bytes != NULL;
}

static bool probe_open(void)
{
    return open("/etc/passwd", O_RDONLY) >= 0;
}

static bool probe_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool probe_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0) != MAP_FAILED;
}

static bool probe_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid > 0;
}

static bool probe_exec(void)
{
    execl("/bin/true", "true", NULL);
    return false;
}

static bool probe_mount(void)
{
    return mount("x", "/", "tmpfs", 0, NULL) == 0;
}

/* Chroot does not hold who keeps a way out; the sandbox has to. */
static bool probe_chroot(void)
{
    return chroot("..") == 0;
}

static bool probe_own_file(void)
{
    int fd = openat(root, "file", O_CREAT | O_EXCL | O_WRONLY, 0600);

    return write(fd, "x", 1) == 1 && fchown(fd, 5, 5) == 0 &&
           fchmod(fd, 04755) == 0 && fsetxattr(fd, "trusted.x", "y", 1, 0) == 0;
}

static bool probe_whiteout(void)
{
    return mknodat(root, "wh", S_IFCHR, makedev(0, 0)) == 0;
}

static bool probe_climb(void)
{
    return openat(root, "../../../etc/passwd", O_RDONLY) >= 0;
}

typedef int enter_cb(struct error *why);

static int enter_folder(struct error *why)
{
    return sandbox_enter_folder(root, why);
}

static int outcome(enter_cb *enter, bool (*probe)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct error why;

        if (enter(&why) != 0)
            _exit(2);
        _exit(probe() ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGSYS);
        return KILLED;
    }
    return WEXITSTATUS(status);
}

static int open_root(void **state)
{
    char *path = temporary_folder();

    root = open(path, O_RDONLY | O_DIRECTORY);
    *state = path;
    return 0;
}

static int close_root(void **state)
{
    close(root);
    temporary_remove(*state);
    free(*state);
    return 0;
}

static void the_filter_may_compute_and_pass_bytes_on(void **state)
{
    (void)state;
    assert_int_equal(outcome(sandbox_enter_filter, probe_read), 0);
    assert_int_equal(outcome(sandbox_enter_filter, probe_memory), 0);
}

static void the_folder_may_be_filled(void **state)
{
    (void)state;
    assert_int_equal(outcome(enter_folder, probe_own_file), 0);
    assert_int_equal(outcome(enter_folder, probe_whiteout), 0);
}

/* The chroot alone, whatever system calls are allowed. */
static void nothing_outside_the_folder_is_seen(void **state)
{
    (void)state;
    assert_int_equal(outcome(enter_folder, probe_open), 1);
    assert_int_equal(outcome(enter_folder, probe_climb), 1);
}

static void all_else_is_the_end(void **state)
{
    bool (*const filter[])(void) = {probe_open,  probe_socket, probe_code,
                                    probe_fork,  probe_exec,   probe_mount,
                                    probe_chroot};
    bool (*const folder[])(void) = {probe_socket, probe_code,  probe_fork,
                                    probe_exec,   probe_mount, probe_chroot};

    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* its run time needs more, so there is no seccomp filter */
#endif
    for (size_t i = 0; i < ARRAY_LEN(filter); i++)
        assert_int_equal(outcome(sandbox_enter_filter, filter[i]), KILLED);
    for (size_t i = 0; i < ARRAY_LEN(folder); i++)
        assert_int_equal(outcome(enter_folder, folder[i]), KILLED);
}

/* ---- what filters are started with ----------------------------------------
 */

static void read_link(char out[256], int pid, const char *name)
{
    char path[64];
    ssize_t length;

    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    length = readlink(path, out, 255);
    out[length > 0 ? length : 0] = '\0';
}

/* Wait until the filter has read one block, and asked for another: it is in
 * its sandbox. */
static void begin_to_inflate(struct unpacker *unpacker)
{
    struct pollfd credit = {.events = POLLIN};
    uint8_t *at;

    assert_true(ring_room(&unpacker->input, &at) > 0);
    at[0] = 0;
    ring_fill(&unpacker->input, 1);
    ring_flush(&unpacker->input);
    credit.fd = ring_wait_fd(&unpacker->input);
    assert_int_equal(poll(&credit, 1, -1), 1);
    assert_true(credit.revents & POLLIN);
}

static void a_filter_has_what_it_was_given_and_no_more(void **state)
{
    CLEANUP(fd_close) int secret = open(*state, O_RDONLY | O_DIRECTORY);
    CLEANUP(nursery_close) struct nursery nursery = NURSERY_NONE;
    CLEANUP(unpacker_fini) struct unpacker unpacker;
    const struct unpack_site site = {&nursery, root};
    char link[256];
    char own[256];
    char name[16];
    struct error why;

    assert_true(secret >= 0);
    signal(SIGPIPE, SIG_IGN);
    unpacker_init(&unpacker);
    assert_int_equal(nursery_open(&nursery, &why), 0);
    assert_int_equal(unpacker_start(&unpacker, &site, "layer", &why), 0);
    begin_to_inflate(&unpacker);
    read_link(link, unpacker.inflate.pid, "fd/0");
    assert_string_equal(link, "/dev/null");
    read_link(link, unpacker.inflate.pid, "fd/1");
    assert_string_equal(link, "/dev/null");
    for (int fd = FILTER_FD_FIRST; fd < 64; fd++) {
        snprintf(name, sizeof name, "fd/%d", fd);
        read_link(link, unpacker.inflate.pid, name);
        assert_string_not_equal(link, *state);
        assert_true(fd < FILTER_FD_OUT + RING_FDS || link[0] == '\0');
    }
    read_link(own, getpid(), "ns/net");
    read_link(link, unpacker.inflate.pid, "ns/net");
    assert_string_not_equal(link, own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_filter_may_compute_and_pass_bytes_on),
        cmocka_unit_test(the_folder_may_be_filled),
        cmocka_unit_test(nothing_outside_the_folder_is_seen),
        cmocka_unit_test(all_else_is_the_end),
        cmocka_unit_test(a_filter_has_what_it_was_given_and_no_more),
    };

    return cmocka_run_group_tests(tests, open_root, close_root);
}
