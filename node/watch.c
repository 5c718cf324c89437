/* watch.c - invariants:
 * 1. `entries` is in order of version, and versions are never used twice.
 * 2. A watcher has been sent every entry with version <= seen.
 * 3. An entry of a pod that is gone is there only while some watcher has not
 *    seen it. */
#include "node/watch.h"

#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "node/pod/status.h"

#include <assert.h>

struct watch_entry {
    struct map_link map;
    struct list link;
    uint64_t version;
    Kontor__V1__PodStatus status; /* strings owned */
};

struct watcher {
    struct watch_board *board;
    struct list link;
    struct call *call;
    uint64_t seen;
    uint64_t sequence;
    bool over; /* finished from here; waiting for `ended` */
};

struct watch_board {
    struct map by_id;
    struct list entries;
    struct list watchers;
    size_t watcher_count;
    size_t gone_count;
    uint64_t version;
    /* Active while there is something to send: idle keeps the loop from
     * sleeping, check runs when the turn's input was handled. */
    uv_idle_t idle;
    uv_check_t check;
    uv_timer_t heartbeat;
    unsigned open_handles;
    void (*closed)(void *data);
    void *closed_data;
};

static bool gone(const struct watch_entry *entry)
{
    return entry->status.phase == KONTOR__V1__POD_PHASE__POD_STOPPED;
}

/* ---- entries ------------------------------------------------------------- */

static struct watch_entry *find(const struct watch_board *board, uint64_t id)
{
    struct map_link *at = map_chain(&board->by_id, map_hash_id(id));

    for (; at; at = at->next) {
        struct watch_entry *entry = container_of(at, struct watch_entry, map);

        if (entry->status.pod_id == id)
            return entry;
    }
    return NULL;
}

static void drop(struct watch_board *board, struct watch_entry *entry)
{
    if (gone(entry))
        board->gone_count--;
    list_remove(&entry->link);
    map_remove(&board->by_id, &entry->map);
    status_fini(&entry->status);
    free(entry);
}

/* Let go of what every watcher knows to be gone. O(entries), so only when
 * there is something to find. */
static void sweep(struct watch_board *board)
{
    uint64_t all_seen = board->version;

    if (board->gone_count == 0)
        return;
    list_for_each(at, following, &board->watchers)
    {
        const struct watcher *watcher = container_of(at, struct watcher, link);

        if (!watcher->over && watcher->seen < all_seen)
            all_seen = watcher->seen;
    }
    list_for_each(at, following, &board->entries)
    {
        struct watch_entry *entry = container_of(at, struct watch_entry, link);

        if (entry->version > all_seen)
            break;
        if (gone(entry))
            drop(board, entry);
    }
}

static void hang_up(struct watcher *watcher, const struct error *why)
{
    watcher->over = true;
    call_finish(watcher->call, why);
}

void watch_board_hang_up(struct watch_board *board)
{
    struct error why;

    error_set(&why, ERROR_UNAVAILABLE, "this node is being stopped");
    list_for_each(at, following, &board->watchers)
    {
        struct watcher *watcher = container_of(at, struct watcher, link);

        if (!watcher->over)
            hang_up(watcher, &why);
    }
}

/* Too many gone pods are kept for somebody: for whom? */
static void hang_up_on_slowest(struct watch_board *board)
{
    struct error why;

    error_set(&why, ERROR_RESOURCE_EXHAUSTED,
              "this watch is %d pods behind: begin a new one", WATCH_GONE_MAX);
    list_for_each(at, following, &board->watchers)
    {
        struct watcher *watcher = container_of(at, struct watcher, link);

        if (!watcher->over && watcher->seen < board->version &&
            call_queued_bytes(watcher->call) >= CALL_QUEUE_HIGH_BYTES)
            hang_up(watcher, &why);
    }
    sweep(board);
}

/* ---- reports ------------------------------------------------------------- */

static void send_report(struct watcher *watcher, Kontor__V1__NodeReport *report)
{
    struct error why;

    report->sequence = ++watcher->sequence;
    if (call_send(watcher->call, &report->base, &why) != 0)
        hang_up(watcher, &why);
}

/* The first entry that the watcher has not seen, or the list's head. */
static struct list *first_unseen(const struct watcher *watcher)
{
    struct list *at = &watcher->board->entries;

    while (at->prev != &watcher->board->entries &&
           container_of(at->prev, struct watch_entry, link)->version >
               watcher->seen)
        at = at->prev;
    return at;
}

static void report_some(struct watcher *watcher)
{
    Kontor__V1__NodeReport report = KONTOR__V1__NODE_REPORT__INIT;
    Kontor__V1__PodStatus *pods[WATCH_REPORT_PODS_MAX];
    struct list *at = first_unseen(watcher);

    for (; at != &watcher->board->entries &&
           report.n_pods < WATCH_REPORT_PODS_MAX;
         at = at->next) {
        struct watch_entry *entry = container_of(at, struct watch_entry, link);

        pods[report.n_pods++] = &entry->status;
        watcher->seen = entry->version;
    }
    if (at == &watcher->board->entries)
        watcher->seen = watcher->board->version;
    report.pods = pods;
    send_report(watcher, &report);
}

