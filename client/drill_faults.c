#include "client/drill_faults.h"

#include "base/fd.h"
#include "base/memory.h"
#include "client/dev_disk.h"
#include "client/dev_net.h"
#include "client/dev_programs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int send_signal(const struct drill_victim *victim, int signal,
                       struct error *why)
{
    return dev_signal(&victim->dev->masters[victim->master], signal, why);
}

static int kill_it(const struct drill_victim *victim, struct error *why)
{
    return send_signal(victim, SIGKILL, why);
}

static int stop_it(const struct drill_victim *victim, struct error *why)
{
    return send_signal(victim, SIGSTOP, why);
}

static int cut_off(const struct drill_victim *victim, struct error *why)
{
    return dev_net_cut(dev_master_port(victim->master), why);
}

/* The next one by name, so that asking twice does it once. */
static int hand_over(const struct drill_victim *victim, struct error *why)
{
    Kontor__V1__TransferLeadershipRequest request =
        KONTOR__V1__TRANSFER_LEADERSHIP_REQUEST__INIT;
    unsigned next = (victim->master + 1) % victim->dev->master_count;
    ProtobufCMessage *response;

    request.name = victim->dev->masters[next].name;
    if (contact_call(victim->contact, "TransferLeadership", &request.base,
                     &response, why) != 0)
        return (int)why->code;
    message_free(response);
    return 0;
}

/* ---- disk -----------------------------------------------------------------
 */

static char *filler_path(const struct drill_victim *victim)
{
    CLEANUP(free_pointer)
    char *folder = dev_disk_folder(victim->dev, victim->master);

    return memory_format("%s/drill-filler", folder);
}

/* To the last block. */
static int fill(const struct drill_victim *victim, struct error *why)
{
    CLEANUP(free_pointer) char *path = filler_path(victim);
    CLEANUP(fd_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct statvfs disk;
    off_t end = 0;

    if (fd < 0)
        return error_errno(why, "create %s", path);
    if (fstatvfs(fd, &disk) != 0)
        return error_errno(why, "look at the disk of %s", path);
    /* The master writes at the same time: half as much each time that so
     * much is not there. */
    for (off_t size = (off_t)(disk.f_bavail * disk.f_frsize);
         size >= (off_t)disk.f_frsize;) {
        if (fallocate(fd, 0, end, size) == 0)
            end += size;
        else if (errno == ENOSPC)
            size /= 2;
        else
            return error_errno(why, "fill %s", path);
    }
    return 0;
}

/* Not one that others would miss. */
static int check_disks(const struct dev *dev, struct error *why)
{
    for (unsigned i = 0; i < dev->master_count; i++) {
        CLEANUP(free_pointer) char *folder = dev_disk_folder(dev, i);
        struct stat around;
        struct stat own;

        if (stat(dev->folder, &around) != 0 || stat(folder, &own) != 0)
            return error_errno(why, "look at %s", folder);
        if (own.st_dev == around.st_dev)
            return error_set(why, ERROR_FAILED_PRECONDITION,
                             "%s has no disk of its own, and this one would "
                             "be filled for all; kctl dev up --master-disk "
                             "64M gives each master one",
                             folder);
    }
    return 0;
}

/* ---- all of them ----------------------------------------------------------
 */

int drill_undo(const struct drill_victim *victim, struct error *why)
{
    CLEANUP(free_pointer) char *filler = filler_path(victim);
    int code = send_signal(victim, SIGCONT, why);

    if (code != 0 && code != ERROR_NOT_FOUND)
        return code;
    if (dev_net_uncut(why) != 0)
        return (int)why->code;
    if (unlink(filler) != 0 && errno != ENOENT)
        return error_errno(why, "remove %s", filler);
    return 0;
}

int drill_revive(struct drill_victim *victim, struct error *why)
{
    if (dev_alive(&victim->dev->masters[victim->master]))
        return 0;
    victim->started++;
    return dev_start_master_with(victim->dev, victim->master,
                                 &victim->words[victim->master], why);
}

const struct drill_fault drill_leader = {
    .name = "leader",
    .done = "killed",
    .ends = true,
    .inflict = kill_it,
};

const struct drill_fault drill_pause = {
    .name = "pause",
    .done = "stopped",
    .inflict = stop_it,
};

const struct drill_fault drill_partition = {
    .name = "partition",
    .done = "cut off",
    .inflict = cut_off,
};

const struct drill_fault drill_transfer = {
    .name = "transfer",
    .done = "handed over",
    .inflict = hand_over,
};

const struct drill_fault drill_disk = {
    .name = "disk",
    .done = "out of disk",
    .ends = true,
    .check = check_disks,
    .inflict = fill,
};
