#include "client/pki_cluster.h"

#include "base/memory.h"
#include "client/config.h"

#include <string.h>
#include <unistd.h>

/* The host of HOST:PORT or [IPV6]:PORT; owned by the caller. */
static int split_host(const char *text, const char *address, char **host,
                      struct error *why)
{
    const char *colon = strrchr(address, ':');
    const char *start = address;
    const char *end = colon;
    char *rest;
    unsigned long port = colon ? strtoul(colon + 1, &rest, 10) : 0;

    if (!colon || port < 1 || port > 65535 || *rest || colon[1] < '0' ||
        colon[1] > '9')
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is not like NAME=HOST:PORT", text);
    if (start[0] == '[' && end > start && end[-1] == ']') {
        start++;
        end--;
    } else if (memchr(start, ':', (size_t)(end - start))) {
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\": write an IPv6 address like [::1]:PORT", text);
    }
    if (end <= start)
        return error_set(why, ERROR_INVALID_ARGUMENT, "\"%s\" names no host",
                         text);
    *host = memory_format("%.*s", (int)(end - start), start);
    return 0;
}

static int read_server(struct pki_server *server, const char *text,
                       struct error *why)
{
    const char *equals = strchr(text, '=');

    if (!equals || (size_t)(equals - text) >= sizeof server->name)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is not like NAME=HOST:PORT", text);
    memcpy(server->name, text, (size_t)(equals - text));
    server->address = equals + 1;
    if (pki_check_name(server->name, why) != 0)
        return (int)why->code;
    return split_host(text, server->address, &server->host, why);
}

static int read_servers(struct pki_server **out, size_t *count,
                        const struct option_strings *texts, struct error *why)
{
    *out = memory_array(texts->count + 1, sizeof **out);
    *count = texts->count;
    for (size_t i = 0; i < texts->count; i++)
        if (read_server(&(*out)[i], texts->values[i], why) != 0)
            return (int)why->code;
    return 0;
}

static const char *name_at(const struct pki_cluster *cluster, size_t i)
{
    return i < cluster->master_count
               ? cluster->masters[i].name
               : cluster->nodes[i - cluster->master_count].name;
}

static int check_unique(const struct pki_cluster *cluster, struct error *why)
{
    size_t count = cluster->master_count + cluster->node_count;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(name_at(cluster, i), name_at(cluster, j)) == 0)
                return error_set(why, ERROR_INVALID_ARGUMENT,
                                 "\"%s\" is there twice", name_at(cluster, i));
    return 0;
}

int pki_cluster_read(struct pki_cluster *cluster,
                     const struct option_strings *masters,
                     const struct option_strings *nodes, struct error *why)
{
    int code = 0;

    if (cluster->days < 1 || cluster->days > PKI_DAYS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--days: from 1 to %d days", PKI_DAYS_MAX);
    if (masters->count > CONFIG_MASTERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--master: at most %d masters", CONFIG_MASTERS_MAX);
    if (read_servers(&cluster->masters, &cluster->master_count, masters, why) ||
        read_servers(&cluster->nodes, &cluster->node_count, nodes, why) ||
        check_unique(cluster, why))
        code = (int)why->code;
    if (code != 0)
        pki_cluster_fini(cluster);
    return code;
}

static void free_servers(struct pki_server *servers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(servers[i].host);
    free(servers);
}

void pki_cluster_fini(struct pki_cluster *cluster)
{
    free_servers(cluster->masters, cluster->master_count);
    free_servers(cluster->nodes, cluster->node_count);
    cluster->masters = NULL;
    cluster->nodes = NULL;
    cluster->master_count = 0;
    cluster->node_count = 0;
}

static void tell(const struct pki_cluster *cluster, const char *name,
                 const char *role, bool made)
{
    if (cluster->told)
        cluster->told(cluster->data, name, role, made);
}

static int issue(const struct pki_cluster *cluster, const struct pki *pki,
                 const struct pki_subject *subject, struct error *why)
{
    bool made = false;

    if (pki_issue(pki, subject, &made, why) != 0)
        return (int)why->code;
    tell(cluster, subject->name, rpc_role_name(subject->role), made);
    return 0;
}

static int issue_servers(const struct pki_cluster *cluster,
                         const struct pki *pki, enum rpc_role role,
                         struct error *why)
{
    bool masters = role == RPC_ROLE_MASTER;
    const struct pki_server *servers =
        masters ? cluster->masters : cluster->nodes;
    size_t count = masters ? cluster->master_count : cluster->node_count;

    for (size_t i = 0; i < count; i++) {
        struct pki_subject subject = {
            .name = servers[i].name,
            .role = role,
            .host = servers[i].host,
            .days = (unsigned)cluster->days,
        };

        if (issue(cluster, pki, &subject, why) != 0)
            return (int)why->code;
    }
    return 0;
}

/* Add a master, or give the one of that name its address of now. */
static int config_set(struct config *config, const struct pki_server *server,
                      struct error *why)
{
    struct config_master *master = config->masters;
    const struct config_master *end = master + config->master_count;

    while (master < end && strcmp(master->name, server->name) != 0)
        master++;
    if (master == config->masters + CONFIG_MASTERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "config.json names %d masters already",
                         CONFIG_MASTERS_MAX);
    if (master == end) {
        master->name = memory_string(server->name);
        config->master_count++;
    }
    free(master->address);
    master->address = memory_string(server->address);
    return 0;
}

/* config.json with the masters that it names already and those given. */
static int write_config(const struct pki_cluster *cluster, struct error *why)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/config.json", cluster->folder);
    struct config config = {0};
    int code = 0;

    if (access(path, F_OK) == 0) {
        if (config_load(&config, path, why) != 0)
            return (int)why->code;
    } else {
        config.identity = memory_string("admin");
    }
    free(config.pki); /* as it was resolved */
    config.pki = memory_string(".");
    for (size_t i = 0; i < cluster->master_count && code == 0; i++)
        code = config_set(&config, &cluster->masters[i], why);
    if (code == 0)
        code = config_save(&config, path, why);
    config_fini(&config);
    return code;
}

static int make_all(struct pki_cluster *cluster, const struct pki *pki,
                    struct error *why)
{
    struct pki_subject admin = {.name = "admin",
                                .role = RPC_ROLE_ADMIN,
                                .days = (unsigned)cluster->days};
    struct pki_subject viewer = {.name = "viewer",
                                 .role = RPC_ROLE_VIEWER,
                                 .days = (unsigned)cluster->days};

    tell(cluster, "ca", "", pki->made);
    if (issue_servers(cluster, pki, RPC_ROLE_MASTER, why) != 0 ||
        issue_servers(cluster, pki, RPC_ROLE_NODE, why) != 0 ||
        issue(cluster, pki, &admin, why) != 0 ||
        issue(cluster, pki, &viewer, why) != 0)
        return (int)why->code;
    return write_config(cluster, why);
}

int pki_cluster_make(struct pki_cluster *cluster, struct error *why)
{
    CLEANUP(free_pointer)
    char *ca = memory_format("%s/ca.crt", cluster->folder);
    struct pki pki = {0};
    int code;

    if (cluster->master_count == 0 && access(ca, F_OK) != 0)
        code = error_set(why, ERROR_INVALID_ARGUMENT,
                         "a new cluster needs at least one --master");
    else
        code = pki_open(&pki, cluster->folder, why);
    if (code == 0) {
        code = make_all(cluster, &pki, why);
        pki_close(&pki);
    }
    pki_cluster_fini(cluster);
    return code;
}
