#include "test/sim/stack/check_state.h"

#include "base/fd.h"
#include "base/map.h"
#include "base/memory.h"
#include "kontor/v1/command.pb-c.h"
#include "raft/replica_parts.h"
#include "test/sim/disk/disk.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/check_moves.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/knode.h"

#include <fcntl.h>
#include <inttypes.h>
#include <isa-l/crc64.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_FOLDER "/disk/states"

/* The bytes of a state are compared each so many indexes: to save it takes
 * longer than all else. In one of so many seeds they are at every index. */
enum { DIGEST_EVERY = 128, CLOSELY_EVERY = 40, GENERATIONS_MAX = 64 };

struct applied {
    uint64_t command; /* hash of its bytes; 0: nobody applied it yet */
    uint64_t digest;  /* of the state after it; 0: not compared */
    unsigned events;  /* that it brought */
};

struct fate {
    struct request_id request; /* that made it */
    uint64_t gang_first;       /* pod; of so many, 0: of none */
    uint64_t gang_size;
    uint64_t made_at_index;
    uint64_t acknowledged_index;
    bool stop_acknowledged;
    /* Position + 1 of the host, by generation. */
    uint8_t placed[GENERATIONS_MAX];
    uint64_t lost;   /* generations whose node was lost: a bit for each */
    uint32_t ran_on; /* a bit for each host */
};

static struct {
    struct applied *applied; /* by index */
    uint64_t applied_capacity;
    struct fate *fates; /* by pod */
    uint64_t fates_capacity;
    uint64_t newest_pod;
    uint64_t seen_index;
    uint32_t format;
    uint64_t digest_every;
    struct disk *disk; /* owned; for states that are to be hashed */
} state;

void check_state_init(void)
{
    memset(&state, 0, sizeof state);
    state.digest_every = world.seed % CLOSELY_EVERY == 0 ? 1 : DIGEST_EVERY;
    state.disk = disk_new(STATE_FOLDER, 0);
}

void check_state_fini(void)
{
    free(state.applied);
    free(state.fates);
    disk_free(state.disk);
    memset(&state, 0, sizeof state);
}

static struct fate *fate_of(uint64_t pod_id)
{
    state.fates = world_reach(state.fates, &state.fates_capacity, pod_id,
                              sizeof *state.fates);
    if (pod_id > state.newest_pod)
        state.newest_pod = pod_id;
    return &state.fates[pod_id];
}

static struct applied *applied_at(uint64_t index)
{
    state.applied = world_reach(state.applied, &state.applied_capacity, index,
                                sizeof *state.applied);
    return &state.applied[index];
}

static const char *self(void)
{
    return process_now->host->identity.name;
}

/* ---- applying ---- */

static void remove_durably(const char *folder, const char *path)
{
    CLEANUP(fd_close)
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || unlink(path) != 0 || fsync(fd) != 0)
        abort();
}

/* By a file on a disk of its own. */
void state_save(const struct replica_machine *machine,
                struct state_bytes *bytes)
{
    static const char path[] = STATE_FOLDER "/state";
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat info;
    struct error why;

    if (fd < 0 || machine->save(machine->data, fd, &why) != 0 ||
        fstat(fd, &info) != 0)
        abort();
    bytes->length = (size_t)info.st_size;
    bytes->bytes = memory_new(bytes->length);
    if (pread(fd, bytes->bytes, bytes->length, 0) != info.st_size)
        abort();
    close(fd);
    remove_durably(STATE_FOLDER, path);
}

static int save_cluster(void *data, int fd, struct error *why)
{
    return cluster_save(data, fd, why);
}

static uint64_t digest_of(const struct state_bytes *bytes)
{
    return crc64_ecma_refl(0, bytes->bytes, bytes->length) | 1;
}

uint64_t check_digest(struct cluster *cluster)
{
    const struct replica_machine machine = {.save = save_cluster,
                                            .data = cluster};
    struct state_bytes bytes;
    uint64_t digest;

    state_save(&machine, &bytes);
    digest = digest_of(&bytes);
    free(bytes.bytes);
    return digest;
}

