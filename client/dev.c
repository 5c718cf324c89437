#include "client/dev.h"

#include "base/fd.h"
#include "base/map.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { STATE_MAX_BYTES = 1 << 20 };
enum { MASTER_PORT = 7400, MASTER_PORT_STEP = 10, NODE_PORT = 7500 };

unsigned dev_master_port(unsigned i)
{
    return MASTER_PORT + MASTER_PORT_STEP * i;
}

char *dev_master_address(char text[DEV_ADDRESS_MAX], unsigned i)
{
    snprintf(text, DEV_ADDRESS_MAX, "%s:%u", DEV_HOST, dev_master_port(i));
    return text;
}

char *dev_node_host(char text[DEV_ADDRESS_MAX], unsigned i)
{
    snprintf(text, DEV_ADDRESS_MAX, "10.77.0.%u", 11 + i);
    return text;
}

char *dev_node_address(char text[DEV_ADDRESS_MAX], unsigned i)
{
    snprintf(text, DEV_ADDRESS_MAX, "10.77.0.%u:%u", 11 + i, NODE_PORT);
    return text;
}

char *dev_node_netns(char text[DEV_ADDRESS_MAX], unsigned i)
{
    snprintf(text, DEV_ADDRESS_MAX, "kdev-n%u", i + 1);
    return text;
}

char *dev_cgroup(char text[DEV_ADDRESS_MAX], const struct dev *dev)
{
    uint64_t hash = map_hash_bytes(dev->folder, strlen(dev->folder));

    snprintf(text, DEV_ADDRESS_MAX, "kontor/dev-%08" PRIx32,
             (uint32_t)(hash ^ hash >> 32));
    return text;
}

int dev_folder(struct dev *dev, const char *given, bool make, struct error *why)
{
    const char *home = getenv("HOME");
    CLEANUP(free_pointer)
    char *path = given ? memory_string(given)
                       : memory_format("%s/.kontor/dev", home ? home : "");
    char resolved[PATH_MAX];

    if (make && folder_make(path, 0700, why) != 0)
        return (int)why->code;
    if (!realpath(path, resolved))
        return error_errno(why, "%s", path);
    if (strlen(resolved) >= sizeof dev->folder)
        return error_set(why, ERROR_INVALID_ARGUMENT, "%s is too long a path",
                         resolved);
    memcpy(dev->folder, resolved, strlen(resolved) + 1);
    return 0;
}

int dev_lock(const struct dev *dev, int *fd, struct error *why)
{
    int folder = open(dev->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0)
        return error_errno(why, "open %s", dev->folder);
    if (flock(folder, LOCK_EX | LOCK_NB) != 0) {
        close(folder);
        return error_set(why, ERROR_ABORTED,
                         "another kctl dev is at work in %s", dev->folder);
    }
    *fd = folder;
    return 0;
}

void dev_name_all(struct dev *dev)
{
    for (unsigned i = 0; i < dev->master_count; i++)
        snprintf(dev->masters[i].name, DEV_NAME_MAX, "m%u", i + 1);
    for (unsigned i = 0; i < dev->node_count; i++)
        snprintf(dev->nodes[i].name, DEV_NAME_MAX, "n%u", i + 1);
    snprintf(dev->relay.name, DEV_NAME_MAX, "relay");
}

static char *state_path(const struct dev *dev)
{
    return memory_format("%s/state.json", dev->folder);
}

/* ---- writing --------------------------------------------------------------
 */

static json_t *json_of_process(const struct dev_process *process,
                               const char *address, const char *netns)
{
    json_t *json = json_pack("{s:s,s:i,s:I}", "name", process->name, "pid",
                             (int)process->pid, "started_ticks",
                             (json_int_t)process->started_ticks);

    if (address)
        json_object_set_new(json, "address", json_string(address));
    if (netns)
        json_object_set_new(json, "netns", json_string(netns));
    return json;
}

