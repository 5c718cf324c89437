/* torture.c - open, work, break, open again; and what must be there then:
 *
 * 1. All transactions whose commit returned, to the last byte; of the one
 *    under way all or nothing, and what it was once it stays.
 * 2. An error has a cause: a fault of the disk, or rot.
 * 3. A fault costs no more than a restart: when it is over the store opens.
 * 4. After rot the store holds what it must or is refused as damaged. But for
 *    the very last transaction, when the power went before it was settled:
 *    then rot in it looks like a crash in the middle of it (store_mark.h). */
#include "test/sim/disk/torture.h"

#include "test/unit/raft_members.h"

#include <stdio.h>
#include <string.h>

#define DISK_FOLDER "/disk"

enum { OUR_ID = 2, STEPS_MAX = 60, STEPS_PLANNED = 14 };

/* Each page is an operation, and faults are to hit all others as often. */
enum { PREPARED_BYTES = 3 * 4096 };

static uint64_t below(struct torture *torture, uint64_t bound)
{
    return random_below(&torture->random, bound);
}

static bool one_in(struct torture *torture, uint64_t n)
{
    return below(torture, n) == 0;
}

static void tell(struct torture *torture, const char *line)
{
    story_line(&torture->story, 1000 * disk_counts(torture->disk)->operations,
               0, "%s", line);
}

static void on_disk_line(void *data, const char *line)
{
    tell(data, line);
}

static void mix(struct torture *torture, uint64_t what, uint64_t code)
{
    story_mix(&torture->story, what, code,
              disk_counts(torture->disk)->operations,
              torture->acknowledged.count);
}

/* ---- opening ---- */

static void check_content(struct torture *torture,
                          const struct store_content *content)
{
    const char *text = expected_differs(&torture->acknowledged, content);

    if (content->id != OUR_ID) {
        story_fail(&torture->story, "its id became %u", content->id);
    } else if (!text) {
        torture->counts.lost += torture->committing;
    } else if (torture->committing &&
               !expected_differs(&torture->under_way, content)) {
        torture->counts.found++;
        expected_copy(&torture->acknowledged, &torture->under_way);
    } else if (torture->rotten && torture->exposed &&
               !expected_differs(&torture->before, content)) {
        torture->counts.exposed++;
        expected_copy(&torture->acknowledged, &torture->before);
    } else {
        story_fail(&torture->story, "%s%s", text,
                   torture->rotten ? "; rot was served" : "");
    }
    torture->committing = torture->unsettled = torture->exposed = false;
}

/* Is it a refusal that names damage? A version that rotted is one that is not
 * known. */
static bool names_damage(const struct error *why)
{
    return strstr(why->message, "raft.db") &&
           (why->code == ERROR_DATA_LOSS ||
            (why->code == ERROR_FAILED_PRECONDITION &&
             strstr(why->message, "has format")));
}

static bool try_open(struct torture *torture, struct error *why)
{
    struct store_options options = {
        .folder = DISK_FOLDER,
        .self = "m2",
        .prepared_bytes = PREPARED_BYTES,
        .id = OUR_ID,
        .configuration = torture->members[0],
    };
    struct store_content content = {0};
    int code = store_file_open(&torture->file, &options, &content, why);

    torture->counts.openings++;
    tell(torture, code ? why->message : "open");
    mix(torture, 1, (uint64_t)code);
    if (code)
        return false;
    torture->open = true;
    if (disk_is_off(torture->disk)) {
        error_set(why, ERROR_UNAVAILABLE, "the power went first");
        store_content_fini(&content);
        return false;
    }
    check_content(torture, &content);
    store_content_fini(&content);
    return true;
}

/* ---- ends of a process ---- */

static void close_file(struct torture *torture)
{
    if (torture->open)
        store_file_close(&torture->file);
    torture->open = false;
}

static void cut_power(struct torture *torture)
{
    torture->counts.cuts++;
    torture->exposed |= torture->unsettled;
    disk_crash(torture->disk);
    close_file(torture);
}

static void die(struct torture *torture)
{
    torture->counts.deaths++;
    tell(torture, "the process dies");
    disk_abandon(torture->disk);
    close_file(torture);
}

/* An error has a cause. The process ends, and often the machine with it. */
static void on_error(struct torture *torture, const struct error *why)
{
    tell(torture, why->message);
    mix(torture, 2, why->code);
    if (torture->rotten && !disk_fault_happened(torture->disk)) {
        if (!names_damage(why))
            story_fail(&torture->story, "rot was called %s: %s",
                       error_name(why->code), why->message);
        torture->counts.refused++;
        torture->over = true;
        die(torture);
        return;
    }
    if (!disk_fault_happened(torture->disk))
        story_fail(&torture->story, "failed on a sound disk: %s: %s",
                   error_name(why->code), why->message);
    if (disk_is_off(torture->disk) || one_in(torture, 2)) {
        cut_power(torture);
        return;
    }
    die(torture);
    if (one_in(torture, 2)) /* else it is as it was for the next process */
        disk_fault(torture->disk, DISK_SOUND, 0);
}

