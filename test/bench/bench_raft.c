/* bench_raft.c - three members as three processes, without the API above.
 *
 *   bench_raft [FOLDER]
 *
 * Prints how long one commit takes, how many go through with many under way,
 * and how long after a kill -9 of the leader the next one is acknowledged.
 * FOLDER (default: here) decides which disk is measured; a folder made in it
 * is removed again. */
#include "base/clock.h"
#include "base/compare.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "raft/replica.h"
#include "rpc/tls.h"
#include "test/unit/free_address.h"
#include "test/unit/pki_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MEMBERS = 3,
    COMMAND_BYTES = 150, /* about one pod */
    SINGLES = 2000,
    MANY = 60000,
    UNDER_WAY = 256,
    KILLS = 10,
};

/* What a member tells the parent, in one piece. */
struct report {
    enum { FOLLOWS, LEADS, MEASURED } what;
    int member;
    uint64_t at_ns;
};

static struct replica_member all[MEMBERS];
static char addresses[MEMBERS][FREE_ADDRESS_MAX];
static char folder[4096];
static struct pki_fixture pki;
static int reports[2];

/* ---- a member ---- */

struct asked {
    struct replica_proposal proposal;
    struct node *node;
    uint64_t asked_ns;
};

struct node {
    int id;
    bool measure; /* when it leads */
    bool leading;
    bool following;
    struct replica *replica;
    unsigned to_ask;
    unsigned under_way;
    unsigned done;
    uint64_t start_ns;
    uint64_t *latency_ns;
    struct asked asked[UNDER_WAY];
};

static int machine_save(void *data, int fd, struct error *why)
{
    (void)data;
    return fd_write_all(fd, "state", 5, why);
}

static int machine_load(void *data, int fd, uint64_t index, void **loaded,
                        struct error *why)
{
    (void)data;
    (void)fd;
    (void)index;
    (void)why;
    *loaded = NULL;
    return 0;
}

static void *machine_exchange(void *data, void *loaded)
{
    (void)data;
    return loaded;
}

static void tell(const struct node *node, int what)
{
    struct report report = {.member = node->id, .at_ns = clock_monotonic_ns()};

    report.what = what;
    if (write(reports[1], &report, sizeof report) != sizeof report)
        _exit(EXIT_FAILURE);
}

/* A follower that has applied all of its log has caught up. */
static void machine_apply(void *data, uint64_t index, const uint8_t *bytes,
                          size_t length)
{
    struct node *node = data;
    struct replica_status status = replica_status(node->replica);

    (void)bytes;
    (void)length;
    if (node->following || status.role != RAFT_FOLLOWER ||
        index != status.last_index)
        return;
    node->following = true;
    tell(node, FOLLOWS);
}

static double at_us(const struct node *node, size_t place)
{
    return (double)node->latency_ns[place] / 1e3;
}

static void print_result(const struct node *node, unsigned parallel)
{
    double seconds = (double)(clock_monotonic_ns() - node->start_ns) / 1e9;
    size_t count = node->done;

    qsort(node->latency_ns, count, sizeof *node->latency_ns, compare_u64);
    printf("%4u under way: %8.0f commits/s; p50 %.0f us, p99 %.0f us,"
           " max %.0f us\n",
           parallel, node->done / seconds, at_us(node, count / 2),
           at_us(node, count * 99 / 100), at_us(node, count - 1));
    fflush(stdout);
}

static void on_done(struct replica_proposal *proposal, uint64_t index,
                    const struct error *why);

static void ask(struct asked *asked)
{
    static const uint8_t command[COMMAND_BYTES];
    struct node *node = asked->node;

    node->to_ask--;
    node->under_way++;
    asked->proposal.done = on_done;
    asked->asked_ns = clock_monotonic_ns();
    replica_propose(node->replica, &asked->proposal, command, sizeof command);
}

static void begin(struct node *node, unsigned count, unsigned parallel)
{
    node->to_ask = count;
    node->done = 0;
    node->start_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < parallel; i++) {
        node->asked[i].node = node;
        ask(&node->asked[i]);
    }
}

/* One commit after an election; one at a time; many. */
static void next_phase(struct node *node)
{
    if (node->done == 1) {
        tell(node, LEADS);
        if (node->measure)
            begin(node, SINGLES, 1);
    } else if (node->done == SINGLES) {
        print_result(node, 1);
        begin(node, MANY, UNDER_WAY);
    } else {
        print_result(node, UNDER_WAY);
        tell(node, MEASURED);
    }
}

