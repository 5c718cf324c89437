/* identity.h - who a peer is, as its certificate says.
 *
 * A certificate's subject is O=kontor, OU=<role>, CN=<name>, where role is
 * master, node, admin or viewer. */
#pragma once

enum rpc_role {
    RPC_ROLE_NONE = 0,
    RPC_ROLE_MASTER = 1 << 0,
    RPC_ROLE_NODE = 1 << 1,
    RPC_ROLE_ADMIN = 1 << 2,
    RPC_ROLE_VIEWER = 1 << 3,
};

enum { RPC_NAME_MAX = 64 };

struct rpc_identity {
    enum rpc_role role;
    char name[RPC_NAME_MAX]; /* terminated */
};

/* "master" and so on, "none" for what is no single role. */
const char *rpc_role_name(enum rpc_role role);

/* RPC_ROLE_NONE for any other text. */
enum rpc_role rpc_role_parse(const char *text);
