/* operator.h - somebody who adds, removes and changes masters, and cordons and
 * labels nodes, as `kctl` and `kmaster --join` would.
 *
 *   RESTING -> ASKING: AddMaster ----> JOINING: which id? -> it starts
 *                      RemoveMaster -> after a while its process ends
 *                      TransferLeadership
 *                      Cordon: a node takes no more pods, or does again
 *                      LabelNode: it is in another zone, or has a taint
 *   A master that refuses what has rotted on its disk is removed, and added
 *   again with an empty one.
 *   Unanswered calls are made again, as somebody would who wants to know. */
#pragma once

#include <stdbool.h>

void operator_start(void);
/* Something was begun that is not over. */
bool operator_busy(void);
/* Would it replace a master that lost its disk now? Not while it removes one.
 */
bool operator_replaces(void);
/* Does it wait for pods to be moved? */
bool operator_moves(void);
/* Was it acknowledged, last, that the node is cordoned? */
bool operator_cordoned(unsigned node);
/* The same of its taint, and of its zone: NULL is none. */
bool operator_tainted(unsigned node);
const char *operator_zone(unsigned node);
/* Nobody knows its zone, or its taint: a change of that was refused, of which
 * an earlier copy may be carried out all the same. */
bool operator_unsure(unsigned node, bool of_taint);
void operator_fini(void);
