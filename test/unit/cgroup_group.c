#include "test/unit/cgroup_group.h"

#include "node/cgroup/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AWAIT_MS = 5000 };

char group[64];

void name_group(void)
{
    snprintf(group, sizeof group, "kontor-test-%d", (int)getpid());
}

pid_t run_in_group(const char *path, void (*child)(void))
{
    int told[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(told), 0);
    pid = fork();
    if (pid == 0) {
        struct error why;

        if (cgroup_enter(path, 0, &why) != 0) {
            fprintf(stderr, "%s\n", why.message);
            _exit(99);
        }
        close(told[0]);
        if (write(told[1], "r", 1) != 1)
            _exit(98);
        child();
        _exit(0);
    }
    close(told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    close(told[0]);
    return pid;
}

void kill_group(const char *path)
{
    struct error why;

    for (int ms = 0; ms < AWAIT_MS; ms++) {
        must(cgroup_kill(path, &why));
        if (cgroup_empty(path))
            return;
        usleep(1000);
    }
    fail_msg("%s does not become empty", path);
}

int clean_group(void **state)
{
    struct error why;

    (void)state;
    kill_group(group);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    must(cgroup_remove(group, &why));
    return 0;
}
