#include "test/unit/raft_members.h"

#include <assert.h>
#include <stdio.h>

void raft_roll_add(struct raft_roll *roll, uint32_t id, bool learner)
{
    assert(roll->count < RAFT_MEMBERS_MAX);
    roll->members[roll->count++] = (struct raft_member){id, learner};
}

struct raft_payload *raft_roll_pack(const struct raft_roll *roll)
{
    Kontor__V1__RaftConfiguration message =
        KONTOR__V1__RAFT_CONFIGURATION__INIT;
    Kontor__V1__RaftMember members[RAFT_MEMBERS_MAX];
    Kontor__V1__RaftMember *pointers[RAFT_MEMBERS_MAX];
    char names[RAFT_MEMBERS_MAX][16];
    char address[] = "127.0.0.1:1";

    for (unsigned i = 0; i < roll->count; i++) {
        snprintf(names[i], sizeof names[i], "m%u", roll->members[i].id);
        kontor__v1__raft_member__init(&members[i]);
        members[i].id = roll->members[i].id;
        members[i].learner = roll->members[i].learner;
        members[i].name = names[i];
        members[i].address = address;
        pointers[i] = &members[i];
        message.next_id = members[i].id + 1;
    }
    message.members = pointers;
    message.n_members = roll->count;
    return raft_configuration_pack(&message);
}

struct raft_payload *raft_members(unsigned voters, unsigned learners,
                                  uint32_t without)
{
    struct raft_roll roll = {0};

    for (uint32_t id = 1; id <= voters + learners; id++)
        if (id != without)
            raft_roll_add(&roll, id, id > voters);
    return raft_roll_pack(&roll);
}
