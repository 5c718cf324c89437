/* image_internal.h - the image store, for image.c and sweeper.c. */
#pragma once

#include "base/buffer.h"
#include "node/image/image.h"

enum {
    INSECURE_MAX = 256,
    WORK_NAME_MAX = 32,
};

/* A sweep waits until every job is settled: it is known which layers each will
 * use. Jobs that come meanwhile are held until the sweep is over. */
enum sweeper_state {
    SWEEPER_IDLE,
    SWEEPER_SWEEPING, /* on a worker; nothing else looks into the store */
    SWEEPER_EMPTYING, /* on a worker; removes what was put aside */
};

struct sweeper {
    enum sweeper_state state;
    struct list sweeps;          /* struct image_sweep; those that wait */
    struct image_sweep *current; /* unless IDLE */
    uv_work_t work;
    struct catalog_uses uses;
    uint64_t now_ms;
    struct error why;
    struct image_sweep periodic;
    bool due; /* `periodic` is on the list */
};

struct image_store {
    uv_loop_t *loop; /* borrowed */
    struct layer_store store;
    struct image_store_config config; /* its strings are those below */
    char *folder;
    char *puller;
    char *auth_file; /* or NULL */
    char *insecure[INSECURE_MAX];
    size_t insecure_count;
    struct list jobs; /* in the order they came */
    size_t running;   /* jobs that have a place */
    size_t listings;  /* under way */
    struct sweeper sweeper;
    /* Numbers work folders, from a random start: a pull that outlives its
     * knode for an instant meets nobody of the next one's. */
    uint64_t next_work;
    uv_timer_t tick; /* asks for the periodic sweep; the last to be closed */
    void (*closed)(void *data);
    void *closed_data;
};

struct image_job {
    struct list link; /* the store's jobs */
    struct image_store *store;
    struct list pulls;
    char *reference; /* as asked for */
    struct reference parsed;
    bool understood; /* `parsed` is what `reference` says */
    char folder[WORK_NAME_MAX];
    uv_process_t process;
    uv_pipe_t pipe;
    uv_work_t work; /* FINDING, then CLEANING */
    bool shared;    /* more pulls may join */
    bool held;      /* until a sweep is over */
    bool finding;
    bool waiting;
    bool spawned; /* `process` is a handle that has to be closed */
    bool exited;
    bool ended; /* the pipe */
    int open_handles;
    struct buffer input;
    uint64_t total_bytes;    /* to be fetched; 0: not known yet */
    Kontor__V1__Image *plan; /* owned; the layers that it will use, or NULL */
    /* Owned; the result, or what `why` says. In FINDING the worker's. */
    Kontor__V1__Image *image;
    struct error why;
};

/* ---- image.c ---- */

/* What was held may go on. */
void image_jobs_release(struct image_store *store);
/* Close the store if that was asked for and nothing is under way. */
void image_store_close_if_idle(struct image_store *store);

/* ---- sweeper.c ---- */

void sweeper_init(struct image_store *store);
/* Something that a sweep waits for may have come. */
void sweeper_step(struct image_store *store);
/* Whether jobs have to wait before they look into the store. */
bool sweeper_holds(const struct image_store *store);
bool sweeper_idle(const struct image_store *store);
/* Sweep by age and by need now, unless that is about to be done; afterwards
 * so many bytes shall be free. */
void sweeper_hurry(struct image_store *store, uint64_t need_bytes);
