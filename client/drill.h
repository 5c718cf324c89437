/* drill.h - what a drill came to, told. */
#pragma once

#include "client/drill_run.h"

/* Did the cluster keep its promises, within the budget? */
bool drill_passed(const struct drill *drill);

void drill_print(const struct drill *drill);
void drill_print_json(const struct drill *drill);
