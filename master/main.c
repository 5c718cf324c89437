/* kmaster - one of the cluster's masters. */
#include "base/exit.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/options.h"
#include "master/backup.h"
#include "master/join.h"
#include "master/master.h"
#include "master/member_list.h"
#include "raft/store.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum {
    /* For calls under way, which take a few ms. Not more: while a leader
     * drains, the others hear less and less of it and cannot replace it yet;
     * what is cut off is sent again to the next leader. */
    DRAIN_MS = 50,
    TIMEOUT_MIN_MS = 20,
    LEASE_DRIFT_MAX_PERMILLE = 500,
    NOFILE_WANTED = 65536,
};

/* For jemalloc, which reads it: what was freed goes back to the system after a
 * second, not ten; else a leader under load seems to grow (jemalloc(3)). */
extern const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:1000";

static const char usage[] =
    "Example, the first of three:\n"
    "\n"
    "  kmaster --name m1 --data /var/lib/kontor/m1 --pki /etc/kontor \\\n"
    "    --members m1=10.0.0.1:7400,m2=10.0.0.2:7400,m3=10.0.0.3:7400\n"
    "\n"
    "Runs one master of a cluster: its replica of the log, placement, orders\n"
    "to the nodes, and the service that kctl speaks to.\n"
    "\n"
    "When things are lost, see deploy/RECOVERY.md:\n"
    "\n"
    "  kmaster restore FILE ...   make a new cluster of a backup\n"
    "  kmaster recover ...        go on alone when the quorum is lost\n"
    "\n";

struct command_line {
    const char *name;
    const char *members;
    const char *data;
    const char *pki;
    const char *listen;
    const char *pod_network;
    uint64_t election_timeout_ms;
    uint64_t heartbeat_ms;
    uint64_t suspect_after_ms;
    uint64_t lost_after_ms;
    uint64_t snapshot_entries;
    uint64_t lease_drift_permille;
    bool join;
    bool version;
};

struct program {
    uv_loop_t loop;
    uv_signal_t term;
    uv_signal_t interrupt;
    struct master *master;
    struct tls_context *tls;
    struct member_list members;
    struct join_members joined;
    bool closing;
};

static int parse_line(struct command_line *line, int argc, char **argv,
                      bool *done, struct error *why)
{
    const struct option options[] = {
        {"name", OPTION_STRING, &line->name, "NAME",
         "this master's name, as in --members and its certificate"},
        {"members", OPTION_STRING, &line->members, "NAME=HOST:PORT,...",
         "all masters of the cluster, this one too"},
        {"data", OPTION_STRING, &line->data, "DIR",
         "the log and the snapshots; made when missing"},
        {"pki", OPTION_STRING, &line->pki, "DIR",
         "holds ca.crt, NAME.crt and NAME.key"},
        {"listen", OPTION_STRING, &line->listen, "HOST:PORT",
         "where to listen (this master's address in --members)"},
        {"election-timeout", OPTION_DURATION, &line->election_timeout_ms,
         "TIME", "without a leader for so long: elect one (150ms)"},
        {"heartbeat", OPTION_DURATION, &line->heartbeat_ms, "TIME",
         "between the leader's signs of life (50ms)"},
        {"suspect-after", OPTION_DURATION, &line->suspect_after_ms, "TIME",
         "a node silent for so long gets no more pods (2s)"},
        {"lost-after", OPTION_DURATION, &line->lost_after_ms, "TIME",
         "its pods are placed anew (4s); four times that while its machine "
         "refuses connections, and while most nodes are silent"},
        {"snapshot-entries", OPTION_NUMBER, &line->snapshot_entries, "N",
         "entries of the log between two snapshots (50000); 8 MiB of "
         "them are enough, too"},
        {"pod-network", OPTION_STRING, &line->pod_network, "ADDRESS/PREFIX",
         "the pods' addresses, a /24 a node (10.42.0.0/16)"},
        {"join", OPTION_FLAG, &line->join, NULL,
         "be a new master of a cluster that runs; see kctl masters add"},
        {"lease-drift", OPTION_NUMBER, &line->lease_drift_permille, "N",
         "read by lease: no two clocks differ by more than so many thousandths "
         "in an election timeout (0: reads ask a quorum)"},
        {"version", OPTION_FLAG, &line->version, NULL, "print the version"},
        {0},
    };
    struct operands operands;
    bool help = false;

    if (options_parse(options, argc, argv, &operands, &help, why) != 0)
        return why->code;
    *done = help || line->version;
    if (help) {
        fputs(usage, stdout);
        options_print(options, stdout);
    } else if (line->version) {
        puts("kmaster " KONTOR_VERSION);
    }
    if (operands.count > 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is not understood", operands.values[0]);
    return 0;
}

static int check_line(const struct command_line *line, struct error *why)
{
    const struct {
        const char *option;
        const char *value;
    } needed[] = {
        {"name", line->name},
        {"members", line->members},
        {"data", line->data},
        {"pki", line->pki},
    };

    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        if (!needed[i].value)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "--%s is missing; kmaster --help shows an "
                             "example",
                             needed[i].option);
    }
    if (line->heartbeat_ms == 0 || line->election_timeout_ms < TIMEOUT_MIN_MS ||
        line->heartbeat_ms * 2 > line->election_timeout_ms)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--election-timeout must be %d ms or more, and twice "
                         "--heartbeat or more",
                         TIMEOUT_MIN_MS);
    if (line->suspect_after_ms < 1000 ||
        line->lost_after_ms < line->suspect_after_ms)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--suspect-after must be 1 s or more, and "
                         "--lost-after not shorter");
    if (line->lease_drift_permille >= LEASE_DRIFT_MAX_PERMILLE)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--lease-drift must be less than %d thousandths",
                         LEASE_DRIFT_MAX_PERMILLE);
    return 0;
}

