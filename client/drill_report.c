#include "base/compare.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "client/drill.h"
#include "client/output.h"

#include <stdio.h>

#define NS_PER_MS 1e6

/* Times of all rounds, sorted. */
struct times {
    uint64_t *ns; /* owned */
    unsigned count;
};

static struct times times_of(const struct drill *drill, bool gaps)
{
    struct times times = {memory_array(drill->done + 1, sizeof *times.ns),
                          drill->done};

    for (unsigned i = 0; i < drill->done; i++)
        times.ns[i] =
            gaps ? drill->rounds[i].gap_ns : drill->rounds[i].silent_ns;
    qsort(times.ns, times.count, sizeof *times.ns, compare_u64);
    return times;
}

/* The nearest rank: the least time that so many of a hundred do not exceed. */
static double percentile_ms(const struct times *times, unsigned percent)
{
    unsigned rank = (times->count * percent + 99) / 100;

    return rank == 0 ? 0 : (double)times->ns[rank - 1] / NS_PER_MS;
}

static double longer_of(const struct drill_round *round)
{
    return (double)(round->gap_ns > round->silent_ns ? round->gap_ns
                                                     : round->silent_ns);
}

bool drill_passed(const struct drill *drill)
{
    const struct drill_counts *counts = &drill->counts;

    for (unsigned i = 0; i < drill->done; i++)
        if (longer_of(&drill->rounds[i]) > (double)drill->budget_ms * NS_PER_MS)
            return false;
    return drill->done == drill->count && counts->lost == 0 &&
           counts->duplicated == 0 && counts->restarted == 0 &&
           counts->nodes_ready == counts->nodes;
}

/* ---- for people -----------------------------------------------------------
 */

static void print_times(const struct drill *drill, const char *name, bool gaps)
{
    struct times times = times_of(drill, gaps);

    printf("%-8s  median %.1f ms  p99 %.1f ms  max %.1f ms\n", name,
           percentile_ms(&times, 50), percentile_ms(&times, 99),
           percentile_ms(&times, 100));
    free(times.ns);
}

void drill_print(const struct drill *drill)
{
    const struct drill_counts *counts = &drill->counts;
    char budget[QUANTITY_TEXT_MAX];

    print_times(drill, "gap", true);
    print_times(drill, "silence", false);
    printf("writes    %u acknowledged: %u lost, %u duplicated; %u refused, %u "
           "without an answer\n",
           counts->acknowledged, counts->lost, counts->duplicated,
           counts->refused, counts->unknown);
    printf("pods      %u ran: %u restarted\n", counts->pods, counts->restarted);
    printf("nodes     %u of %u ready\n", counts->nodes_ready, counts->nodes);
    printf("%s: the leader was %s %u times, budget %s\n",
           drill_passed(drill) ? "passed" : "FAILED", drill->fault->done,
           drill->done, quantity_format_duration(budget, drill->budget_ms));
}

/* ---- for programs ---------------------------------------------------------
 */

static json_t *json_of_times(const struct drill *drill, bool gaps)
{
    struct times times = times_of(drill, gaps);
    json_t *json =
        json_pack("{s:f,s:f,s:f}", "median", percentile_ms(&times, 50), "p99",
                  percentile_ms(&times, 99), "max", percentile_ms(&times, 100));

    free(times.ns);
    return json;
}

static json_t *json_of_rounds(const struct drill *drill)
{
    json_t *rounds = json_array();

    for (unsigned i = 0; i < drill->done; i++) {
        const struct drill_round *round = &drill->rounds[i];

        json_array_append_new(
            rounds, json_pack("{s:s,s:f,s:f}", "master",
                              drill->dev.masters[round->master].name, "gap_ms",
                              (double)round->gap_ns / NS_PER_MS, "silence_ms",
                              (double)round->silent_ns / NS_PER_MS));
    }
    return rounds;
}

void drill_print_json(const struct drill *drill)
{
    const struct drill_counts *counts = &drill->counts;

    output_json(json_pack(
        "{s:s,s:b,s:i,s:I,s:o,s:o,s:o,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}",
        "drill", drill->fault->name, "passed", (int)drill_passed(drill),
        "count", (int)drill->done, "budget_ms", (json_int_t)drill->budget_ms,
        "gap_ms", json_of_times(drill, true), "silence_ms",
        json_of_times(drill, false), "rounds", json_of_rounds(drill),
        "acknowledged", (int)counts->acknowledged, "refused",
        (int)counts->refused, "unknown", (int)counts->unknown, "reads",
        (int)counts->reads, "lost", (int)counts->lost, "duplicated",
        (int)counts->duplicated, "pods", (int)counts->pods, "pods_restarted",
        (int)counts->restarted, "nodes", (int)counts->nodes, "nodes_ready",
        (int)counts->nodes_ready));
}