static void arm(struct torture *torture, unsigned within)
{
    static const enum disk_fault faults[] = {DISK_WRITE_EIO, DISK_SYNC_EIO,
                                             DISK_FULL, DISK_CUT, DISK_CUT};
    enum disk_fault kind = faults[below(torture, ARRAY_LEN(faults))];
    unsigned after = (unsigned)below(torture, within);

    if (torture->plan.only == DISK_SOUND)
        disk_fault(torture->disk, kind, after);
}

/* Until it is open or refused; at first with more faults. */
static void reopen(struct torture *torture)
{
    struct error why = {0};
    unsigned faults = (unsigned)below(torture, 4);

    while (!torture->open && !torture->over && !story_failed(&torture->story)) {
        if (faults > 0) {
            faults--;
            arm(torture, 30);
        } else if (torture->plan.only == DISK_SOUND) {
            disk_fault(torture->disk, DISK_SOUND, 0);
        }
        if (!try_open(torture, &why))
            on_error(torture, &why);
    }
}

/* ---- steps ---- */

static void rot(struct torture *torture, const char *prefix)
{
    if (!disk_rot(torture->disk, prefix))
        return;
    torture->rotten = true;
    torture->counts.rots++;
}

static void end_somehow(struct torture *torture)
{
    switch (disk_is_off(torture->disk) ? 2 : below(torture, 3)) {
    case 0:
        tell(torture, "close");
        close_file(torture);
        if (disk_is_off(torture->disk) ||
            (torture->plan.only == DISK_SOUND && one_in(torture, 3)))
            cut_power(torture);
        break;
    case 1:
        die(torture);
        break;
    case 2:
        if (disk_is_off(torture->disk) || torture->plan.only == DISK_SOUND)
            cut_power(torture);
        else
            die(torture);
        break;
    }
}

/* What the store's thread does. */
static bool work_once(struct torture *torture, struct error *why)
{
    switch (below(torture, 10)) {
    case 0:
        tell(torture, "checkpoint");
        if (store_file_checkpoint(&torture->file, why) != 0)
            return false;
        break;
    case 1:
        tell(torture, "settle");
        if (store_file_settle(&torture->file, why) != 0)
            return false;
        break;
    default:
        tell(torture, "transaction");
        return torture_transact(torture, why);
    }
    torture->unsettled = store_file_is_unsettled(&torture->file);
    return true;
}

static void step(struct torture *torture)
{
    struct error why = {0};
    bool done;

    if (!torture->open) {
        reopen(torture);
        return;
    }
    if (one_in(torture, 12)) {
        end_somehow(torture);
        return;
    }
    if (one_in(torture, 8))
        arm(torture, 20);
    done = work_once(torture, &why);
    mix(torture, 3, done);
    if (!done || disk_is_off(torture->disk))
        on_error(torture, &why);
}

/* A bit flips, under the store or while it is closed. */
static void rot_steps(struct torture *torture)
{
    bool beneath = one_in(torture, 3);

    disk_fault(torture->disk, DISK_SOUND, 0);
    if (beneath && torture->open)
        rot(torture, "");
    for (uint64_t left = beneath ? below(torture, 8) : 0;
         left > 0 && torture->open && !torture->over; left--) {
        struct error why = {0};

        if (!work_once(torture, &why))
            on_error(torture, &why);
    }
    if (torture->open)
        end_somehow(torture);
    if (!torture->rotten)
        rot(torture, "");
    for (unsigned again = 0;
         again < 2 && !torture->over && !story_failed(&torture->story);
         again++) {
        struct error why = {0};

        if (!try_open(torture, &why)) {
            on_error(torture, &why);
            return;
        }
        if (!torture_transact(torture, &why)) {
            on_error(torture, &why);
            return;
        }
        end_somehow(torture);
    }
}

static bool transact_times(struct torture *torture, unsigned times)
{
    struct error why = {0};

    for (; times > 0; times--)
        if (!torture_transact(torture, &why)) {
            on_error(torture, &why); /* of a sound disk: that is a failure */
            return false;
        }
    return true;
}

/* The header of the next log is in the page cache alone, as its sync failed;
 * the start that follows sees it, and the power goes: what was said of that
 * header must not let the older log come back. */