/* Whoever has applied as much has the same state. */
static void compare(uint64_t index, uint64_t digest)
{
    struct applied *applied = applied_at(index);

    if (applied->digest && applied->digest != digest)
        FAIL("%s has another state at %" PRIu64, self(), index);
    applied->digest = digest;
}

void check_saved(const struct cluster *cluster, const struct state_bytes *bytes)
{
    if (!process_now->dead)
        compare(cluster->index, digest_of(bytes));
}

int __real_cluster_load(struct cluster **out, int fd, struct error *why);
int __wrap_cluster_load(struct cluster **out, int fd, struct error *why);

int __wrap_cluster_load(struct cluster **out, int fd, struct error *why)
{
    int code = __real_cluster_load(out, fd, why);

    if (code == ERROR_UNIMPLEMENTED) {
        FAIL("%s would end: %s", self(), why->message);
        return error_set(why, ERROR_DATA_LOSS, "a check failed");
    }
    if (!code && !process_now->dead)
        compare((*out)->index, check_digest(*out));
    return code;
}

static void check_room(const struct cluster *cluster)
{
    list_for_each(item, next, &cluster->nodes.all)
    {
        const struct node *node = container_of(item, struct node, all);
        struct resources sum = {0};

        list_for_each(at, following, &node->pods)
        {
            const struct pod *pod = container_of(at, struct pod, queue);
            struct resources want =
                resources_of(pod->facts.spec->message->resources);

            resources_add(&sum, &want);
        }
        if (!resources_fit(&node->capacity, &sum))
            FAIL("%s: node %s is over-committed at %" PRIu64, self(),
                 node->name->bytes, cluster->index);
    }
}

static bool runs_once(const struct pod_facts *facts)
{
    return facts->spec->message->restart ==
           KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
}

static void check_placed(const struct cluster *cluster,
                         const struct pod_facts *facts)
{
    const struct node *node = nodes_find(&cluster->nodes, facts->node_id);
    struct fate *fate = fate_of(facts->id);
    unsigned position = (unsigned)atoi(node->name->bytes + 1) - 1;
    uint8_t *placed = &fate->placed[facts->generation % GENERATIONS_MAX];
    uint8_t there = (uint8_t)(MASTERS_MAX + position + 1);

    if (*placed && *placed != there)
        FAIL("%s: pod %" PRIu64 " generation %u is placed twice", self(),
             facts->id, facts->generation);
    if (facts->generation > 1 && runs_once(facts))
        FAIL("%s: pod %" PRIu64 " may run once and is placed again", self(),
             facts->id);
    if (!*placed && node->cordoned)
        FAIL("%s: pod %" PRIu64 " is placed on %s, which is cordoned", self(),
             facts->id, node->name->bytes);
    /* Moved, it waits to be gone from elsewhere. */
    tally.pods_moved += !*placed && !text_is(facts->reason, "");
    *placed = there;
}

/* The one that is named has the node, and a higher priority. */
static void check_preempted(const struct cluster *cluster,
                            const struct pod_facts *facts)
{
    char node[64], winner[64];
    const struct pod *pod;

    tally.preemptions++;
    if (sscanf(text_string(facts->reason), "preempted on %63s by %63s", node,
               winner) != 2)
        abort();
    pod = pods_find_name(&cluster->pods, winner);
    if (!pod ||
        pod->facts.node_id != nodes_find_name(&cluster->nodes, node)->id ||
        pod->facts.spec->message->priority <= facts->spec->message->priority ||
        runs_once(facts))
        FAIL("%s: pod %" PRIu64 " is preempted by %s, which may not be", self(),
             facts->id, winner);
}

/* Only a lost node loses its pods, or one that is drained; or they make room
 * for others. */
static void check_unplaced(const struct cluster *cluster,
                           const struct pod_facts *facts)
{
    const struct fate *fate = fate_of(facts->id);
    unsigned host = fate->placed[facts->generation % GENERATIONS_MAX];
    const struct node *node;

    tally.pods_moved++;
    if (strncmp(text_string(facts->reason), "preempted", 9) == 0) {
        check_preempted(cluster, facts);
        return;
    }
    if (host == 0)
        return; /* nobody of those who run saw it placed */
    node =
        nodes_find_name(&cluster->nodes, world.hosts[host - 1].identity.name);
    if (!node ||
        (node->state != KONTOR__V1__NODE_STATE__NODE_LOST && !node->cordoned))
        FAIL("%s: pod %" PRIu64 " is taken from a node that is neither lost "
             "nor drained",
             self(), facts->id);
}

