#include "node/capacity.h"

#include "base/fd.h"
#include "base/quantity.h"
#include "node/net/net.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

enum {
    SMALL_FILE_MAX_BYTES = 256,
    RESERVE_PERCENT = 5,
    RESERVE_CPU_MIN_MILLI = 100,
    RESERVE_CPU_MAX_MILLI = 1000,
};

#define RESERVE_MEMORY_MIN_BYTES (128ULL << 20)
#define RESERVE_MEMORY_MAX_BYTES (2ULL << 30)
#define RESERVE_DISK_MAX_BYTES (10ULL << 30)

/* ---- the machine --------------------------------------------------------- */

/* A small file as text; "" when it is not there. */
static const char *read_small(const char *path, char text[SMALL_FILE_MAX_BYTES])
{
    struct buffer content;
    struct error ignored;
    size_t length = 0;

    buffer_init(&content, SMALL_FILE_MAX_BYTES - 1);
    if (file_read(AT_FDCWD, path, &content, &ignored) == 0) {
        length = buffer_length(&content);
        memcpy(text, buffer_data(&content), length);
    }
    text[length] = '\0';
    buffer_fini(&content);
    return text;
}

static uint32_t quota_milli(int64_t quota, int64_t period)
{
    if (quota <= 0 || period <= 0 || quota / period > UINT32_MAX / 1000)
        return UINT32_MAX;
    return (uint32_t)(quota * 1000 / period);
}

uint32_t capacity_parse_cpu_max(const char *text)
{
    int64_t quota;
    int64_t period;

    if (sscanf(text, "%" SCNd64 " %" SCNd64, &quota, &period) != 2)
        return UINT32_MAX;
    return quota_milli(quota, period);
}

static uint32_t cpu_quota_milli(void)
{
    char quota[SMALL_FILE_MAX_BYTES];
    char period[SMALL_FILE_MAX_BYTES];
    uint32_t v1 = quota_milli(
        strtoll(read_small("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota), NULL,
                10),
        strtoll(read_small("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period),
                NULL, 10));
    uint32_t v2 =
        capacity_parse_cpu_max(read_small("/sys/fs/cgroup/cpu.max", quota));

    return v1 < v2 ? v1 : v2;
}

static int measure_cpu(uint32_t *milli, struct error *why)
{
    uint32_t quota = cpu_quota_milli();
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return error_errno(why, "count processors");
    *milli = (uint32_t)CPU_COUNT(&set) * 1000;
    if (quota < *milli)
        *milli = quota;
    return 0;
}

static int measure_memory(uint64_t *bytes, struct error *why)
{
    static const char *const limits[] = {
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    };
    char text[SMALL_FILE_MAX_BYTES];
    struct sysinfo info;

    if (sysinfo(&info) != 0)
        return error_errno(why, "measure memory");
    *bytes = (uint64_t)info.totalram * info.mem_unit;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        uint64_t limit = strtoull(read_small(limits[i], text), NULL, 10);

        if (limit > 0 && limit < *bytes)
            *bytes = limit;
    }
    return 0;
}

int capacity_measure(const char *folder, struct capacity *out,
                     struct error *why)
{
    struct capacity found = {.net_bits = net_link_speed()};
    struct statvfs disk;

    if (measure_cpu(&found.cpu_milli, why) != 0 ||
        measure_memory(&found.memory_bytes, why) != 0)
        return (int)why->code;
    if (statvfs(folder, &disk) != 0)
        return error_errno(why, "measure the disk of %s", folder);
    found.disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
    *out = found;
    return 0;
}

/* ---- the offer ----------------------------------------------------------- */

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
    if (value < min)
        return min;
    return value < max ? value : max;
}

/* One resource: what is offered of it. A default never takes more than half;
 * only the user's own reserve can be too much. */
static int offer(uint64_t there, const struct capacity_wish *wish,
                 const struct capacity_wish *reserve, uint64_t usual,
                 uint64_t *out)
{
    if (wish->set) {
        *out = wish->value;
        return 0;
    }
    if (!reserve->set) {
        *out = there - (usual < there / 2 ? usual : there / 2);
        return 0;
    }
    if (reserve->value > there)
        return -1;
    *out = there - reserve->value;
    return 0;
}

static int offer_cpu(const struct capacity *machine,
                     const struct capacity_wishes *wishes, uint32_t *out,
                     struct error *why)
{
    uint64_t there = machine->cpu_milli;
    uint64_t usual = clamp(there * RESERVE_PERCENT / 100, RESERVE_CPU_MIN_MILLI,
                           RESERVE_CPU_MAX_MILLI);
    char has[QUANTITY_TEXT_MAX];
    char takes[QUANTITY_TEXT_MAX];
    uint64_t milli;

    if (offer(there, &wishes->cpu_milli, &wishes->reserve_cpu_milli, usual,
              &milli) != 0)
        return error_set(
            why, ERROR_INVALID_ARGUMENT, "--reserve-cpu %s: the machine has %s",
            quantity_format_cpu(takes, wishes->reserve_cpu_milli.value),
            quantity_format_cpu(has, there));
    *out = (uint32_t)milli;
    return 0;
}

static int too_much(const char *option, uint64_t reserve, uint64_t there,
                    struct error *why)
{
    char has[QUANTITY_TEXT_MAX];
    char takes[QUANTITY_TEXT_MAX];

    return error_set(why, ERROR_INVALID_ARGUMENT, "%s %s: the machine has %s",
                     option, quantity_format_bytes(takes, reserve),
                     quantity_format_bytes(has, there));
}

int capacity_offer(const struct capacity *machine,
                   const struct capacity_wishes *wishes, struct capacity *out,
                   struct error *why)
{
    struct capacity offered;
    uint64_t memory = machine->memory_bytes;
    uint64_t disk = machine->disk_bytes;
    uint64_t disk_usual =
        clamp(disk / 100 * RESERVE_PERCENT, 0, RESERVE_DISK_MAX_BYTES);
    uint64_t memory_usual =
        clamp(memory / 100 * RESERVE_PERCENT, RESERVE_MEMORY_MIN_BYTES,
              RESERVE_MEMORY_MAX_BYTES);

    if (offer_cpu(machine, wishes, &offered.cpu_milli, why) != 0)
        return (int)why->code;
    if (offer(memory, &wishes->memory_bytes, &wishes->reserve_memory_bytes,
              memory_usual, &offered.memory_bytes) != 0)
        return too_much("--reserve-mem", wishes->reserve_memory_bytes.value,
                        memory, why);
    if (offer(disk, &wishes->disk_bytes, &wishes->reserve_disk_bytes,
              disk_usual, &offered.disk_bytes) != 0)
        return too_much("--reserve-disk", wishes->reserve_disk_bytes.value,
                        disk, why);
    offered.net_bits =
        wishes->net_bits.set ? wishes->net_bits.value : machine->net_bits;
    *out = offered;
    return 0;
}

int capacity_check_net(const struct capacity *offer,
                       const struct capacity_wishes *wishes, const char *card,
                       struct error *why)
{
    if (offer->net_bits > 0 || wishes->net_bits.set)
        return 0;
    return error_set(why, ERROR_FAILED_PRECONDITION,
                     "%s%s: no net is offered, and pods that ask for net are "
                     "not placed here; say how much there is with --net, such "
                     "as --net 1G",
                     card[0] ? card : "no network interface is up",
                     card[0] ? " does not report its speed" : "");
}
