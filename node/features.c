#include "node/features.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/cgroup/cgroup.h"
#include "node/disk/disk.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>

/* Some machines forbid user namespaces by this number; a kernel that was built
 * without them has no such file. */
static bool has_user_namespaces(void)
{
    struct buffer text;
    struct error ignored;
    bool some;

    buffer_init(&text, 64);
    some = file_read(AT_FDCWD, "/proc/sys/user/max_user_namespaces", &text,
                     &ignored) == 0 &&
           buffer_length(&text) > 0 && buffer_data(&text)[0] != '0';
    buffer_fini(&text);
    return some;
}

/* cgroup v2 without its io controller has none; a tmpfs or btrfs has no disk.
 */
static bool has_io_limits(const char *data)
{
    const struct cgroup_limits limits = {.io_bytes = 1};
    struct error ignored;
    dev_t device;

    return disk_device(data, &device, &ignored) == 0 &&
           cgroup_check(&limits, &ignored) == 0;
}

static bool found(enum feature feature, const char *data)
{
    switch (feature) {
    case FEATURE_USERNS:
        return has_user_namespaces();
    case FEATURE_HEALTH:
        return true;
    case FEATURE_IO:
        return has_io_limits(data);
    case FEATURE_COUNT:
        break;
    }
    return false;
}

size_t features_found(const char *data, Kontor__V1__Label out[FEATURE_COUNT])
{
    size_t count = 0;

    for (int i = 0; i < FEATURE_COUNT; i++) {
        Kontor__V1__Label *label = &out[count];

        if (!found((enum feature)i, data))
            continue;
        kontor__v1__label__init(label);
        label->key = without_const(feature_label((enum feature)i));
        label->value = without_const(FEATURE_KNOWN);
        count++;
    }
    return count;
}
