/* plan_show.h - a plan for people: what would become of which pod. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"

/* A table of the moves that were told, and what it comes to. */
void plan_show(const Kontor__V1__PlanResponse *plan);

/* "web-1", where from, where to, and why not. */
struct table;
struct table *plan_table_new(void);
void plan_table_add(struct table *table, const Kontor__V1__PlannedMove *move);