static void restart_log(struct torture *torture)
{
    enum { TRANSACTIONS = 5 };
    struct error why = {0};

    reopen(torture);
    if (!transact_times(torture, TRANSACTIONS))
        return;
    if (store_file_checkpoint(&torture->file, &why) != 0) {
        on_error(torture, &why); /* of a sound disk: that is a failure */
        return;
    }
    torture->unsettled = false;
    disk_fault(torture->disk, DISK_SYNC_EIO, 0);
    while (torture_transact(torture, &why))
        continue; /* what changes nothing needs no sync */
    die(torture);
    disk_fault(torture->disk, DISK_CUT, (unsigned)torture->plan.at - 1);
    if (try_open(torture, &why))
        cut_power(torture);
    else
        on_error(torture, &why);
    disk_fault(torture->disk, DISK_SOUND, 0);
    reopen(torture);
}

/* The power goes in a checkpoint, of a store or of the start that recovers it:
 * raft.db may lack a part of what the last transaction changed, which the log
 * has, and of which the mark was synced. */
static void cut_checkpoint(struct torture *torture)
{
    enum { TRANSACTIONS = 5, BEFORE_IT = 8 /* operations of a start */ };
    struct error why = {0};

    reopen(torture);
    if (!transact_times(torture, TRANSACTIONS))
        return;
    if (one_in(torture, 2)) {
        disk_fault(torture->disk, DISK_CUT, (unsigned)torture->plan.at - 1);
        (void)store_file_checkpoint(&torture->file, &why);
        if (torture->plan.at > 1)
            torture->unsettled = false;
    } else {
        cut_power(torture);
        disk_fault(torture->disk, DISK_CUT,
                   BEFORE_IT + (unsigned)torture->plan.at - 1);
        if (!try_open(torture, &why) && !disk_is_off(torture->disk))
            on_error(torture, &why); /* of a sound disk: that is a failure */
    }
    cut_power(torture);
    disk_fault(torture->disk, DISK_SOUND, 0);
    rot(torture, "raft.db-wal");
    reopen(torture);
}

/* The power takes the mark of the last transactions, the first of which ends
 * where the log alone does not tell it for sure (store_wal.c). */
static void cut_tail(struct torture *torture)
{
    enum { TRANSACTIONS_MAX = 40, SPLIT_FRAME = 42, ALL_FRAMES = 64 };

    reopen(torture);
    for (unsigned i = 0; i < TRANSACTIONS_MAX &&
                         torture->file.wal_pages % ALL_FRAMES != SPLIT_FRAME;
         i++)
        if (!transact_times(torture, 1))
            return;
    if (!transact_times(torture, 1))
        return;
    cut_power(torture);
    rot(torture, "raft.db-wal");
    reopen(torture);
}

static void work(struct torture *torture)
{
    static void (*const themes[])(struct torture *) = {
        [TORTURE_RESTART] = restart_log,
        [TORTURE_CHECKPOINT] = cut_checkpoint,
        [TORTURE_TAIL] = cut_tail,
    };
    uint64_t steps = STEPS_PLANNED;

    if (torture->plan.theme != TORTURE_DRAWN) {
        themes[torture->plan.theme](torture);
        return;
    }
    if (torture->plan.only == DISK_SOUND)
        steps = 1 + below(torture, STEPS_MAX);
    else if (torture->plan.at > 0)
        disk_fault(torture->disk, torture->plan.only,
                   (unsigned)torture->plan.at - 1);
    for (; steps > 0 && !torture->over && !story_failed(&torture->story);
         steps--)
        step(torture);
    if (torture->plan.only == DISK_SOUND && !torture->over &&
        !story_failed(&torture->story) && !one_in(torture, 4)) {
        rot_steps(torture);
        return;
    }
    disk_fault(torture->disk, DISK_SOUND, 0);
    if (torture->open)
        end_somehow(torture);
    reopen(torture);
}

bool torture_run(struct torture *torture, const struct torture_plan *plan,
                 enum story_telling telling)
{
    *torture = (struct torture){
        .plan = *plan,
        .random.state = plan->seed,
        .story.telling = telling,
        .disk = disk_new(DISK_FOLDER, plan->seed + (plan->at << 32)),
        .members = {raft_members(3, 0, RAFT_NOBODY),
                    raft_members(3, 1, RAFT_NOBODY)},
    };
    disk_tell(torture->disk, on_disk_line, torture);
    expected_init(&torture->acknowledged, torture->members[0]);
    expected_copy(&torture->before, &torture->acknowledged);
    work(torture);

    disk_fault(torture->disk, DISK_SOUND, 0);
    close_file(torture);
    torture->counts.operations = disk_counts(torture->disk)->operations;
    disk_free(torture->disk);
    expected_fini(&torture->acknowledged);
    expected_fini(&torture->under_way);
    expected_fini(&torture->before);
    for (size_t i = 0; i < ARRAY_LEN(torture->members); i++)
        raft_payload_drop(torture->members[i]);
    return !story_failed(&torture->story);
}
