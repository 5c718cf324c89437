/* bench_store.c - how fast the log on disk is.
 *
 *   bench_store [FOLDER]
 *
 * FOLDER (default: here) decides which disk is measured; a folder made in it
 * is removed again. */
#include "base/clock.h"
#include "base/compare.h"
#include "base/fd.h"
#include "base/memory.h"
#include "raft/store.h"
#include "test/unit/raft_members.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ENTRY_BYTES = 150, /* about one pod */
    SINGLES = 2000,
    BATCHES = 5000,
    BATCH_ROWS = 100,
    UNDER_WAY_MAX = 4, /* batches; what a pipelining leader has */
    WRITES_MAX = 16,
};

struct bench {
    struct store *store;
    struct store_write writes[WRITES_MAX];
    struct raft_entry entries[BATCH_ROWS];
    unsigned rows;      /* of one write */
    unsigned under_way; /* writes */
    unsigned to_submit;
    unsigned done;
    uint64_t next_index;
    uint64_t submitted_ns;
    uint64_t *latency_ns;
};

static void submit(struct bench *bench, struct store_write *write);

static void on_done(struct store_write *write)
{
    struct bench *bench = write->data;

    bench->latency_ns[bench->done++] =
        clock_monotonic_ns() - bench->submitted_ns;
    bench->under_way--;
    if (bench->to_submit)
        submit(bench, write);
}

static void submit(struct bench *bench, struct store_write *write)
{
    *write = (struct store_write){
        .from = bench->next_index,
        .entries = bench->entries,
        .entry_count = bench->rows,
        .done = on_done,
        .data = bench,
    };
    bench->next_index += bench->rows;
    bench->to_submit--;
    bench->under_way++;
    bench->submitted_ns = clock_monotonic_ns();
    store_submit(bench->store, write);
}

static double at_us(const struct bench *bench, double share)
{
    size_t i = (size_t)(share * (bench->done - 1));

    return (double)bench->latency_ns[i] / 1e3;
}

static void measure(struct bench *bench, uv_loop_t *loop, unsigned writes,
                    unsigned parallel)
{
    uint64_t start_ns = clock_monotonic_ns();
    double seconds;

    bench->done = 0;
    bench->to_submit = writes;
    bench->latency_ns = memory_array(writes, sizeof *bench->latency_ns);
    for (unsigned i = 0; i < parallel; i++)
        submit(bench, &bench->writes[i]);
    while (bench->under_way)
        uv_run(loop, UV_RUN_ONCE);
    seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    qsort(bench->latency_ns, bench->done, sizeof *bench->latency_ns,
          compare_u64);
    printf("%5u rows a write, %u at a time: %9.0f rows/s", bench->rows,
           parallel, writes * bench->rows / seconds);
    if (parallel == 1)
        printf("; p50 %.0f us, p99 %.0f us, max %.0f us", at_us(bench, 0.5),
               at_us(bench, 0.99), at_us(bench, 1));
    printf("\n");
    free(bench->latency_ns);
}

static void on_closed(void *data)
{
    (void)data;
}

int main(int argc, char **argv)
{
    char folder[4096];
    struct bench bench = {.next_index = 1};
    struct store_options options = {
        .folder = folder,
        .self = "m1",
        .prepared_bytes = STORE_PREPARED_BYTES,
        .id = 1,
        .configuration = raft_members(1, 0, RAFT_NOBODY),
    };
    struct store_content content;
    struct raft_payload *payload;
    uint8_t bytes[ENTRY_BYTES];
    uv_loop_t loop;
    struct error why;

    memset(bytes, 'x', sizeof bytes);
    payload = raft_payload_new(bytes, sizeof bytes);
    for (int i = 0; i < BATCH_ROWS; i++)
        bench.entries[i] = (struct raft_entry){
            .term = 0, .kind = RAFT_ENTRY_COMMAND, .payload = payload};
    snprintf(folder, sizeof folder, "%s/bench_store.XXXXXX",
             argc > 1 ? argv[1] : ".");
    uv_loop_init(&loop);
    if (!mkdtemp(folder) ||
        store_open(&bench.store, &options, &content, &why) != 0) {
        fprintf(stderr, "bench_store: %s: %s\n", folder, why.message);
        return 1;
    }
    store_start(bench.store, &loop);
    bench.rows = 1;
    measure(&bench, &loop, SINGLES, 1);
    bench.rows = BATCH_ROWS;
    measure(&bench, &loop, BATCHES, 1);
    measure(&bench, &loop, BATCHES, UNDER_WAY_MAX);
    store_close(bench.store, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    raft_payload_drop(payload);
    store_content_fini(&content);
    return folder_remove(AT_FDCWD, folder, &why);
}
