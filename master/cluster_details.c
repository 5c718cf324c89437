#include "master/cluster_details.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

/* The part of `status` that is kept here. */
static Kontor__V1__PodStatus part_of(const Kontor__V1__PodStatus *status)
{
    Kontor__V1__PodStatus part = KONTOR__V1__POD_STATUS__INIT;

    part.ready = status->ready;
    part.containers = status->containers;
    part.n_containers = status->n_containers;
    if (kontor__v1__pod_status__get_packed_size(&part) > DETAILS_MAX_BYTES)
        kontor__v1__pod_status__init(&part);
    return part;
}

struct details *details_new(const Kontor__V1__PodStatus *status)
{
    Kontor__V1__PodStatus part = part_of(status);
    size_t length = kontor__v1__pod_status__get_packed_size(&part);
    struct details *details;

    if (length == 0)
        return NULL;
    details = memory_new(sizeof *details + length);
    details->references = 1;
    details->length = (uint32_t)length;
    kontor__v1__pod_status__pack(&part, details->bytes);
    details->message =
        kontor__v1__pod_status__unpack(NULL, length, details->bytes);
    assert(details->message);
    return details;
}

struct details *details_take(struct details *details)
{
    if (details)
        details->references++;
    return details;
}

void details_drop(struct details *details)
{
    if (!details || --details->references > 0)
        return;
    kontor__v1__pod_status__free_unpacked(details->message, NULL);
    free(details);
}

bool details_are(const struct details *details,
                 const Kontor__V1__PodStatus *status)
{
    Kontor__V1__PodStatus part = part_of(status);
    size_t length = kontor__v1__pod_status__get_packed_size(&part);
    uint8_t bytes[DETAILS_MAX_BYTES];

    if (!details || length != details->length)
        return !details && length == 0;
    kontor__v1__pod_status__pack(&part, bytes);
    return memcmp(bytes, details->bytes, length) == 0;
}

bool details_replace(struct details **details,
                     const Kontor__V1__PodStatus *status)
{
    if (details_are(*details, status))
        return false;
    details_drop(*details);
    *details = details_new(status);
    return true;
}

void details_tell(const struct details *details, Kontor__V1__PodStatus *status)
{
    if (!details)
        return;
    status->ready = details->message->ready;
    status->containers = details->message->containers;
    status->n_containers = details->message->n_containers;
}
