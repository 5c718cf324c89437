#include "master/propose.h"

#include "base/clock.h"
#include "base/memory.h"

enum { ON_STACK_BYTES = 2048 };

void propose(struct replica *replica, struct replica_proposal *proposal,
             Kontor__V1__Command *command)
{
    uint8_t small[ON_STACK_BYTES];
    uint8_t *bytes = small;
    size_t length;

    command->time_ms = clock_wall_ms();
    length = kontor__v1__command__get_packed_size(command);
    if (length > sizeof small)
        bytes = memory_new(length);
    kontor__v1__command__pack(command, bytes);
    replica_propose(replica, proposal, bytes, length);
    if (bytes != small)
        free(bytes);
}
