#include "test/unit/kpod_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct kpod_pod *pod;

void make_probed_pod(const char *script)
{
    char command[512], program[256];

    pod = kpod_pod_new(script);
    program[readlink("/proc/self/exe", program, sizeof program - 1)] = '\0';
    *strrchr(program, '/') = '\0';
    snprintf(command, sizeof command, "cp %s/probe/probe %s/layer/bin/probe",
             program, pod->folder);
    assert_int_equal(system(command), 0);
}

int clean_up(void **state)
{
    (void)state;
    if (pod)
        kpod_pod_free(pod);
    pod = NULL;
    return 0;
}

void assert_says(const char *text)
{
    const char *log = kpod_pod_log(pod, 0);

    if (!strstr(log, text))
        fail_msg("\"%s\" is not in the log:\n%s", text, log);
}
