/* machine.h - the state machine that the simulated masters replicate.
 *
 * The simulator knows it only by this table, so the cluster state is plugged
 * in the same way as the small ledger it began with. */
#pragma once

#include "base/buffer.h"
#include "base/random.h"

enum { MACHINE_COMMAND_MAX = 512, MACHINE_STATE_MAX = 16 * 1024 * 1024 };

struct machine_kind {
    const char *name;
    void *(*create)(void);
    void (*destroy)(void *state); /* NULL-safe */
    void (*apply)(void *state, uint64_t index, const uint8_t *bytes,
                  size_t length);
    /* The same for equal states only. Asked after every command. */
    uint64_t (*digest)(const void *state);
    void (*save)(const void *state, struct buffer *out);
    /* A new state from what save() wrote. */
    void *(*load)(const uint8_t *bytes, size_t length);
    /* Write the `number`-th command of this run into `bytes`, which holds
     * MACHINE_COMMAND_MAX; return its length. No two are the same. */
    size_t (*command)(struct random *random, uint64_t number, uint8_t *bytes);
};

/* Keeps how many commands there were and a hash of them in their order. */
extern const struct machine_kind machine_ledger;
