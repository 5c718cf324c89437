/* world.h - everything of one run: virtual time, hosts, what is on their
 * disks, and the links between them. One run at a time. */
#pragma once

#include "test/sim/stack/agenda.h"
#include "test/sim/stack/process.h"
#include "test/sim/stack/traits.h"
#include "test/sim/story.h"

struct disk;
struct store;

enum {
    MASTERS_MAX = 7, /* hosts that may be masters, in the cluster or not */
    NODES_HOSTS_MAX = 6,
    CLIENTS_MAX = 3,
    HOSTS_MAX = MASTERS_MAX + NODES_HOSTS_MAX + CLIENTS_MAX,
    ADDRESS_TEXT_MAX = 32,
};

/* When a clock does not go on. */
struct standstill {
    uint64_t before_us; /* together, until the last one began */
    uint64_t from_us;
    uint64_t until_us;
};

/* What outlives a process: a name, a clock, a disk. */
struct host {
    unsigned position;
    struct rpc_identity identity;
    char address[ADDRESS_TEXT_MAX];
    struct process *life; /* NULL: down */
    uint64_t lives;
    bool vanished; /* the whole machine: nobody answers, not even a refusal */
    /* Its clocks. */
    uint64_t clock_offset_us;
    int64_t clock_rate_ppm; /* faster than the world by so much */
    int64_t wall_offset_ms;
    struct standstill suspended; /* of the monotonic one alone */
    struct standstill paused;    /* of all: nobody told the machine */
    /* Its disk. */
    struct disk *disk;   /* owned; a master's */
    struct store *store; /* that is open on it */
    bool rotten;         /* bits of it have rotted */
    uint64_t disk_hangs_until_us;
    uint64_t disk_free_bytes; /* as the master is told */
    bool disk_full;           /* what needs room fails */
    void *data;               /* struct kmaster, knode or client */
};

/* One direction between two hosts. */
struct lane {
    bool blocked;
    uint64_t delay_us;    /* added to the usual one */
    uint64_t bytes_per_s; /* 0: any number */
};

struct world {
    uint64_t seed;
    struct random random;
    struct traits traits;
    uint64_t now_us;
    bool healed; /* nothing goes wrong any more */
    bool quiet;  /* clients ask for nothing more */
    struct agenda agenda;
    struct story story;
    struct host hosts[HOSTS_MAX];
    struct lane lanes[HOSTS_MAX][HOSTS_MAX]; /* [from][to] */
    struct list processes;
    struct list wires;
};

extern struct world world;

void world_after(uint64_t delay_us, agenda_cb *run, void *data,
                 uint64_t number);
bool world_chance(unsigned percent);
/* From `least` to `most`, both included. */
uint64_t world_between(uint64_t least, uint64_t most);
struct host *world_find(const char *address);

/* Room for element `index` of an array of zeroes. */
void *world_reach(void *array, uint64_t *capacity, uint64_t index, size_t size);

/* A host's clocks: the monotonic one, by which its timers go; and the one that
 * goes on in suspension. */
uint64_t host_local_us(const struct host *host);
uint64_t host_boot_us(const struct host *host);
/* When the host's monotonic clock will show that. */
uint64_t host_world_us(const struct host *host, uint64_t local);
/* It stands still for so long. */
void host_stand_still(struct standstill *still, uint64_t for_us);

/* "[120] m1 > leads, term 3", or the world's when `host` is NULL. */
void tell(const struct host *host, const char *format, ...) PRINTF_LIKE(2, 3);
/* A check did not hold; the first one counts. */
#define FAIL(...) story_fail(&world.story, __VA_ARGS__)
