#include "client/plan_show.h"

#include "client/output.h"

#include <inttypes.h>

struct table *plan_table_new(void)
{
    static const char *const headings[] = {"POD", "FROM", "TO", "WHY NOT",
                                           NULL};

    return table_new(headings);
}

void plan_table_add(struct table *table, const Kontor__V1__PlannedMove *move)
{
    table_cell(table, "%s", move->pod);
    table_cell(table, "%s", move->from[0] ? move->from : "-");
    if (move->to[0])
        table_cell(table, "%s", move->to);
    else
        table_cell_coloured(table, COLOUR_WARN, "-");
    if (move->winner[0])
        table_cell(table, "makes room for %s%s%s", move->winner,
                   move->reason[0] ? "; " : "", move->reason);
    else
        table_cell(table, "%s", move->reason);
}

/* ", 3 would be pending"; nothing for 0. */
static void count(uint64_t pods, const char *what)
{
    if (pods > 0)
        printf(", %" PRIu64 " %s", pods, what);
}

void plan_show_evenness(const Kontor__V1__Evenness *before,
                        const Kontor__V1__Evenness *after)
{
    if (before && after)
        printf("the fullest node goes from %.1f %% to %.1f %%, the emptiest "
               "from %.1f %% to %.1f %%, the standard deviation from %.1f to "
               "%.1f\n",
               before->highest_milli / 10., after->highest_milli / 10.,
               before->lowest_milli / 10., after->lowest_milli / 10.,
               before->deviation_milli / 10., after->deviation_milli / 10.);
}

void plan_show(const Kontor__V1__PlanResponse *plan)
{
    struct table *table = plan_table_new();

    for (size_t i = 0; i < plan->n_moves; i++)
        plan_table_add(table, plan->moves[i]);
    if (plan->n_moves > 0) {
        table_print(table, stdout, output_colours(stdout));
        putchar('\n');
    }
    table_free(table);
    printf("%" PRIu64 " would be placed", plan->placed);
    count(plan->pending, "would be pending");
    count(plan->preempted, "of lower priority would make room");
    count(plan->failing, "would fail");
    count(plan->staying, "would stay");
    printf("; %u nodes have pods, %u would have (index %" PRIu64 ")\n",
           plan->nodes_before, plan->nodes_after, plan->index);
    plan_show_evenness(plan->even_before, plan->even_after);
}
