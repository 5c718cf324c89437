/* drill_clients.h - clients that write and read while masters fail.
 *
 * They are what a patient program would be: each has connections of its own to
 * all masters and asks one; a call that is not answered within 100 ms, or
 * that one master cannot serve, goes to the next with the same request id. A
 * pod that they write asks for more CPU than any node has, so it is pending
 * for ever: durable like any other, and no node hears of it. */
#pragma once

#include "client/contact.h"
#include "client/drill_history.h"

/* Of their pods, and of no others. */
#define DRILL_IMAGE "kontor.invalid/drill:1"

struct drill_clients;

/* Connects, and begins to work on the loop of `contact`; what is asked for
 * stands in `history`. Both are borrowed. */
struct drill_clients *drill_clients_open(struct contact *contact,
                                         struct drill_history *history);

/* Those that rest write at once, and none rests for more than 4 ms; until they
 * are calm again. */
void drill_clients_hurry(struct drill_clients *clients);
void drill_clients_calm(struct drill_clients *clients);

/* Begin nothing any more and wait for what is under way, also after Ctrl-C:
 * ten seconds at most. */
void drill_clients_finish(struct drill_clients *clients);
void drill_clients_close(struct drill_clients *clients);

/* Writes that were done twice, as an answer said. */
unsigned drill_clients_repeated(const struct drill_clients *clients);

/* What the last write that was refused met with; code 0: none was. Borrowed. */
const struct error *drill_clients_trouble(const struct drill_clients *clients);

/* The value that was written into a pod of theirs; 0: it is none. */
uint64_t drill_value_of(const Kontor__V1__Pod *pod);