/* All that is new, unless much is on its way already: then go on when the
 * call is writable. */
static void report_all(struct watcher *watcher)
{
    while (!watcher->over && watcher->seen < watcher->board->version &&
           call_queued_bytes(watcher->call) < CALL_QUEUE_HIGH_BYTES)
        report_some(watcher);
}

static void watch_on_check(uv_check_t *check)
{
    struct watch_board *board = container_of(check, struct watch_board, check);

    uv_idle_stop(&board->idle);
    uv_check_stop(&board->check);
    list_for_each(at, following, &board->watchers)
        report_all(container_of(at, struct watcher, link));
    sweep(board);
    if (board->gone_count > WATCH_GONE_MAX)
        hang_up_on_slowest(board);
}

static void watch_on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void watch_on_heartbeat(uv_timer_t *timer)
{
    struct watch_board *board =
        container_of(timer, struct watch_board, heartbeat);

    list_for_each(at, following, &board->watchers)
    {
        struct watcher *watcher = container_of(at, struct watcher, link);
        Kontor__V1__NodeReport report = KONTOR__V1__NODE_REPORT__INIT;

        if (!watcher->over &&
            call_queued_bytes(watcher->call) < CALL_QUEUE_HIGH_BYTES)
            send_report(watcher, &report);
    }
}

/* ---- watchers ------------------------------------------------------------ */

static void watcher_on_writable(struct call *call)
{
    struct watcher *watcher = call_data(call);

    report_all(watcher);
    sweep(watcher->board);
}

static void watcher_on_ended(struct call *call, const struct error *why)
{
    struct watcher *watcher = call_data(call);
    struct watch_board *board = watcher->board;

    (void)why;
    list_remove(&watcher->link);
    free(watcher);
    if (--board->watcher_count == 0)
        uv_timer_stop(&board->heartbeat);
    sweep(board);
}

static const struct call_events watcher_events = {
    .writable = watcher_on_writable,
    .ended = watcher_on_ended,
};

void watch_board_add(struct watch_board *board, struct call *call)
{
    struct watcher *watcher = memory_new(sizeof *watcher);

    watcher->board = board;
    watcher->call = call;
    call_listen(call, &watcher_events, watcher);
    list_append(&board->watchers, &watcher->link);
    if (board->watcher_count++ == 0)
        uv_timer_start(&board->heartbeat, watch_on_heartbeat,
                       WATCH_HEARTBEAT_MS, WATCH_HEARTBEAT_MS);
    /* At least one report, so that a master knows what an empty node has. */
    report_some(watcher);
    report_all(watcher);
}

size_t watch_board_watchers(const struct watch_board *board)
{
    return board->watcher_count;
}

/* ---- the board ----------------------------------------------------------- */

void watch_board_put(struct watch_board *board,
                     const Kontor__V1__PodStatus *status)
{
    struct watch_entry *entry = find(board, status->pod_id);

    if (!entry) {
        entry = memory_new(sizeof *entry);
        status_init(&entry->status, status->pod_id, status->generation);
        list_init(&entry->link);
        map_insert(&board->by_id, &entry->map, map_hash_id(status->pod_id));
    }
    board->gone_count -= gone(entry);
    status_copy(&entry->status, status);
    board->gone_count += gone(entry);
    entry->version = ++board->version;
    list_remove(&entry->link);
    list_append(&board->entries, &entry->link);
    uv_idle_start(&board->idle, watch_on_idle);
    uv_check_start(&board->check, watch_on_check);
}

struct watch_board *watch_board_open(uv_loop_t *loop)
{
    struct watch_board *board = memory_new(sizeof *board);

    map_init(&board->by_id);
    list_init(&board->entries);
    list_init(&board->watchers);
    uv_idle_init(loop, &board->idle);
    uv_check_init(loop, &board->check);
    uv_timer_init(loop, &board->heartbeat);
    board->open_handles = 3;
    return board;
}

static void board_on_closed(struct watch_board *board)
{
    void (*closed)(void *data) = board->closed;
    void *data = board->closed_data;

    if (--board->open_handles > 0)
        return;
    list_for_each(at, following, &board->entries)
        drop(board, container_of(at, struct watch_entry, link));
    map_fini(&board->by_id);
    free(board);
    closed(data);
}

static void idle_on_closed(uv_handle_t *handle)
{
    board_on_closed(
        container_of((uv_idle_t *)handle, struct watch_board, idle));
}

static void check_on_closed(uv_handle_t *handle)
{
    board_on_closed(
        container_of((uv_check_t *)handle, struct watch_board, check));
}

static void heartbeat_on_closed(uv_handle_t *handle)
{
    board_on_closed(
        container_of((uv_timer_t *)handle, struct watch_board, heartbeat));
}

void watch_board_close(struct watch_board *board, void (*closed)(void *data),
                       void *data)
{
    assert(list_empty(&board->watchers));
    board->closed = closed;
    board->closed_data = data;
    uv_close((uv_handle_t *)&board->idle, idle_on_closed);
    uv_close((uv_handle_t *)&board->check, check_on_closed);
    uv_close((uv_handle_t *)&board->heartbeat, heartbeat_on_closed);
}
