#include "node/options.h"

#include "base/feature.h"
#include "base/memory.h"
#include "rpc/address.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define UNSET UINT64_MAX

enum {
    LOG_LIMIT_DEFAULT_BYTES = 10 << 20,
    IMAGE_KEEP_DEFAULT_MS = 7 * 24 * 3600 * 1000,
};

/* What the table's options are read into, before it is made sense of. */
struct raw {
    struct node_options options;
    const char *masters;
    const char *overlay;
    uint32_t cpu_milli;
    uint64_t memory_bytes, disk_bytes, net_bits;
    uint32_t reserve_cpu_milli;
    uint64_t reserve_memory_bytes, reserve_disk_bytes;
    struct option_strings labels;
};

static void print_help(const struct option *table)
{
    printf(
        "knode --name n1 --listen 10.0.0.5:7500 --masters "
        "10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400 \\\n"
        "      --data /var/lib/kontor --pki /etc/kontor/pki\n\n"
        "knode runs pods on this machine, as the masters order.\n\n"
        "usage: knode --name NAME --listen HOST:PORT --masters "
        "HOST:PORT,... --data DIR --pki DIR [OPTIONS]\n"
        "       knode remove --data DIR    stop all pods and leave nothing\n\n"
        "What is offered is what the machine has less a reserve: 5 %% of the\n"
        "processors (at least 100m, at most 1), of memory (at least 128Mi, at\n"
        "most 2Gi) and of the disk (at most 10Gi). --cpu, --mem, --disk and\n"
        "--net say instead what is offered, whole. Pods go on running while\n"
        "knode is stopped; started again, it finds them.\n\noptions:\n");
    options_print(table, stdout);
}

static char *own(struct node_options *options, char *taken)
{
    assert(options->owned_count < NODE_OPTIONS_OWNED_MAX);
    options->owned[options->owned_count++] = taken;
    return taken;
}

void node_options_fini(struct node_options *options)
{
    while (options->owned_count > 0)
        free(options->owned[--options->owned_count]);
}

/* Beside our own program: where the build and the packages put it. */
static char *beside(const char *program)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (length <= 0)
        return memory_format("/usr/local/bin/%s", program);
    self[length] = '\0';
    slash = strrchr(self, '/');
    return memory_format("%.*s/%s", (int)(slash - self), self, program);
}

static int check_name(const char *name, struct error *why)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) &&
            (i == 0 || i + 1 == length || !strchr("-.", name[i])))
            length = 0;
    if (length == 0 || length > NODE_NAME_MAX || strstr(name, ".."))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--name %s: a name is 1 to %d letters, digits, - and "
                         ".",
                         name, NODE_NAME_MAX);
    return 0;
}

static int check_address(const char *option, const char *value,
                         struct error *why)
{
    struct address address;

    if (address_parse(value, &address, why) != 0)
        return error_wrap(why, "--%s", option);
    return 0;
}

static int check_net_name(const char *option, const char *name, int max,
                          struct error *why)
{
    if (net_is_name(name, (size_t)max))
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "--%s \"%.80s\": a name is 1 to %d letters, digits, _ "
                     "and -",
                     option, name, max);
}

/* Words of letters, digits, _ - and . between slashes; none is . or .. */
static int check_cgroup(const char *path, struct error *why)
{
    bool good = strlen(path) <= NODE_CGROUP_MAX;
    bool named = false; /* the word at hand has more than dots */

    for (const char *at = path; good; at++) {
        if (*at == '/' || *at == '\0')
            good = named;
        else
            good = isalnum((unsigned char)*at) || strchr("_-.", *at);
        if (*at == '\0')
            break;
        named = *at != '/' && (named || *at != '.');
    }
    if (!good)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--cgroup \"%.80s\": a path such as kontor/n1, at "
                         "most %d letters, digits, _ - . and /",
                         path, NODE_CGROUP_MAX);
    return 0;
}