static int load_identity(struct program *program,
                         const struct command_line *line, struct error *why)
{
    const struct rpc_identity *self;

    if (tls_context_new(&program->tls, line->pki, line->name, why) != 0)
        return why->code;
    self = tls_context_identity(program->tls);
    if (self->role != RPC_ROLE_MASTER || strcmp(self->name, line->name) != 0)
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "certificate %s/%s.crt is for %s %s, not for master "
                         "%s",
                         line->pki, line->name, rpc_role_name(self->role),
                         self->name, line->name);
    return 0;
}

/* A connection to every node, client and master is a file. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur < NOFILE_WANTED)
        limit.rlim_cur =
            limit.rlim_max < NOFILE_WANTED ? limit.rlim_max : NOFILE_WANTED;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("the limit of open files stays as it is");
}

/* ---- running ---- */

static void on_closed(void *data)
{
    struct program *program = data;

    uv_close((uv_handle_t *)&program->term, NULL);
    uv_close((uv_handle_t *)&program->interrupt, NULL);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct program *program = signal->data;

    if (program->closing)
        return;
    program->closing = true;
    log_info("signal %d: draining", number);
    master_close(program->master, DRAIN_MS, on_closed, program);
}

static void watch_signals(struct program *program)
{
    signal(SIGPIPE, SIG_IGN);
    uv_signal_init(&program->loop, &program->term);
    uv_signal_init(&program->loop, &program->interrupt);
    program->term.data = program;
    program->interrupt.data = program;
    uv_signal_start(&program->term, on_signal, SIGTERM);
    uv_signal_start(&program->interrupt, on_signal, SIGINT);
}

/* Begin as what the cluster says that this master is. */
static int join_cluster(struct program *program,
                        const struct command_line *line,
                        struct master_config *config, struct error *why)
{
    if (join_wait(program->members.members, program->members.count, line->name,
                  program->tls, &program->joined, why) != 0)
        return why->code;
    config->members = program->joined.members;
    config->member_count = program->joined.count;
    return 0;
}

static int prepare(struct program *program, const struct command_line *line,
                   struct master_config *config, struct error *why)
{
    const char *address = NULL;

    if (check_line(line, why) != 0 ||
        member_list_parse(&program->members, line->members, why) != 0 ||
        member_list_find(&program->members, line->name, &address, why) != 0 ||
        pod_network_parse(line->pod_network, &config->pod_network, why) != 0 ||
        load_identity(program, line, why) != 0 ||
        folder_make(line->data, 0700, why) != 0)
        return why->code;
    config->name = line->name;
    config->listen = line->listen ? line->listen : address;
    config->folder = line->data;
    config->members = program->members.members;
    config->member_count = program->members.count;
    config->tls = program->tls;
    config->lease_drift_permille = (unsigned)line->lease_drift_permille;
    config->election_timeout_ms = line->election_timeout_ms;
    config->heartbeat_ms = line->heartbeat_ms;
    config->suspect_after_ms = line->suspect_after_ms;
    config->lost_after_ms = line->lost_after_ms;
    config->snapshot_entries = line->snapshot_entries;
    if (line->join && !store_exists(line->data))
        return join_cluster(program, line, config, why);
    return 0;
}

static int run(const struct command_line *line, struct error *why)
{
    static struct program program;
    struct master_config config = {0};

    if (prepare(&program, line, &config, why) != 0)
        return why->code;
    raise_file_limit();
    uv_loop_init(&program.loop);
    watch_signals(&program);
    if (master_open(&program.master, &program.loop, &config, why) != 0)
        return why->code;
    log_info("kmaster " KONTOR_VERSION " %s listens on %s", line->name,
             config.listen);
    uv_run(&program.loop, UV_RUN_DEFAULT);
    uv_loop_close(&program.loop);
    tls_context_free(program.tls);
    member_list_fini(&program.members);
    return 0;
}

int main(int argc, char **argv)
{
    struct command_line line = {
        .pod_network = "10.42.0.0/16",
        .election_timeout_ms = 150,
        .heartbeat_ms = 50,
        .suspect_after_ms = 2000,
        .lost_after_ms = 4000,
    };
    struct error why = {0};
    bool done = false;

    if (argc > 1 && strcmp(argv[1], "restore") == 0)
        return backup_restore_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "recover") == 0)
        return backup_recover_main(argc - 1, argv + 1);
    if (parse_line(&line, argc, argv, &done, &why) != 0) {
        fprintf(stderr, "kmaster: %s\n", why.message);
        return EXIT_CODE_USAGE;
    }
    if (done)
        return EXIT_CODE_DONE;
    if (run(&line, &why) != 0)
        log_error("%s", why.message);
    return exit_code_of((int)why.code);
}
