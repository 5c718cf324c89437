#include "node/supervisor/bundle_file.h"

#include "base/fd.h"
#include "node/cgroup/cgroup.h"
#include "node/supervisor/container_root.h"
#include "node/supervisor/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 64,
    HOSTNAME_MAX_BYTES = 64,   /* the kernel's __NEW_UTS_LEN */
    CGROUP_CHILD_MAX_BYTES = 8 /* "/c7" */
};

/* One name in a folder, as upper/ and the like have them. */
static bool is_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/') &&
           strlen(name) <= NAME_MAX_BYTES;
}

static int check_container(const Kontor__V1__BundleContainer *container,
                           struct error *why)
{
    if (!is_name(container->name))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "container name \"%.80s\": no name for a folder",
                         container->name);
    if (container->n_argv == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "container %s has no program to run", container->name);
    if (container->n_layers == 0 || container->n_layers > CONTAINER_LAYERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "container %s has %zu layers, from 1 to %d can be "
                         "mounted",
                         container->name, container->n_layers,
                         CONTAINER_LAYERS_MAX);
    for (size_t i = 0; i < container->n_layers; i++)
        if (container->layers[i][0] != '/')
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "container %s: layer \"%.80s\" is no absolute "
                             "path",
                             container->name, container->layers[i]);
    for (size_t i = 0; i < container->n_tmpfs; i++)
        if (container->tmpfs[i]->path[0] != '/')
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "container %s: tmpfs \"%.80s\" is no absolute "
                             "path",
                             container->name, container->tmpfs[i]->path);
    if (container->stop_signal >= NSIG)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "container %s: there is no signal %u", container->name,
                         container->stop_signal);
    return 0;
}

static int check(const Kontor__V1__Bundle *bundle, struct error *why)
{
    size_t group = strlen(bundle->cgroup);
    size_t hostname = strlen(bundle->hostname);

    if (group == 0 || group + CGROUP_CHILD_MAX_BYTES > CGROUP_PATH_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "cgroup \"%.80s\": missing or too long",
                         bundle->cgroup);
    if (hostname == 0 || hostname > HOSTNAME_MAX_BYTES ||
        strpbrk(bundle->hostname, " \t\n/"))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "host name \"%.80s\": no host name", bundle->hostname);
    if (bundle->n_containers == 0 ||
        bundle->n_containers > SUPERVISOR_CONTAINERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%zu containers, from 1 to %d can be run",
                         bundle->n_containers, SUPERVISOR_CONTAINERS_MAX);
    if (bundle->first_id % SUPERVISOR_IDS)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "user ids from %u: no multiple of %d",
                         bundle->first_id, SUPERVISOR_IDS);
    for (size_t i = 0; i < bundle->n_containers; i++)
        if (check_container(bundle->containers[i], why) != 0)
            return (int)why->code;
    return 0;
}

int bundle_file_read(Kontor__V1__Bundle **out, struct error *why)
{
    Kontor__V1__Bundle *bundle = NULL;
    struct buffer bytes;

    buffer_init(&bytes, SUPERVISOR_FILE_MAX_BYTES);
    if (file_read(AT_FDCWD, SUPERVISOR_BUNDLE, &bytes, why) == 0) {
        bundle = kontor__v1__bundle__unpack(NULL, buffer_length(&bytes),
                                            buffer_data(&bytes));
        if (!bundle)
            error_set(why, ERROR_DATA_LOSS, "%s is damaged", SUPERVISOR_BUNDLE);
    }
    buffer_fini(&bytes);
    if (!bundle)
        return (int)why->code;
    if (check(bundle, why) != 0) {
        kontor__v1__bundle__free_unpacked(bundle, NULL);
        return error_wrap(why, "%s", SUPERVISOR_BUNDLE);
    }
    *out = bundle;
    return 0;
}