static int split_masters(struct raw *raw, struct error *why)
{
    struct node_options *options = &raw->options;
    char *list = own(options, memory_string(raw->masters));
    char *rest = NULL;

    for (char *at = strtok_r(list, ",", &rest); at;
         at = strtok_r(NULL, ",", &rest)) {
        if (options->master_count == NODE_MASTERS_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "--masters: more than %d", NODE_MASTERS_MAX);
        if (check_address("masters", at, why) != 0)
            return (int)why->code;
        options->masters[options->master_count++] = at;
    }
    if (options->master_count == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--masters is empty: name at least one HOST:PORT");
    return 0;
}

static int check_present(const struct raw *raw, struct error *why)
{
    const struct {
        const char *option;
        const char *value;
    } needed[] = {
        {"--name NAME", raw->options.name},
        {"--listen HOST:PORT", raw->options.listen},
        {"--masters HOST:PORT,...", raw->masters},
        {"--data DIR", raw->options.data},
        {"--pki DIR", raw->options.pki},
    };

    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (!needed[i].value || !needed[i].value[0])
            return error_set(why, ERROR_INVALID_ARGUMENT, "%s is missing",
                             needed[i].option);
    return 0;
}

static struct capacity_wish wish(uint64_t value, uint64_t unset)
{
    return (struct capacity_wish){value != unset, value};
}

static void take_wishes(struct raw *raw)
{
    raw->options.capacity = (struct capacity_wishes){
        .cpu_milli = wish(raw->cpu_milli, UINT32_MAX),
        .memory_bytes = wish(raw->memory_bytes, UNSET),
        .disk_bytes = wish(raw->disk_bytes, UNSET),
        .net_bits = wish(raw->net_bits, UNSET),
        .reserve_cpu_milli = wish(raw->reserve_cpu_milli, UINT32_MAX),
        .reserve_memory_bytes = wish(raw->reserve_memory_bytes, UNSET),
        .reserve_disk_bytes = wish(raw->reserve_disk_bytes, UNSET),
    };
}

/* What was not given, but what is needed. */
static void set_defaults(struct node_options *options)
{
    if (!options->cgroup)
        options->cgroup =
            own(options, memory_format("kontor/%s", options->name));
    if (!options->table)
        options->table = options->bridge;
    if (!options->kpod)
        options->kpod = own(options, beside("kpod"));
    if (!options->kpull)
        options->kpull = own(options, beside("kpull"));
    if (!options->advertise)
        options->advertise = options->listen;
}

/* Some are for what knode tells by itself. */
static int check_labels(const struct label *labels, size_t count,
                        struct error *why)
{
    if (count > LABELS_MAX - FEATURE_COUNT)
        return error_set(why, ERROR_INVALID_ARGUMENT, "%zu labels: at most %d",
                         count, LABELS_MAX - FEATURE_COUNT);
    for (size_t i = 0; i < count; i++)
        if (strncmp(labels[i].key, FEATURE_PREFIX, strlen(FEATURE_PREFIX)) == 0)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "label %s: %s... are knode's own", labels[i].key,
                             FEATURE_PREFIX);
    return 0;
}

static int make_sense(struct raw *raw, struct error *why)
{
    struct node_options *options = &raw->options;

    if (check_present(raw, why) != 0 || check_name(options->name, why) != 0)
        return (int)why->code;
    set_defaults(options);
    if (check_address("listen", options->listen, why) != 0 ||
        check_address("advertise", options->advertise, why) != 0 ||
        split_masters(raw, why) != 0 ||
        check_cgroup(options->cgroup, why) != 0 ||
        check_net_name("bridge", options->bridge, NET_BRIDGE_MAX, why) != 0 ||
        check_net_name("table", options->table, NET_TABLE_MAX, why) != 0 ||
        labels_parse(raw->labels.values, raw->labels.count, options->labels,
                     why) != 0 ||
        check_labels(options->labels, raw->labels.count, why) != 0)
        return (int)why->code;
    if (net_overlay_parse(raw->overlay, &options->overlay, why) != 0)
        return error_wrap(why, "--overlay");
    options->label_count = raw->labels.count;
    take_wishes(raw);
    return 0;
}

