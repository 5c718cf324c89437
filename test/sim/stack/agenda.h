/* agenda.h - what will happen, by virtual time.
 *
 * What is due in the same microsecond happens in the order it was put down,
 * so that a run depends on its seed only. */
#pragma once

#include "base/lang.h"

#include <stdbool.h>
#include <stdint.h>

/* `data` must live until then: nothing is ever taken off the agenda, whoever
 * is called looks whether it is still wanted. */
typedef void agenda_cb(void *data, uint64_t number);

struct agenda_item {
    uint64_t at_us;
    uint64_t sequence;
    agenda_cb *run;
    void *data;
    uint64_t number;
};

struct agenda {
    struct agenda_item *heap; /* owned */
    size_t count;
    size_t capacity;
    uint64_t sequence;
};

void agenda_fini(struct agenda *agenda);

/* O(log n). */
void agenda_add(struct agenda *agenda, const struct agenda_item *item);

/* Take the next one; false when there is none until `end_us`. */
bool agenda_take(struct agenda *agenda, uint64_t end_us,
                 struct agenda_item *item);
