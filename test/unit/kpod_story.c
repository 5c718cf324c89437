#include "test/unit/kpod_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct kpod_pod *pod;

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
