/* settle.h - what must hold some time after nothing goes wrong any more: a
 * leader, equal masters, every pod where it belongs or with no room for it,
 * and nothing else on the nodes. */
#pragma once

/* What is still missing; NULL: nothing. Static storage. */
const char *settle_missing(void);
