/* What a dev cluster remembers, and which processes it ends. */
#include "base/fd.h"
#include "base/memory.h"
#include "client/dev.h"
#include "client/dev_process.h"
#include "client/dev_ready.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static char log_path[96];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/kontor-dev-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    return 0;
}

static int teardown(void **state)
{
    struct error why;

    (void)state;
    return folder_remove(AT_FDCWD, folder, &why);
}

static void make(struct dev *dev)
{
    struct error why;

    *dev = (struct dev){.master_count = 1, .node_count = 2};
    assert_int_equal(dev_folder(dev, folder, false, &why), 0);
    strcpy(dev->masters[0].name, "m1");
    strcpy(dev->nodes[0].name, "n1");
    strcpy(dev->nodes[1].name, "n2");
    strcpy(dev->relay.name, "relay");
}

static void what_is_saved_is_loaded(void **state)
{
    struct dev saved;
    struct dev loaded;
    struct error why;

    (void)state;
    make(&saved);
    saved.registry_port = 5000;
    saved.forwarding = true;
    saved.nodes[1].pid = 4711;
    saved.nodes[1].started_ticks = 123456789012;
    make(&loaded);
    assert_int_equal(dev_load(&loaded, &why), ERROR_NOT_FOUND);
    assert_int_equal(dev_save(&saved, &why), 0);
    loaded.master_count = 0;
    assert_int_equal(dev_load(&loaded, &why), 0);
    assert_int_equal(loaded.master_count, 1);
    assert_int_equal(loaded.node_count, 2);
    assert_int_equal(loaded.registry_port, 5000);
    assert_true(loaded.forwarding);
    assert_string_equal(loaded.nodes[1].name, "n2");
    assert_int_equal(loaded.nodes[1].pid, 4711);
    assert_true(loaded.nodes[1].started_ticks == 123456789012);
    assert_int_equal(loaded.masters[0].pid, 0);
}

static void a_damaged_state_is_named(void **state)
{
    CLEANUP(free_pointer) char *path = memory_format("%s/state.json", folder);
    struct dev dev;
    struct error why;

    (void)state;
    make(&dev);
    assert_int_equal(file_replace(AT_FDCWD, path, "{", 1, 0600, &why), 0);
    assert_int_equal(dev_load(&dev, &why), ERROR_DATA_LOSS);
    assert_non_null(strstr(why.message, path));
}

static void two_folders_have_two_cgroups(void **state)
{
    struct dev one = {.folder = "/a"};
    struct dev other = {.folder = "/b"};
    char text[2][DEV_ADDRESS_MAX];

    (void)state;
    assert_string_not_equal(dev_cgroup(text[0], &one),
                            dev_cgroup(text[1], &other));
}

static int start_sleep(struct dev *dev, struct error *why)
{
    static char program[] = "/bin/sleep";
    static char time[] = "60";
    char *argv[] = {program, time, NULL};
    struct dev_command command = {.argv = argv, .log = log_path};

    return dev_start(dev, &dev->masters[0], &command, why);
}

static void a_process_is_recorded_and_ended(void **state)
{
    const struct dev_process *process;
    struct dev dev;
    struct dev loaded;
    struct error why;

    (void)state;
    make(&dev);
    assert_int_equal(start_sleep(&dev, &why), 0);
    make(&loaded);
    assert_int_equal(dev_load(&loaded, &why), 0);
    process = &loaded.masters[0];
    assert_int_equal(process->pid, dev.masters[0].pid);
    assert_true(dev_alive(process));
    assert_int_equal(dev_stop(&process, 1, 5000, &why), 0);
    assert_false(dev_alive(process));
    assert_int_equal(dev_stop(&process, 1, 5000, &why), 0); /* again */
}

