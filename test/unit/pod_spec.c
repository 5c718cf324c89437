#include "test/unit/pod_spec.h"

#include "base/fd.h"
#include "client/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

Kontor__V1__PodSpec *pod_spec_of(const char *yaml)
{
    CLEANUP(fd_close) int file = memfd_create("pod.yaml", MFD_CLOEXEC);
    ProtobufCMessage *message = NULL;
    struct error why;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    assert_int_equal(fd_write_all(file, yaml, strlen(yaml), &why), 0);
    if (yaml_read_message(path, &kontor__v1__pod_spec__descriptor, &message,
                          &why) != 0)
        fail_msg("%s: %s", yaml, why.message);
    return (Kontor__V1__PodSpec *)message;
}
