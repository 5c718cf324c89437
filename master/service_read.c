/* What is there: GetPod, ListPods, GetNode, ListNodes. */
#include "master/service.h"

#include "base/memory.h"
#include "master/cluster_view.h"
#include "master/reasons.h"

/* Of the pods in one answer; leaves room below CALL_MESSAGE_MAX_BYTES. */
enum { PAGE_BYTES_MAX = 3 << 20, PAGE_PODS_MAX = 2000 };

static struct reasons reasons_now(const struct master *master)
{
    return (struct reasons){.view = master->placer.view,
                            .nodes = master->cluster->nodes.count};
}

/* One that is pending says why as things stand now; or, where there is no time
 * to find it out, as they stood when it began to be. */
static void view_pod(const struct master *master, const struct pod *pod,
                     struct pod_view *view, struct reasons *reasons)
{
    const char *reason = NULL;

    pod_view_fill(view, master->cluster, pod);
    if (pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING)
        reason = reasons_find(reasons, pod->facts.spec);
    if (reason)
        view->status.reason = without_const(reason);
}

static void get_pod(struct master *master, struct call *call,
                    const ProtobufCMessage *message)
{
    const Kontor__V1__GetPodRequest *request =
        (const Kontor__V1__GetPodRequest *)message;
    Kontor__V1__GetPodResponse response = KONTOR__V1__GET_POD_RESPONSE__INIT;
    struct reasons reasons = reasons_now(master);
    struct pod_view view;
    struct pod *pod;
    struct error why;

    if (cluster_find_pod(master->cluster, request->pod, &pod, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    view_pod(master, pod, &view, &reasons);
    response.pod = &view.pod;
    service_reply(call, &response.base);
    reasons_fini(&reasons);
}

void service_get_pod(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, get_pod);
}

/* ---- lists ---- */

/* A growing array of views and the pointers that a message wants. Views do
 * not move: they are allocated one by one. */
struct page {
    Kontor__V1__Pod **pods;
    size_t count;
    size_t capacity;
    size_t bytes;
    struct reasons reasons;
};

static void page_add(struct page *page, const struct master *master,
                     const struct pod *pod)
{
    struct pod_view *view = memory_new(sizeof *view);

    view_pod(master, pod, view, &page->reasons);
    if (page->count == page->capacity) {
        page->capacity = page->capacity ? page->capacity * 2 : 64;
        page->pods = memory_resize(page->pods,
                                   page->capacity * sizeof(Kontor__V1__Pod *));
    }
    page->pods[page->count++] = &view->pod;
    page->bytes += kontor__v1__pod__get_packed_size(&view->pod) + 8;
}

static void page_fini(struct page *page)
{
    for (size_t i = 0; i < page->count; i++)
        free(container_of(page->pods[i], struct pod_view, pod));
    free(page->pods);
    reasons_fini(&page->reasons);
}

static void list_pods(struct master *master, struct call *call,
                      const ProtobufCMessage *message)
{
    const Kontor__V1__ListPodsRequest *request =
        (const Kontor__V1__ListPodsRequest *)message;
    Kontor__V1__ListPodsResponse response =
        KONTOR__V1__LIST_PODS_RESPONSE__INIT;
    struct pods *pods = &master->cluster->pods;
    struct page page = {.reasons = reasons_now(master)};
    size_t size = request->page_size;
    const struct pod *pod;

    if (size == 0 || size > PAGE_PODS_MAX)
        size = PAGE_PODS_MAX;
    for (pod = pods_after(pods, request->page_token);
         pod && page.count < size && page.bytes < PAGE_BYTES_MAX;
         pod = pods_after(pods, pod->facts.id)) {
        if (request->all || !pod_ended(pod))
            page_add(&page, master, pod);
    }
    response.index = master->cluster->index;
    response.pods = page.pods;
    response.n_pods = page.count;
    if (pod && page.count > 0)
        response.next_page_token = page.pods[page.count - 1]->id;
    service_reply(call, &response.base);
    page_fini(&page);
}

void service_list_pods(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, list_pods);
}

static void get_node(struct master *master, struct call *call,
                     const ProtobufCMessage *message)
{
    const Kontor__V1__GetNodeRequest *request =
        (const Kontor__V1__GetNodeRequest *)message;
    Kontor__V1__GetNodeResponse response = KONTOR__V1__GET_NODE_RESPONSE__INIT;
    const struct node *node = service_find_node(master, call, request->node);
    struct page page = {.reasons = reasons_now(master)};
    struct node_view view;

    if (!node)
        return;
    list_for_each(item, next, &node->pods)
        page_add(&page, master, container_of(item, struct pod, queue));
    node_view_fill(&view, master->cluster, node);
    response.node = &view.node;
    response.pods = page.pods;
    response.n_pods = page.count;
    service_reply(call, &response.base);
    page_fini(&page);
}

void service_get_node(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, get_node);
}

static void list_nodes(struct master *master, struct call *call,
                       const ProtobufCMessage *message)
{
    const struct nodes *nodes = &master->cluster->nodes;
    struct node_view *views = memory_array(nodes->count + 1, sizeof *views);
    Kontor__V1__NodeInfo **infos =
        memory_array(nodes->count + 1, sizeof(Kontor__V1__NodeInfo *));
    Kontor__V1__ListNodesResponse response =
        KONTOR__V1__LIST_NODES_RESPONSE__INIT;

    (void)message;
    list_for_each(item, next, &nodes->all)
    {
        struct node_view *view = &views[response.n_nodes];

        node_view_fill(view, master->cluster,
                       container_of(item, struct node, all));
        infos[response.n_nodes++] = &view->node;
    }
    response.index = master->cluster->index;
    response.nodes = infos;
    service_reply(call, &response.base);
    free(views);
    free(infos);
}

void service_list_nodes(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, list_nodes);
}