static void two_do_not_work_in_one_folder(void **state)
{
    CLEANUP(fd_close) int again = -1;
    struct dev dev;
    struct error why;
    int lock = -1;

    (void)state;
    make(&dev);
    assert_int_equal(dev_lock(&dev, &lock, &why), 0);
    assert_int_equal(dev_lock(&dev, &again, &why), ERROR_ABORTED);
    assert_non_null(strstr(why.message, dev.folder));
    fd_close(&lock);
    assert_int_equal(dev_lock(&dev, &again, &why), 0);
}

/* What was never started counts: `dev up` that was killed halfway. */
static void who_does_not_run_is_found(void **state)
{
    const struct dev_process *process;
    struct dev dev;
    struct error why;

    (void)state;
    make(&dev);
    dev.node_count = 0;
    assert_ptr_equal(dev_find_dead(&dev), &dev.masters[0]);
    assert_int_equal(start_sleep(&dev, &why), 0);
    assert_null(dev_find_dead(&dev));
    dev.node_count = 1;
    assert_ptr_equal(dev_find_dead(&dev), &dev.nodes[0]);
    dev.nodes[0] = dev.masters[0];
    assert_null(dev_find_dead(&dev));
    dev.registry_port = 5000;
    assert_ptr_equal(dev_find_dead(&dev), &dev.relay);
    process = &dev.masters[0];
    assert_int_equal(dev_stop(&process, 1, 5000, &why), 0);
    assert_ptr_equal(dev_find_dead(&dev), &dev.masters[0]);
}

/* A pid that was given to somebody else is nobody of ours. */
static void a_strangers_process_is_left_alone(void **state)
{
    struct dev_process stranger = {.name = "m1"};
    const struct dev_process *process = &stranger;
    struct error why;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        for (;;)
            pause();
    stranger.pid = pid;
    stranger.started_ticks = 1;
    assert_false(dev_alive(&stranger));
    assert_int_equal(dev_stop(&process, 1, 1000, &why), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* still there */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void what_cannot_be_recorded_does_not_run(void **state)
{
    struct dev dev;
    struct error why;
    int status;

    (void)state;
    make(&dev);
    strcpy(dev.folder, "/nonexistent");
    assert_int_not_equal(start_sleep(&dev, &why), 0);
    assert_int_equal(waitpid(dev.masters[0].pid, &status, 0),
                     dev.masters[0].pid);
    assert_int_equal(WEXITSTATUS(status), 127);
}

static void a_stubborn_process_is_killed(void **state)
{
    static char shell[] = "/bin/sh";
    static char option[] = "-c";
    static char script[] = "trap '' TERM; echo up; while :; do sleep 60; done";
    char *argv[] = {shell, option, script, NULL};
    struct dev_command command = {.argv = argv, .log = log_path};
    const struct dev_process *process;
    struct dev dev;
    struct error why;
    char byte;
    int fifo;

    (void)state;
    make(&dev);
    /* Its first word tells that the trap is set. */
    assert_int_equal(mkfifo(log_path, 0600), 0);
    fifo = open(log_path, O_RDWR | O_CLOEXEC);
    assert_int_equal(dev_start(&dev, &dev.masters[0], &command, &why), 0);
    assert_int_equal(read(fifo, &byte, 1), 1);
    close(fifo);
    process = &dev.masters[0];
    assert_int_equal(dev_stop(&process, 1, 50, &why), 0);
    assert_false(dev_alive(process));
    /* The sleep it started is in its session; nothing of it may stay. */
    kill(-process->pid, SIGKILL);
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(what_is_saved_is_loaded),
        IN_A_FOLDER(a_damaged_state_is_named),
        IN_A_FOLDER(two_folders_have_two_cgroups),
        IN_A_FOLDER(a_process_is_recorded_and_ended),
        IN_A_FOLDER(two_do_not_work_in_one_folder),
        IN_A_FOLDER(who_does_not_run_is_found),
        IN_A_FOLDER(a_strangers_process_is_left_alone),
        IN_A_FOLDER(what_cannot_be_recorded_does_not_run),
        IN_A_FOLDER(a_stubborn_process_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
