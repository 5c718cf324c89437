/* member_list.h - "m1=HOST:PORT,m2=HOST:PORT" of a command line. */
#pragma once

#include "raft/replica.h"

struct member_list {
    struct replica_member members[RAFT_MEMBERS_MAX];
    unsigned count;
    char *text; /* owned; what the members borrow */
};

/* INVALID_ARGUMENT names the item. Free it with member_list_fini(), also
 * when it failed. */
int member_list_parse(struct member_list *list, const char *text,
                      struct error *why);
void member_list_fini(struct member_list *list);

/* The address that `name` has among them; INVALID_ARGUMENT: it has none. */
int member_list_find(const struct member_list *list, const char *name,
                     const char **address, struct error *why);