/* What was placed there may go on out of sight. */
static void note_lost(const struct cluster *cluster, const struct event *event)
{
    const struct node *node =
        nodes_find_name(&cluster->nodes, event->subject->bytes);
    unsigned host = MASTERS_MAX + (unsigned)atoi(node->name->bytes + 1);

    if (node->state != KONTOR__V1__NODE_STATE__NODE_LOST)
        return;
    for (uint64_t id = 1; id <= state.newest_pod; id++)
        for (unsigned i = 0; i < GENERATIONS_MAX; i++)
            if (state.fates[id].placed[i] == host)
                state.fates[id].lost |= UINT64_C(1) << i;
}

static void check_events(const struct cluster *cluster, uint64_t from)
{
    for (uint64_t i = from; i < cluster->events.next; i++) {
        const struct event *event = events_at(&cluster->events, i);

        if (event->kind == KONTOR__V1__EVENT_KIND__EVENT_POD_PLACED)
            check_placed(cluster, &event->pod);
        else if (event->kind == KONTOR__V1__EVENT_KIND__EVENT_POD_UNPLACED)
            check_unplaced(cluster, &event->pod);
        else if (event->kind == KONTOR__V1__EVENT_KIND__EVENT_NODE_STATE)
            note_lost(cluster, event);
    }
}

/* Of a gang all that live were placed once, or none. */
static void check_gang(const struct cluster *cluster, uint64_t pod_id)
{
    const struct fate *fate = fate_of(pod_id);

    for (uint64_t i = 0; i < fate->gang_size; i++) {
        const struct pod *pod = pods_find(&cluster->pods, fate->gang_first + i);

        if (pod && !pod_ended(pod) && pod->facts.generation == 0)
            FAIL("%s: pod %" PRIu64 " of a gang is placed, pod %" PRIu64
                 " is not",
                 self(), pod_id, pod->facts.id);
    }
}

static void check_gangs(const struct cluster *cluster, uint64_t from)
{
    for (uint64_t i = from; i < cluster->events.next; i++) {
        const struct event *event = events_at(&cluster->events, i);

        if (event->kind == KONTOR__V1__EVENT_KIND__EVENT_POD_PLACED)
            check_gang(cluster, event->pod.id);
    }
}

void __real_cluster_apply(struct cluster *cluster, uint64_t index,
                          const uint8_t *bytes, size_t length,
                          struct cluster_result *result);
void __real_cluster_apply_command(struct cluster *cluster, uint64_t index,
                                  const Kontor__V1__Command *command,
                                  struct cluster_result *result);

/* One command for each request id, and all that it is to make. */
static void check_made(const struct cluster *cluster, struct request_id id,
                       uint64_t first, size_t count, bool gang)
{
    if (cluster->next_pod_id - first != count)
        FAIL("%s: %" PRIu64 " pods are made where %zu were asked for", self(),
             cluster->next_pod_id - first, count);
    for (uint64_t i = first; i < cluster->next_pod_id; i++) {
        struct fate *fate = fate_of(i);

        if (fate->made_at_index && fate->made_at_index != cluster->index)
            FAIL("%s: pod %" PRIu64 " is made twice", self(), i);
        fate->made_at_index = cluster->index;
        fate->request = id;
        fate->gang_first = gang ? first : 0;
        fate->gang_size = gang ? count : 0;
    }
    tally.gangs += gang;
    for (uint64_t i = 1; i <= state.newest_pod; i++)
        if ((i < first || i >= cluster->next_pod_id) &&
            state.fates[i].request.high == id.high &&
            state.fates[i].request.low == id.low)
            FAIL("%s: one request made pods %" PRIu64 " and %" PRIu64, self(),
                 i, first);
}

