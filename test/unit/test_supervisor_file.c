/* Pods whose image is a file system in a file: it is there as the lowest layer,
 * and its loop device is gone when the pod is. As root. */
#include "kpod_pod.h"

#include "base/lang.h"
#include "base/memory.h"

#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PHASE(name) KONTOR__V1__POD_PHASE__POD_##name

static struct kpod_pod *pod;

static int teardown(void **state)
{
    (void)state;
    kpod_pod_free(pod);
    pod = NULL;
    return 0;
}

static char *image_path(void)
{
    return memory_format("%s/image", pod->folder);
}

/* The folder that kpod_pod_new() made, as a file system. */
static void make_file_system(const char *format)
{
    CLEANUP(free_pointer) char *image = image_path();
    CLEANUP(free_pointer)
    char *layer = memory_format("%s/layer", pod->folder);
    CLEANUP(free_pointer) char *command = NULL;

    if (strcmp(format, "squashfs") == 0)
        command =
            memory_format("mksquashfs %s %s -quiet -no-progress", layer, image);
    else if (strcmp(format, "erofs") == 0)
        command = memory_format("mkfs.erofs %s %s >/dev/null", image, layer);
    else
        command = memory_format("truncate -s 16M %s && mkfs.ext4 -q -d %s %s",
                                image, layer, image);
    assert_int_equal(system(command), 0);
    kpod_pod_set(&pod->bundle->containers[0]->layers[0], image);
}

/* How many loop devices there are on files of the pod's folder. */
static int loops(void)
{
    int count = 0;
    glob_t found;

    if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char line[256] = "";
        FILE *file = fopen(found.gl_pathv[i], "re");

        if (file && fgets(line, sizeof line, file))
            count += strncmp(line, pod->folder, strlen(pod->folder)) == 0;
        if (file)
            fclose(file);
    }
    globfree(&found);
    return count;
}

static void runs_from(const char *format)
{
    pod = kpod_pod_new("head -n 1 /etc/passwd; echo new >/etc/group && "
                       "cat /etc/group; ls -d /bin/sh");
    make_file_system(format);
    assert_int_equal(kpod_pod_run(pod)->phase, PHASE(SUCCEEDED));
    assert_string_equal(kpod_pod_log(pod, 0),
                        "root:x:0:0:root:/root:/bin/sh\nnew\n/bin/sh\n");
    assert_int_equal(loops(), 0);
}

static void squashfs_is_the_lowest_layer(void **state)
{
    (void)state;
    runs_from("squashfs");
}

static void erofs_is_the_lowest_layer(void **state)
{
    (void)state;
    runs_from("erofs");
}

static void ext4_is_the_lowest_layer(void **state)
{
    (void)state;
    runs_from("ext4");
}

static void killed_pods_leave_no_loop_device(void **state)
{
    (void)state;
    pod = kpod_pod_new("echo up; sleep 1000");
    make_file_system("squashfs");
    kpod_pod_start(pod);
    kpod_pod_await_log(pod, "up");
    assert_int_equal(loops(), 1);
    kill(pod->kpod, SIGKILL);
    assert_int_equal(waitpid(pod->kpod, &pod->exited, 0), pod->kpod);
    pod->kpod = 0;
    /* The kernel takes the namespaces apart on its own time. */
    for (int i = 0; i < 500 && loops() > 0; i++)
        usleep(10000);
    assert_int_equal(loops(), 0);
}

/* A damaged one is refused by the kernel, and what is none by us. */
static void bad_files_are_named(void **state)
{
    static const struct {
        const char *bytes;
        const char *part;
    } bad[] = {{"hsqs nothing else", "mount the squashfs in"},
               {"nothing at all", "no squashfs, erofs or ext4"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(free_pointer) char *image = NULL;
        const Kontor__V1__PodStatus *status;
        FILE *file;

        pod = kpod_pod_new("true");
        image = image_path();
        file = fopen(image, "we");
        fprintf(file, "%s%4096s", bad[i].bytes, "");
        fclose(file);
        kpod_pod_set(&pod->bundle->containers[0]->layers[0], image);
        status = kpod_pod_run(pod);
        assert_int_equal(status->phase, PHASE(FAILED));
        if (!strstr(status->reason, bad[i].part) ||
            !strstr(status->reason, image))
            fail_msg("%s", status->reason);
        assert_int_equal(loops(), 0);
        kpod_pod_free(pod);
        pod = NULL;
    }
    pod = kpod_pod_new("true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(squashfs_is_the_lowest_layer, teardown),
        cmocka_unit_test_teardown(erofs_is_the_lowest_layer, teardown),
        cmocka_unit_test_teardown(ext4_is_the_lowest_layer, teardown),
        cmocka_unit_test_teardown(killed_pods_leave_no_loop_device, teardown),
        cmocka_unit_test_teardown(bad_files_are_named, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
