/* plan_show.h - a plan for people: what would become of which pod. */
#pragma once

#include "client/table.h"
#include "kontor/v1/cluster.pb-c.h"

/* A table of the moves that were told, and what it comes to. */
void plan_show(const Kontor__V1__PlanResponse *plan);

/* "the fullest node goes from 82.3 % to ..."; either may be NULL: nothing. */
void plan_show_evenness(const Kontor__V1__Evenness *before,
                        const Kontor__V1__Evenness *after);

/* A table of moves, and one more: the pod, from where, to where, why not. */
struct table *plan_table_new(void);
void plan_table_add(struct table *table, const Kontor__V1__PlannedMove *move);
