/* find.c - where a pod of an earlier life of knode stands, as its folder
 * says.
 *
 *   no order, or one that is none    what is there is to be removed
 *   delete.pb                        the same
 *   kpod.lock is held                it runs: CHECK connects
 *   status.pb says how it ended      CLEAN what a kept pod does not keep
 *   status.pb says anything else     CHECK finds that its supervisor died
 *   no status.pb                     half made: CLEAN, then begin again */
#include "base/memory.h"
#include "node/pod/folder.h"
#include "node/pod/pod.h"
#include "node/pod/status.h"
#include "node/supervisor/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

/* *out is NULL when there is none, or it is none. */
static int read_order(const char *folder, const char *file, uint64_t id,
                      Kontor__V1__PodOrder **out, struct error *why)
{
    *out = (Kontor__V1__PodOrder *)pod_folder_read(
        folder, file, &kontor__v1__pod_order__descriptor, why);
    if (!*out && why->code != ERROR_NOT_FOUND && why->code != ERROR_DATA_LOSS)
        return (int)why->code;
    if (*out)
        (*out)->pod_id = id;
    return 0;
}

static Kontor__V1__PodOrder *no_order(uint64_t id)
{
    Kontor__V1__PodOrder *order = memory_new(sizeof *order);

    kontor__v1__pod_order__init(order);
    order->pod_id = id;
    return order;
}

static void find_status(struct pod *pod)
{
    struct error ignored;
    Kontor__V1__PodStatus *status = (Kontor__V1__PodStatus *)pod_folder_read(
        pod->folder, SUPERVISOR_STATUS, &kontor__v1__pod_status__descriptor,
        &ignored);

    pod->state = POD_STATE_CHECK;
    if (status) {
        status->pod_id = pod->id;
        status->generation = pod->order->generation;
        status_copy(&pod->status, status);
        kontor__v1__pod_status__free_unpacked(status, NULL);
    }
    if (pod_folder_locked(pod->folder))
        return;
    pod->ended = status_ended(&pod->status);
    if (!status || pod->ended)
        pod->state = POD_STATE_CLEAN;
}

/* Address and ids are known to the pod's bundle only; net has the address
 * again later. */
static void find_claims(struct pod *pod)
{
    struct error why;
    Kontor__V1__Bundle *bundle = (Kontor__V1__Bundle *)pod_folder_read(
        pod->folder, SUPERVISOR_BUNDLE, &kontor__v1__bundle__descriptor, &why);

    if (!bundle)
        return;
    if (inet_pton(AF_INET, bundle->address, &pod->address) == 1) {
        pod->has_address = true;
        if (!pod->status.address[0])
            status_set_address(&pod->status, bundle->address);
    }
    if (bundle->first_id) {
        if (id_ranges_adopt(&pod->site->ids, bundle->first_id, &why) == 0)
            pod->first_id = bundle->first_id;
        else
            status_enter(&pod->status, pod->status.phase, "%s", why.message);
    }
    kontor__v1__bundle__free_unpacked(bundle, NULL);
}

int pod_find(struct pod_site *site, uint64_t id, struct pod **out,
             struct error *why)
{
    CLEANUP(free_pointer)
    char *folder =
        memory_format("%s/%llu", site->folder, (unsigned long long)id);
    Kontor__V1__PodOrder *order = NULL;
    Kontor__V1__PodOrder *next = NULL;
    Kontor__V1__PodOrder *delete = NULL;
    struct pod *pod;
    bool orphan;

    if (read_order(folder, POD_FOLDER_ORDER, id, &order, why) != 0 ||
        read_order(folder, POD_FOLDER_NEXT, id, &next, why) != 0 ||
        read_order(folder, POD_FOLDER_DELETE, id, &delete, why) != 0) {
        if (order)
            kontor__v1__pod_order__free_unpacked(order, NULL);
        if (next)
            kontor__v1__pod_order__free_unpacked(next, NULL);
        return (int)why->code;
    }
    orphan = !order;
    pod = pod_new(site, orphan ? no_order(id) : order);
    pod->next = next;
    pod->delete_generation = orphan ? 0 : -1;
    if (delete) {
        pod->delete_generation = delete->generation;
        kontor__v1__pod_order__free_unpacked(delete, NULL);
    }
    pod->running_since_ms = uv_now(site->loop);
    find_status(pod);
    find_claims(pod);
    *out = pod;
    return 0;
}

void pod_adopt_address(struct pod *pod)
{
    struct error why;

    if (!pod->has_address || pod->claimed || pod->state == POD_STATE_KEPT ||
        pod->state == POD_STATE_GONE)
        return;
    if (net_adopt(pod->site->net, pod->id, pod->address, &why) == 0)
        pod->claimed = true;
    else
        status_enter(&pod->status, pod->status.phase, "%s", why.message);
}
