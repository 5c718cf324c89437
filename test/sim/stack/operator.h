/* operator.h - somebody who adds, removes and changes masters, as
 * `kctl masters` and `kmaster --join` would.
 *
 *   RESTING -> ASKING: AddMaster ----> JOINING: which id? -> it starts
 *                      RemoveMaster -> after a while its process ends
 *                      TransferLeadership
 *   Unanswered calls are made again, as somebody would who wants to know. */
#pragma once

#include <stdbool.h>

void operator_start(void);
/* Something was begun that is not over. */
bool operator_busy(void);
void operator_fini(void);
