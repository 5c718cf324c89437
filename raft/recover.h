/* recover.h - a master's folder changed while the master does not run: made
 * from a backup, or made the only one that is left of its cluster.
 *
 * Both begin a history that others must not take for their own:
 * 1. Terms go on RECOVER_TERMS above the newest that is known here, as nodes
 *    refuse orders of an older term than one they have seen, and may have seen
 *    newer ones than the backup or this log has. A million elections are more
 *    than a cluster holds between a backup and its end: one every 150 ms, which
 *    takes a quorum that elects and does nothing else, for 41 hours.
 * 2. Ids of masters never return, so who was a master of the old history is
 *    told that it was removed, whatever it holds. */
#pragma once

#include "base/envelope.h"
#include "raft/replica.h"

#define RECOVER_TERMS UINT64_C(1000000)
/* The same for indices, so that who watched the old cluster beyond the backup
 * misses nothing of the new one: at 20,000 writes a second, 13 hours. Ids that
 * commands may have given leave out as many times what one command can give. */
#define RECOVER_INDICES UINT64_C(1000000000)

/* Ids of a restored cluster's founders begin so much above the newest id of
 * the backup, at most. */
enum { RECOVER_IDS = 1 << 20 };

/* ---- of a log that is there ---- */

struct recover_log {
    uint64_t first_index;
    uint64_t last_index;
    uint64_t last_term; /* of the last entry; who has the greatest has most */
    uint64_t snapshot_index;
    uint64_t term;
    Kontor__V1__RaftConfiguration *members; /* owned; as it has them */
};

void recover_log_fini(struct recover_log *log);

/* What master `name`'s log in `folder` holds. NOT_FOUND: there is none;
 * FAILED_PRECONDITION: its master runs, or it is another master's; DATA_LOSS:
 * it is damaged. */
int recover_look(const char *folder, const char *name, struct recover_log *out,
                 struct error *why);

/* Make it the only member, for good, by an entry after all that `out` says the
 * log held. As recover_look(), and FAILED_PRECONDITION when it is no member
 * itself. */
int recover_alone(const char *folder, const char *name, struct recover_log *out,
                  struct error *why);

/* ---- of a backup ---- */

struct recover_backup {
    uint64_t index;
    uint64_t term;
    uint32_t next_id;                      /* of its members */
    uint8_t sha256[ENVELOPE_SHA256_BYTES]; /* tells it from any other backup */
};

/* Make a store of `config`'s folder, name and members, which has no store yet:
 * its first snapshot is what machine.save writes. Each founder is given the
 * same backup and members: their ids follow from both, so one that was given
 * others, or none, is none of them. `out`: where the log goes on.
 * FAILED_PRECONDITION: there is a store. INVALID_ARGUMENT: the members. */
int recover_restore(const struct replica_config *config,
                    const struct recover_backup *backup,
                    struct recover_log *out, struct error *why);