static int parse_table(struct raw *raw, int argc, char **argv, bool *help,
                       struct error *why)
{
    struct node_options *to = &raw->options;
    const struct option table[] = {
        {"name", OPTION_STRING, &to->name, "NAME", "as in its certificate"},
        {"listen", OPTION_STRING, &to->listen, "HOST:PORT",
         "where the masters reach this node"},
        {"advertise", OPTION_STRING, &to->advertise, "HOST:PORT",
         "where, if it is not what it listens on"},
        {"masters", OPTION_STRING, &raw->masters, "HOST:PORT,...",
         "all of them; any will do to register"},
        {"data", OPTION_STRING, &to->data, "DIR", "images, pods, state"},
        {"pki", OPTION_STRING, &to->pki, "DIR",
         "ca.crt, NAME.crt and NAME.key"},
        {"cpu", OPTION_CPU, &raw->cpu_milli, "N", "processors to offer"},
        {"mem", OPTION_BYTES, &raw->memory_bytes, "N", "memory to offer"},
        {"disk", OPTION_BYTES, &raw->disk_bytes, "N", "disk to offer"},
        {"net", OPTION_NET, &raw->net_bits, "N",
         "bandwidth to offer (the network card's speed, if it says one)"},
        {"reserve-cpu", OPTION_CPU, &raw->reserve_cpu_milli, "N",
         "processors kept for the machine itself"},
        {"reserve-mem", OPTION_BYTES, &raw->reserve_memory_bytes, "N",
         "memory kept"},
        {"reserve-disk", OPTION_BYTES, &raw->reserve_disk_bytes, "N",
         "disk kept"},
        {"label", OPTION_STRINGS, &raw->labels, "KEY=VALUE",
         "a label; may be repeated"},
        {"insecure-registry", OPTION_STRINGS, &to->insecure, "HOST:PORT",
         "speak http to this registry; may be repeated"},
        {"cgroup", OPTION_STRING, &to->cgroup, "PATH",
         "group of the pods' groups (kontor/NAME)"},
        {"bridge", OPTION_STRING, &to->bridge, "NAME",
         "bridge of the pods (kontor0)"},
        {"table", OPTION_STRING, &to->table, "NAME",
         "nftables table (as the bridge)"},
        {"overlay", OPTION_STRING, &raw->overlay, "WHEN",
         "tunnels to other nodes: auto, never or always (auto: to those that "
         "are no neighbours)"},
        {"kpod", OPTION_STRING, &to->kpod, "FILE",
         "the supervisor (beside knode)"},
        {"kpull", OPTION_STRING, &to->kpull, "FILE",
         "the image puller (beside knode)"},
        {"log-limit", OPTION_BYTES, &to->log_limit_bytes, "N",
         "size of a pod's log file, of which two are kept (10M)"},
        {"image-keep", OPTION_DURATION, &to->image_keep_ms, "DURATION",
         "remove images unused for so long (168h; 0s: only when the disk is "
         "nearly full)"},
        {0},
    };
    struct operands operands;

    if (options_parse(table, argc, argv, &operands, help, why) != 0)
        return (int)why->code;
    if (*help) {
        print_help(table);
        return 0;
    }
    if (operands.count > 0 || operands.rest)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is one word too many",
                         operands.count > 0 ? operands.values[0] : "--");
    return 0;
}

int node_options_parse(struct node_options *out, int argc, char **argv,
                       bool *help, struct error *why)
{
    struct raw *raw = memory_new(sizeof *raw);

    *help = false;
    error_clear(why);
    raw->options.bridge = "kontor0";
    raw->overlay = "auto";
    raw->options.log_limit_bytes = LOG_LIMIT_DEFAULT_BYTES;
    raw->options.image_keep_ms = IMAGE_KEEP_DEFAULT_MS;
    raw->cpu_milli = UINT32_MAX;
    raw->memory_bytes = UNSET;
    raw->disk_bytes = UNSET;
    raw->net_bits = UNSET;
    raw->reserve_cpu_milli = UINT32_MAX;
    raw->reserve_memory_bytes = UNSET;
    raw->reserve_disk_bytes = UNSET;
    if (parse_table(raw, argc, argv, help, why) == 0 && !*help &&
        make_sense(raw, why) == 0)
        *out = raw->options;
    else
        node_options_fini(&raw->options);
    free(raw);
    return (int)why->code;
}
