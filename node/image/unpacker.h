/* unpacker.h - one layer on its way into a folder: starts the two sandboxed
 * processes of filters.h, feeds them, hears how it went.
 *
 *   unpacker_start -> (ring_room, ring_fill)* -> unpacker_finish_input
 *                  -> unpacker_on_report* until unpacker_ended
 *                  -> unpacker_result
 *
 * Nothing blocks but unpacker_result, which waits for processes that have
 * ended. At any point unpacker_fini kills what is left. */
#pragma once

#include "node/image/nursery.h"

enum { UNPACKER_REPORTS = 2 };

struct unpacker_process {
    pid_t pid;     /* 0: none */
    int report_fd; /* owned; -1 when the report was heard */
    struct filter_report report;
};

struct unpacker {
    /* For the compressed bytes. When nobody reads any more it takes all, and
     * the reports tell why. */
    struct ring_writer input;
    struct unpacker_process inflate;
    struct unpacker_process untar;
};

void unpacker_init(struct unpacker *unpacker);
void unpacker_fini(struct unpacker *unpacker);

/* What unpacks, and the folder to do it in; both borrowed. */
struct unpack_site {
    const struct nursery *nursery;
    int work;
};

/* Make the folder `name` in the work folder and start to unpack into it. The
 * file `name`.implied gets the folders that the archive only implies
 * (layer.h). */
int unpacker_start(struct unpacker *unpacker, const struct unpack_site *site,
                   const char *name, struct error *why);

void unpacker_finish_input(struct unpacker *unpacker);

/* The reports that are still to come, to be waited for with poll(2). */
size_t unpacker_report_fds(const struct unpacker *unpacker,
                           int fds[UNPACKER_REPORTS]);

/* Hear what there is; never blocks. */
void unpacker_on_report(struct unpacker *unpacker);
bool unpacker_ended(const struct unpacker *unpacker);

/* Whether it failed for a reason that does not lie in the blob's content, so
 * that nothing more needs to be fetched: a full disk, a killed process. */
bool unpacker_gave_up(const struct unpacker *unpacker);

/* How it went, when it has ended: 0, or the first cause. Outputs the
 * digest of the tar archive. */
int unpacker_result(struct unpacker *unpacker, struct digest *tar,
                    struct error *why);