static void check_created(const struct cluster *cluster,
                          const Kontor__V1__Command *command, uint64_t first)
{
    struct request_id id = {0, 0};
    const struct app *app;

    if (command->request_id)
        id = (struct request_id){command->request_id->high,
                                 command->request_id->low};
    if (command->operation_case == KONTOR__V1__COMMAND__OPERATION_CREATE_POD)
        check_made(cluster, id, first, 1, false);
    if (command->operation_case == KONTOR__V1__COMMAND__OPERATION_CREATE_PODS)
        check_made(cluster, id, first, command->create_pods->n_node_ids,
                   command->create_pods->gang);
    if (command->operation_case == KONTOR__V1__COMMAND__OPERATION_SCALE_APP) {
        app = pods_find_app(&cluster->pods, command->scale_app->app);
        if (first)
            check_made(cluster, id, first, cluster->next_pod_id - first, false);
        if ((app ? app_staying(app) : 0) != command->scale_app->replicas)
            FAIL("%s: app %s has not the %u pods it was scaled to", self(),
                 command->scale_app->app, command->scale_app->replicas);
    }
}

void __wrap_cluster_apply_command(struct cluster *cluster, uint64_t index,
                                  const Kontor__V1__Command *command,
                                  struct cluster_result *result);

/* What the first to apply a command makes of it, beside its events: the others'
 * states are compared with its own. */
void __wrap_cluster_apply_command(struct cluster *cluster, uint64_t index,
                                  const Kontor__V1__Command *command,
                                  struct cluster_result *result)
{
    bool is_first = !process_now->dead && !applied_at(index)->command;
    uint64_t from = cluster->events.next;
    struct moves_found found;

    if (is_first) {
        tally.joined += cluster->index == index;
        check_moves_before(&found, cluster, command);
    }
    __real_cluster_apply_command(cluster, index, command, result);
    if (is_first) {
        check_moves_after(&found, cluster, result);
        if (result->error.code == 0 && !result->replayed)
            check_created(cluster, command, result->subject_id);
    }
    if (!process_now->dead)
        check_events(cluster, from); /* before a command that is joined to it */
}

void __wrap_cluster_apply(struct cluster *cluster, uint64_t index,
                          const uint8_t *bytes, size_t length,
                          struct cluster_result *result);

void __wrap_cluster_apply(struct cluster *cluster, uint64_t index,
                          const uint8_t *bytes, size_t length,
                          struct cluster_result *result)
{
    uint64_t hash = map_hash_bytes(bytes, length) | 1;
    uint64_t from = cluster->events.next;
    struct applied *applied = applied_at(index);

    __real_cluster_apply(cluster, index, bytes, length, result);
    if (result->beyond) {
        FAIL("%s would end: %s", self(), result->error.message);
        result->beyond = false;
    }
    if (process_now->dead)
        return; /* nobody hears of it */
    if (applied->command && applied->command != hash)
        FAIL("%s applies another command at %" PRIu64, self(), index);
    applied->command = hash;
    applied->events = (unsigned)(cluster->events.next - from);
    story_mix(&world.story, index, hash, process_now->host->position, 0);
    if (cluster->format > state.format)
        state.format = cluster->format;
    check_gangs(cluster, from);
    check_room(cluster);
    if (index % state.digest_every == 0)
        compare(index, check_digest(cluster));
}

/* The state is that of the last command that was applied. */
void check_state_turn(struct host *host, const struct master *master)
{
    uint64_t at = master->replica->applied_index;

    while (at > master->cluster->index &&
           (at >= state.applied_capacity || !state.applied[at].command))
        at--;
    tally.turns_kept += master->placer.keeper.count > 0;
    if (at != master->cluster->index)
        FAIL("%s: state at %" PRIu64 ", applied %" PRIu64, host->identity.name,
             master->cluster->index, master->replica->applied_index);
}

/* ---- nodes ---- */

/* Its node was lost after it was placed there. */
static bool is_given_up(const struct fate *fate, uint32_t generation)
{
    return fate->lost >> generation % GENERATIONS_MAX & 1;
}

