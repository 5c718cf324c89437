#include "base/memory.h"
#include "master/cluster.h"

static void apply_joined(struct cluster *cluster, uint64_t index,
                         const Kontor__V1__Command *all,
                         struct cluster_result *result)
{
    bool replayed = false;

    *result = (struct cluster_result){.index = index};
    for (size_t i = 0; i < all->n_joined && !result->beyond; i++) {
        const ProtobufCBinaryData *bytes = &all->joined[i];
        Kontor__V1__Command *command =
            kontor__v1__command__unpack(NULL, bytes->len, bytes->data);

        cluster_apply_command(cluster, index, command, result);
        replayed |= result->replayed;
        if (command)
            kontor__v1__command__free_unpacked(command, NULL);
    }
    result->replayed = replayed;
}

void cluster_apply(struct cluster *cluster, uint64_t index,
                   const uint8_t *bytes, size_t length,
                   struct cluster_result *result)
{
    Kontor__V1__Command *command =
        kontor__v1__command__unpack(NULL, length, bytes);

    if (command && command->n_joined > 0 && command->format <= cluster->known)
        apply_joined(cluster, index, command, result);
    else
        cluster_apply_command(cluster, index, command, result);
    if (command)
        kontor__v1__command__free_unpacked(command, NULL);
}

uint8_t *cluster_join(ProtobufCBinaryData *commands, size_t count,
                      size_t *length)
{
    Kontor__V1__Command all = KONTOR__V1__COMMAND__INIT;
    uint8_t *bytes;

    all.format = CLUSTER_FORMAT_2;
    all.joined = commands;
    all.n_joined = count;
    *length = kontor__v1__command__get_packed_size(&all);
    bytes = memory_new(*length);
    kontor__v1__command__pack(&all, bytes);
    return bytes;
}
