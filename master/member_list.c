#include "master/member_list.h"

#include "base/memory.h"
#include "rpc/address.h"

#include <string.h>

int member_list_parse(struct member_list *list, const char *text,
                      struct error *why)
{
    char *rest;

    *list = (struct member_list){.text = memory_string(text)};
    for (char *item = strtok_r(list->text, ",", &rest); item;
         item = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(item, '=');
        struct address address;

        if (!equals || equals == item)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "--members: \"%s\" should be NAME=HOST:PORT",
                             item);
        if (address_parse(equals + 1, &address, why) != 0)
            return error_wrap(why, "--members: %.*s", (int)(equals - item),
                              item);
        if (list->count == RAFT_MEMBERS_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "--members: more than %d", RAFT_MEMBERS_MAX);
        *equals = '\0';
        list->members[list->count++] =
            (struct replica_member){.name = item, .address = equals + 1};
    }
    return 0;
}

void member_list_fini(struct member_list *list)
{
    free(list->text);
}

int member_list_find(const struct member_list *list, const char *name,
                     const char **address, struct error *why)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (strcmp(list->members[i].name, name) == 0) {
            *address = list->members[i].address;
            return 0;
        }
    }
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "--name %s is not among --members", name);
}