/* It runs nowhere else, but where the state had given its node up for lost. */
static void check_alone(const struct host *host, uint64_t pod_id,
                        const struct fate *fate)
{
    struct knode_pod held;

    for (unsigned i = 0; i < world.traits.nodes; i++) {
        const struct knode *other = knode_at(i);

        for (unsigned k = 0; knode_pod(other, k, &held); k++)
            if (MASTERS_MAX + i != host->position && held.pod_id == pod_id &&
                !held.over && !is_given_up(fate, held.generation))
                FAIL("pod %" PRIu64 " starts on %s and is still on %s", pod_id,
                     host->identity.name,
                     world.hosts[MASTERS_MAX + i].identity.name);
    }
}

void check_accepted(const struct host *host)
{
    const struct knode *node = knode_at(host->position - MASTERS_MAX);
    uint64_t sum_milli = 0;
    struct knode_pod held;

    for (unsigned k = 0; knode_pod(node, k, &held); k++)
        if (!held.over && !is_given_up(fate_of(held.pod_id), held.generation))
            sum_milli += held.cpu_milli;
    if (sum_milli > KNODE_CPU_MILLI)
        FAIL("%s has pods that take %" PRIu64 "m of cpu together",
             host->identity.name, sum_milli);
}

void check_started(const struct host *node, uint64_t pod_id,
                   uint32_t generation, bool never_again)
{
    struct fate *fate = fate_of(pod_id);
    const char *name = node->identity.name;

    tally.pods_started++;
    if (fate->placed[generation % GENERATIONS_MAX] != node->position + 1)
        FAIL("%s starts pod %" PRIu64 " generation %u, which is not its own",
             name, pod_id, generation);
    if (!is_given_up(fate, generation))
        check_alone(node, pod_id, fate);
    fate->ran_on |= 1u << node->position;
    if (never_again && (fate->ran_on & (fate->ran_on - 1)))
        FAIL("%s starts pod %" PRIu64 ", which ran elsewhere and may not twice",
             name, pod_id);
}

/* ---- clients ---- */

uint64_t check_seen_index(void)
{
    return state.seen_index;
}

uint32_t check_format(void)
{
    return state.format;
}

static void saw(uint64_t index)
{
    if (index > state.seen_index)
        state.seen_index = index;
}

void check_read(uint64_t seen, uint64_t index)
{
    tally.reads++;
    if (index < seen)
        FAIL("stale read: the state at %" PRIu64 " is shown, %" PRIu64
             " was seen before it was asked",
             index, seen);
    saw(index);
}

void check_scheduled(struct request_id id, uint64_t pod_id, uint64_t index)
{
    struct fate *fate = fate_of(pod_id);

    tally.acknowledged++;
    if (fate->made_at_index != index || fate->request.high != id.high ||
        fate->request.low != id.low)
        FAIL("acknowledged: pod %" PRIu64 " at %" PRIu64
             ", which that request did not make",
             pod_id, index);
    fate->acknowledged_index = index;
    saw(index);
}

/* What it made, if anything, that command made. */
void check_scaled(struct request_id id, uint64_t index)
{
    tally.acknowledged++;
    tally.scales++;
    for (uint64_t i = 1; i <= state.newest_pod; i++) {
        struct fate *fate = &state.fates[i];

        if (fate->request.high != id.high || fate->request.low != id.low)
            continue;
        if (fate->made_at_index != index)
            FAIL("acknowledged: a scale at %" PRIu64 ", whose pod %" PRIu64
                 " was made at %" PRIu64,
                 index, i, fate->made_at_index);
        fate->acknowledged_index = index;
    }
    saw(index);
}

void check_stopped(uint64_t pod_id, uint64_t index)
{
    tally.acknowledged++;
    fate_of(pod_id)->stop_acknowledged = true;
    saw(index);
}

unsigned check_events_at(uint64_t index)
{
    return index < state.applied_capacity ? state.applied[index].events : 0;
}

bool check_is_stopped(uint64_t pod_id)
{
    return fate_of(pod_id)->stop_acknowledged;
}

uint64_t check_newest_pod(void)
{
    return state.newest_pod;
}

bool check_is_acknowledged(uint64_t pod_id)
{
    return fate_of(pod_id)->acknowledged_index != 0;
}
