#include "test/bench/workload.h"

#include "base/lang.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GI(n) ((uint64_t)(n) << 30)
#define MI(n) ((uint64_t)(n) << 20)

static struct workload workload_new(void)
{
    return (struct workload){
        .wants = memory_array(WORKLOAD_MAX, sizeof(struct resources)),
        .nodes = memory_array(WORKLOAD_MAX, sizeof(struct resources)),
    };
}

void workload_fini(struct workload *workload)
{
    free(workload->wants);
    free(workload->nodes);
}

static void add(struct resources *to, size_t *count, struct resources one)
{
    if (*count < WORKLOAD_MAX)
        to[(*count)++] = one;
}

static struct resources dlrm_of(uint64_t cpu, uint64_t memory, uint64_t disk,
                                uint64_t net)
{
    return (struct resources){
        {cpu * 1000, GI(memory), GI(disk), net * 1000000}};
}

/* Call `line` for each line of the file that has as many numbers as asked;
 * what stands before the first comma is passed over in a csv. */
static void read_lines(const char *folder, const char *name, int numbers,
                       void (*line)(void *data, const uint64_t *numbers),
                       void *data)
{
    char *path = memory_format("%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    char text[1024];

    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    while (fgets(text, sizeof text, file)) {
        uint64_t n[4];
        int got =
            numbers == 4
                ? sscanf(text, "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64,
                         &n[0], &n[1], &n[2], &n[3])
                : sscanf(text, "%*[^,],%" SCNu64 ",%" SCNu64, &n[0], &n[1]);

        if (got == numbers)
            line(data, n);
    }
    fclose(file);
    free(path);
}

static void on_dlrm(void *data, const uint64_t *n)
{
    struct workload *workload = data;

    add(workload->wants, &workload->want_count,
        dlrm_of(n[0], n[1], n[2], n[3]));
}

static void on_openb_node(void *data, const uint64_t *n)
{
    struct workload *workload = data;

    add(workload->nodes, &workload->node_count,
        (struct resources){{n[0], MI(n[1]), 0, 0}});
}

static void on_openb_pod(void *data, const uint64_t *n)
{
    struct workload *workload = data;

    add(workload->wants, &workload->want_count,
        (struct resources){{n[0], MI(n[1]), 0, 0}});
}

/* A share of the numbers below has the greatest weight; most shapes are rare,
 * as they are in real clusters. */
static size_t draw(struct random *random, size_t count)
{
    size_t a = random_below(random, count);
    size_t b = random_below(random, a + 1);

    return random_below(random, b + 1);
}

static void generate_dlrm(struct workload *workload)
{
    static const uint64_t cpus[] = {64, 96, 48, 64, 192, 24};
    static const uint64_t disks[] = {255, 240, 340, 680, 408, 512, 320};
    static const uint64_t nets[] = {1, 1, 25, 100, 51};
    struct random random = {11};
    struct resources shapes[84];

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        uint64_t cpu = cpus[draw(&random, ARRAY_LEN(cpus))];

        shapes[i] = dlrm_of(cpu, cpu * 5 - random_below(&random, 2) * cpu / 4,
                            disks[draw(&random, ARRAY_LEN(disks))],
                            nets[draw(&random, ARRAY_LEN(nets))]);
    }
    while (workload->want_count < 16000) {
        size_t shape = draw(&random, ARRAY_LEN(shapes));

        for (uint64_t run = 1 + random_below(&random, 60); run > 0; run--)
            add(workload->wants, &workload->want_count, shapes[shape]);
    }
}

struct workload workload_dlrm(const char *folder)
{
    struct workload workload = workload_new();

    add(workload.nodes, &workload.node_count, dlrm_of(192, 1024, 1024, 200));
    if (folder)
        read_lines(folder, "dlrm_items_cpu_mem_disk_net.txt", 4, on_dlrm,
                   &workload);
    else
        generate_dlrm(&workload);
    return workload;
}

static void generate_openb(struct workload *workload)
{
    static const struct resources nodes[] = {
        {{96000, GI(384), 0, 0}}, {{104000, GI(512), 0, 0}},
        {{32000, GI(256), 0, 0}}, {{16000, GI(120), 0, 0}},
        {{96000, GI(512), 0, 0}}, {{128000, GI(768), 0, 0}},
        {{8000, GI(32), 0, 0}},
    };
    struct random random = {12};

    for (int i = 0; i < 1500; i++)
        add(workload->nodes, &workload->node_count,
            nodes[draw(&random, ARRAY_LEN(nodes))]);
    for (int i = 0; i < 8000; i++) {
        uint64_t cpu = 3000 + 100 * random_below(&random, 140);

        if (random_below(&random, 100) == 0)
            cpu *= 5;
        add(workload->wants, &workload->want_count,
            (struct resources){
                {cpu, MI(cpu * (2 + random_below(&random, 4))), 0, 0}});
    }
}

struct workload workload_openb(const char *folder)
{
    struct workload workload = workload_new();

    if (folder) {
        read_lines(folder, "openb_node_list_all_node.csv", 2, on_openb_node,
                   &workload);
        read_lines(folder, "openb_pod_list_default.csv", 2, on_openb_pod,
                   &workload);
    } else {
        generate_openb(&workload);
    }
    return workload;
}
