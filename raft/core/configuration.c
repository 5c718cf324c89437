#include "raft/core/configuration.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

struct raft_payload *
raft_configuration_pack(const Kontor__V1__RaftConfiguration *message)
{
    size_t length = kontor__v1__raft_configuration__get_packed_size(message);
    uint8_t *bytes = memory_new(length + 1);
    struct raft_payload *payload;

    kontor__v1__raft_configuration__pack(message, bytes);
    payload = raft_payload_new(bytes, length);
    free(bytes);
    return payload;
}

static bool text_fits(const char *text, size_t size)
{
    return text[0] != '\0' && strlen(text) < size;
}

static bool valid(const Kontor__V1__RaftConfiguration *message)
{
    uint32_t before = 0;
    bool votes = false;

    if (message->n_members == 0 || message->n_members > RAFT_MEMBERS_MAX)
        return false;
    for (size_t i = 0; i < message->n_members; i++) {
        const Kontor__V1__RaftMember *member = message->members[i];

        if (member->id <= before || member->id >= message->next_id ||
            !text_fits(member->name, RAFT_NAME_MAX) ||
            !text_fits(member->address, RAFT_ADDRESS_MAX))
            return false;
        for (size_t j = 0; j < i; j++)
            if (strcmp(message->members[j]->name, member->name) == 0)
                return false;
        votes |= !member->learner;
        before = member->id;
    }
    return votes;
}

Kontor__V1__RaftConfiguration *
raft_configuration_unpack(const struct raft_payload *payload)
{
    Kontor__V1__RaftConfiguration *message = NULL;

    if (payload)
        message = kontor__v1__raft_configuration__unpack(NULL, payload->length,
                                                         payload->bytes);
    if (message && !valid(message)) {
        kontor__v1__raft_configuration__free_unpacked(message, NULL);
        return NULL;
    }
    return message;
}

bool raft_configuration_valid(const struct raft_payload *payload)
{
    Kontor__V1__RaftConfiguration *message = raft_configuration_unpack(payload);

    if (message)
        kontor__v1__raft_configuration__free_unpacked(message, NULL);
    return message != NULL;
}

int raft_configuration_find(const struct raft_configuration *configuration,
                            uint32_t id)
{
    for (unsigned i = 0; i < configuration->count; i++)
        if (configuration->members[i].id == id)
            return (int)i;
    return -1;
}

/* ---- those of one log ---- */

static struct raft_configuration make(uint64_t index,
                                      struct raft_payload *payload)
{
    Kontor__V1__RaftConfiguration *message = raft_configuration_unpack(payload);
    struct raft_configuration made = {.index = index};

    assert(message); /* checked where it came from */
    made.count = (unsigned)message->n_members;
    for (unsigned i = 0; i < made.count; i++)
        made.members[i] = (struct raft_member){
            .id = message->members[i]->id,
            .learner = message->members[i]->learner,
        };
    made.payload = raft_payload_take(payload);
    kontor__v1__raft_configuration__free_unpacked(message, NULL);
    return made;
}

void raft_configurations_init(struct raft_configurations *configurations,
                              uint64_t index, struct raft_payload *payload)
{
    *configurations = (struct raft_configurations){0};
    raft_configurations_add(configurations, index, payload);
}

void raft_configurations_fini(struct raft_configurations *configurations)
{
    for (size_t i = 0; i < configurations->count; i++)
        raft_payload_drop(configurations->list[i].payload);
    free(configurations->list);
}

/* In effect from now on, committed or not (chapter 4.1). */
void raft_configurations_add(struct raft_configurations *configurations,
                             uint64_t index, struct raft_payload *payload)
{
    size_t count = configurations->count;

    if (count == configurations->capacity) {
        configurations->capacity = count ? 2 * count : 2;
        configurations->list = memory_resize(configurations->list,
                                             configurations->capacity *
                                                 sizeof *configurations->list);
    }
    configurations->list[configurations->count++] = make(index, payload);
}

/* Back to the one before, as the log has it (chapter 4.1). */
bool raft_configurations_cut(struct raft_configurations *configurations,
                             uint64_t from)
{
    size_t before = configurations->count;

    while (configurations->count > 1 &&
           configurations->list[configurations->count - 1].index >= from)
        raft_payload_drop(
            configurations->list[--configurations->count].payload);
    return configurations->count != before;
}

/* A snapshot holds the newest of what it replaces (section 7, chapter 5.1). */
void raft_configurations_compact(struct raft_configurations *configurations,
                                 uint64_t index)
{
    size_t dropped = 0;

    while (dropped + 1 < configurations->count &&
           configurations->list[dropped + 1].index <= index)
        raft_payload_drop(configurations->list[dropped++].payload);
    configurations->count -= dropped;
    memmove(configurations->list, configurations->list + dropped,
            configurations->count * sizeof *configurations->list);
}

const struct raft_configuration *
raft_configurations_at(const struct raft_configurations *configurations,
                       uint64_t index)
{
    size_t at = configurations->count - 1;

    while (at > 0 && configurations->list[at].index > index)
        at--;
    return &configurations->list[at];
}
