#include "node/pod/status.h"

#include "base/error.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

static void set(char **field, const char *value)
{
    char *copy = memory_string(value);

    if (*field != (const char *)protobuf_c_empty_string)
        free(*field);
    *field = copy;
}

void status_init(Kontor__V1__PodStatus *status, uint64_t pod_id,
                 uint32_t generation)
{
    kontor__v1__pod_status__init(status);
    status->pod_id = pod_id;
    status->generation = generation;
    status->phase = KONTOR__V1__POD_PHASE__POD_PLACED;
    set(&status->reason, "");
    set(&status->address, "");
}

static void free_containers(Kontor__V1__PodStatus *status)
{
    for (size_t i = 0; i < status->n_containers; i++)
        kontor__v1__container_status__free_unpacked(status->containers[i],
                                                    NULL);
    free(status->containers);
    status->containers = NULL;
    status->n_containers = 0;
}

/* With its strings, which are the only things that it points to. */
static Kontor__V1__ContainerStatus *
copy_container(const Kontor__V1__ContainerStatus *from)
{
    Kontor__V1__ContainerStatus *copy = memory_copy(from, sizeof *from);

    copy->base.n_unknown_fields = 0;
    copy->base.unknown_fields = NULL;
    copy->name = memory_string(from->name);
    copy->reason = memory_string(from->reason);
    return copy;
}

void status_fini(Kontor__V1__PodStatus *status)
{
    free_containers(status);
    free(status->reason);
    free(status->address);
}

void status_copy(Kontor__V1__PodStatus *to, const Kontor__V1__PodStatus *from)
{
    char *reason = memory_string(from->reason);
    char *address = memory_string(from->address);
    Kontor__V1__ContainerStatus **containers =
        memory_array(from->n_containers + 1, sizeof *containers);

    for (size_t i = 0; i < from->n_containers; i++)
        containers[i] = copy_container(from->containers[i]);
    status_fini(to);
    *to = *from;
    to->base.n_unknown_fields = 0;
    to->base.unknown_fields = NULL;
    to->reason = reason;
    to->address = address;
    to->containers = containers;
}

void status_enter(Kontor__V1__PodStatus *status, Kontor__V1__PodPhase phase,
                  const char *format, ...)
{
    char reason[ERROR_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    status->phase = phase;
    status->ready = false;
    set(&status->reason, reason);
}

void status_set_address(Kontor__V1__PodStatus *status, const char *address)
{
    set(&status->address, address);
}

bool status_ended(const Kontor__V1__PodStatus *status)
{
    return status->phase == KONTOR__V1__POD_PHASE__POD_SUCCEEDED ||
           status->phase == KONTOR__V1__POD_PHASE__POD_FAILED;
}