static void on_done(struct replica_proposal *proposal, uint64_t index,
                    const struct error *why)
{
    struct asked *asked = container_of(proposal, struct asked, proposal);
    struct node *node = asked->node;

    (void)index;
    if (why->code)
        return;
    node->latency_ns[node->done++] = clock_monotonic_ns() - asked->asked_ns;
    node->under_way--;
    if (node->to_ask > 0)
        ask(asked);
    else if (node->under_way == 0)
        next_phase(node);
}

static void machine_changed(void *data)
{
    struct node *node = data;
    struct replica_status status = replica_status(node->replica);

    if (status.ready && !node->leading) {
        node->leading = true;
        begin(node, 1, 1);
    }
}

static _Noreturn void run_member(int id, bool measure)
{
    struct node *node = memory_new(sizeof *node);
    CLEANUP(free_pointer)
    char *place = memory_format("%s/m%d", folder, id + 1);
    struct replica_config config = {
        .name = all[id].name,
        .folder = place,
        .members = all,
        .member_count = MEMBERS,
        .machine = {machine_apply, machine_save, machine_load, machine_exchange,
                    free, machine_changed, node},
    };
    struct server *server;
    uv_loop_t loop;
    struct error why;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    log_set_level(LOG_LEVEL_WARN);
    node->id = id;
    node->measure = measure;
    node->latency_ns = memory_array(MANY, sizeof *node->latency_ns);
    uv_loop_init(&loop);
    if (tls_context_new(&config.tls, pki.folder, config.name, &why) != 0 ||
        server_open(&server, &loop, all[id].address, config.tls,
                    &(struct server_limits){0}, &why) != 0 ||
        replica_open(&node->replica, &loop, server, &config, &why) != 0) {
        fprintf(stderr, "bench_raft: %s\n", why.message);
        _exit(EXIT_FAILURE);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    _exit(EXIT_SUCCESS);
}

/* ---- the parent ---- */

static pid_t start(int id, bool measure)
{
    pid_t child = fork();

    if (child == 0)
        run_member(id, measure);
    return child;
}

/* The next report of that kind, from `member` or from any (-1). */
static struct report wait_report(int what, int member)
{
    struct report report;

    do {
        if (read(reports[0], &report, sizeof report) != sizeof report) {
            fprintf(stderr, "bench_raft: the members are gone\n");
            exit(EXIT_FAILURE);
        }
    } while ((int)report.what != what ||
             (member >= 0 && report.member != member));
    return report;
}

static void measure_kills(pid_t children[MEMBERS], int leader)
{
    double gaps_ms[KILLS];
    double sum = 0;
    double worst = 0;

    for (int i = 0; i < KILLS; i++) {
        uint64_t start_ns = clock_monotonic_ns();
        int dead = leader;
        struct report next;

        kill(children[dead], SIGKILL);
        next = wait_report(LEADS, -1);
        gaps_ms[i] = (double)(next.at_ns - start_ns) / 1e6;
        waitpid(children[dead], NULL, 0);
        leader = next.member;
        children[dead] = start(dead, false);
        wait_report(FOLLOWS, dead);
        sum += gaps_ms[i];
        worst = gaps_ms[i] > worst ? gaps_ms[i] : worst;
    }
    printf("kill -9 of the leader to the next commit, %d times:"
           " mean %.1f ms, max %.1f ms\n",
           KILLS, sum / KILLS, worst);
}

static void choose_address(int id)
{
    static const char *const names[MEMBERS] = {"m1", "m2", "m3"};

    free_address(addresses[id]);
    all[id] = (struct replica_member){
        .name = names[id],
        .address = addresses[id],
    };
    pki_fixture_issue(&pki, names[id], "master");
}

int main(int argc, char **argv)
{
    pid_t children[MEMBERS];
    struct error why;

    snprintf(folder, sizeof folder, "%s/bench_raft.XXXXXX",
             argc > 1 ? argv[1] : ".");
    if (!mkdtemp(folder) || pipe2(reports, O_CLOEXEC) != 0) {
        perror("bench_raft");
        return EXIT_FAILURE;
    }
    pki_fixture_init(&pki);
    for (int i = 0; i < MEMBERS; i++)
        choose_address(i);
    for (int i = 0; i < MEMBERS; i++)
        children[i] = start(i, true);
    measure_kills(children, wait_report(MEASURED, -1).member);
    for (int i = 0; i < MEMBERS; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    pki_fixture_fini(&pki);
    return folder_remove(AT_FDCWD, folder, &why);
}