json_t *dev_json(const struct dev *dev)
{
    char address[DEV_ADDRESS_MAX];
    char netns[DEV_ADDRESS_MAX];
    json_t *masters = json_array();
    json_t *nodes = json_array();

    for (unsigned i = 0; i < dev->master_count; i++)
        json_array_append_new(
            masters, json_of_process(&dev->masters[i],
                                     dev_master_address(address, i), NULL));
    for (unsigned i = 0; i < dev->node_count; i++)
        json_array_append_new(
            nodes, json_of_process(&dev->nodes[i], dev_node_address(address, i),
                                   dev_node_netns(netns, i)));
    return json_pack(
        "{s:o,s:o,s:o,s:i,s:b,s:I,s:s}", "masters", masters, "nodes", nodes,
        "relay", json_of_process(&dev->relay, NULL, NULL), "registry_port",
        (int)dev->registry_port, "forwarding", (int)dev->forwarding,
        "master_disk_bytes", (json_int_t)dev->master_disk_bytes, "cgroup",
        dev_cgroup(address, dev));
}

int dev_save(const struct dev *dev, struct error *why)
{
    CLEANUP(free_pointer) char *path = state_path(dev);
    json_t *json = dev_json(dev);
    char *text = json_dumps(json, JSON_INDENT(2));
    int code;

    code = file_replace(AT_FDCWD, path, text, strlen(text), 0600, why);
    free(text);
    json_decref(json);
    return code;
}

/* ---- reading --------------------------------------------------------------
 */

static void read_process(struct dev_process *process, const json_t *json)
{
    process->pid = (pid_t)json_integer_value(json_object_get(json, "pid"));
    process->started_ticks =
        (uint64_t)json_integer_value(json_object_get(json, "started_ticks"));
}

static int read_state(struct dev *dev, const json_t *json, struct error *why)
{
    const json_t *masters = json_object_get(json, "masters");
    const json_t *nodes = json_object_get(json, "nodes");

    if (json_array_size(masters) > DEV_MASTERS_MAX ||
        json_array_size(nodes) > DEV_NODES_MAX)
        return error_set(why, ERROR_DATA_LOSS, "too many masters or nodes");
    dev->master_count = (unsigned)json_array_size(masters);
    dev->node_count = (unsigned)json_array_size(nodes);
    for (unsigned i = 0; i < dev->master_count; i++)
        read_process(&dev->masters[i], json_array_get(masters, i));
    for (unsigned i = 0; i < dev->node_count; i++)
        read_process(&dev->nodes[i], json_array_get(nodes, i));
    read_process(&dev->relay, json_object_get(json, "relay"));
    dev->registry_port =
        (unsigned)json_integer_value(json_object_get(json, "registry_port"));
    dev->forwarding = json_is_true(json_object_get(json, "forwarding"));
    dev->master_disk_bytes = (uint64_t)json_integer_value(
        json_object_get(json, "master_disk_bytes"));
    dev_name_all(dev);
    return 0;
}

int dev_load(struct dev *dev, struct error *why)
{
    CLEANUP(free_pointer) char *path = state_path(dev);
    struct buffer bytes;
    json_error_t wrong;
    json_t *json;
    int code;

    buffer_init(&bytes, STATE_MAX_BYTES);
    if (file_read(AT_FDCWD, path, &bytes, why) != 0) {
        buffer_fini(&bytes);
        return (int)why->code;
    }
    json = json_loadb((const char *)buffer_data(&bytes), buffer_length(&bytes),
                      0, &wrong);
    if (!json)
        code = error_set(why, ERROR_DATA_LOSS, "%s: line %d: %s", path,
                         wrong.line, wrong.text);
    else if (read_state(dev, json, why) != 0)
        code = error_wrap(why, "%s", path);
    else
        code = 0;
    json_decref(json);
    buffer_fini(&bytes);
    return code;
}
