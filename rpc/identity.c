#include "rpc/identity.h"

#include "base/lang.h"

#include <string.h>

static const struct {
    enum rpc_role role;
    const char *name;
} roles[] = {
    {RPC_ROLE_MASTER, "master"},
    {RPC_ROLE_NODE, "node"},
    {RPC_ROLE_ADMIN, "admin"},
    {RPC_ROLE_VIEWER, "viewer"},
};

const char *rpc_role_name(enum rpc_role role)
{
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "none";
}

enum rpc_role rpc_role_parse(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (strcmp(roles[i].name, text) == 0)
            return roles[i].role;
    return RPC_ROLE_NONE;
}
