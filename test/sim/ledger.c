#include "base/map.h"
#include "base/memory.h"
#include "test/sim/machine.h"

#include <assert.h>
#include <string.h>

struct ledger {
    uint64_t count;
    uint64_t hash;
};

static void *ledger_create(void)
{
    return memory_new(sizeof(struct ledger));
}

static void ledger_apply(void *state, uint64_t index, const uint8_t *bytes,
                         size_t length)
{
    struct ledger *ledger = state;

    ledger->count++;
    ledger->hash = map_hash_id(ledger->hash ^ map_hash_bytes(bytes, length) ^
                               map_hash_id(index));
}

static uint64_t ledger_digest(const void *state)
{
    const struct ledger *ledger = state;

    return ledger->hash ^ ledger->count;
}

static void ledger_save(const void *state, struct buffer *out)
{
    struct error why;
    int code = buffer_append(out, state, sizeof(struct ledger), &why);

    assert(code == 0);
}

static void *ledger_load(const uint8_t *bytes, size_t length)
{
    assert(length == sizeof(struct ledger));
    return memory_copy(bytes, length);
}

/* The number, and now and then some weight to reach the limits in bytes. */
static size_t ledger_command(struct random *random, uint64_t number,
                             uint8_t *bytes)
{
    size_t length = sizeof number;

    memcpy(bytes, &number, sizeof number);
    if (random_below(random, 8) == 0)
        length += (size_t)random_below(random, MACHINE_COMMAND_MAX - length);
    memset(bytes + sizeof number, 'x', length - sizeof number);
    return length;
}

const struct machine_kind machine_ledger = {
    .name = "ledger",
    .create = ledger_create,
    .destroy = free,
    .apply = ledger_apply,
    .digest = ledger_digest,
    .save = ledger_save,
    .load = ledger_load,
    .command = ledger_command,
};
