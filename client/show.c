#include "client/show.h"

#include "base/feature.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    enum colour colour;
    bool final;
} phases[] = {
    [KONTOR__V1__POD_PHASE__POD_PENDING] = {"Pending", COLOUR_WARN, false},
    [KONTOR__V1__POD_PHASE__POD_PLACED] = {"Placed", COLOUR_NONE, false},
    [KONTOR__V1__POD_PHASE__POD_PULLING] = {"Pulling", COLOUR_NONE, false},
    [KONTOR__V1__POD_PHASE__POD_STARTING] = {"Starting", COLOUR_NONE, false},
    [KONTOR__V1__POD_PHASE__POD_RUNNING] = {"Running", COLOUR_GOOD, false},
    [KONTOR__V1__POD_PHASE__POD_BACKOFF] = {"Backoff", COLOUR_BAD, false},
    [KONTOR__V1__POD_PHASE__POD_STOPPING] = {"Stopping", COLOUR_NONE, false},
    [KONTOR__V1__POD_PHASE__POD_SUCCEEDED] = {"Succeeded", COLOUR_GOOD, true},
    [KONTOR__V1__POD_PHASE__POD_FAILED] = {"Failed", COLOUR_BAD, true},
    [KONTOR__V1__POD_PHASE__POD_STOPPED] = {"Stopped", COLOUR_FAINT, true},
};

static bool known(Kontor__V1__PodPhase phase)
{
    return (size_t)phase < ARRAY_LEN(phases) && phases[phase].name;
}

const char *show_phase(Kontor__V1__PodPhase phase)
{
    return known(phase) ? phases[phase].name : "Unknown";
}

enum colour show_phase_colour(Kontor__V1__PodPhase phase)
{
    return known(phase) ? phases[phase].colour : COLOUR_WARN;
}

bool show_phase_is_final(Kontor__V1__PodPhase phase)
{
    return known(phase) && phases[phase].final;
}

Kontor__V1__PodPhase show_pod_phase(const Kontor__V1__Pod *pod)
{
    return pod->status ? pod->status->phase
                       : KONTOR__V1__POD_PHASE__POD_PENDING;
}

char *show_pod_reason(char text[SHOW_REASON_MAX], const Kontor__V1__Pod *pod)
{
    const Kontor__V1__PodStatus *status = pod->status;

    text[0] = '\0';
    if (!status)
        return text;
    if (status->reason[0])
        snprintf(text, SHOW_REASON_MAX, "%s", status->reason);
    else if (status->oom_killed)
        snprintf(text, SHOW_REASON_MAX, "out of memory");
    else if (status->phase == KONTOR__V1__POD_PHASE__POD_STOPPED)
        return text; /* by the signal that was asked for */
    else if (status->signal != 0)
        snprintf(text, SHOW_REASON_MAX, "killed by signal %d",
                 (int)status->signal);
    else if (status->exit_code != 0)
        snprintf(text, SHOW_REASON_MAX, "exit code %d", (int)status->exit_code);
    return text;
}

const char *show_node_status(const Kontor__V1__NodeInfo *node)
{
    switch (node->state) {
    case KONTOR__V1__NODE_STATE__NODE_READY:
        return node->cordoned ? "Ready,cordoned" : "Ready";
    case KONTOR__V1__NODE_STATE__NODE_SUSPECT:
        return node->cordoned ? "Suspect,cordoned" : "Suspect";
    case KONTOR__V1__NODE_STATE__NODE_LOST:
        return node->cordoned ? "Lost,cordoned" : "Lost";
    case _KONTOR__V1__NODE_STATE_IS_INT_SIZE:
        break;
    }
    return "Unknown";
}

enum colour show_node_colour(const Kontor__V1__NodeInfo *node)
{
    if (node->state == KONTOR__V1__NODE_STATE__NODE_LOST)
        return COLOUR_BAD;
    if (node->state != KONTOR__V1__NODE_STATE__NODE_READY || node->cordoned)
        return COLOUR_WARN;
    return COLOUR_GOOD;
}

/* Append to a text that is cut at its size. */
static void add(char text[SHOW_REASON_MAX], const char *format, ...)
    PRINTF_LIKE(2, 3);

static void add(char text[SHOW_REASON_MAX], const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, SHOW_REASON_MAX - used, format, arguments);
    va_end(arguments);
}

char *show_labels(char text[SHOW_REASON_MAX], Kontor__V1__Label *const *labels,
                  size_t count)
{
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const Kontor__V1__Label *label = labels[i];

        if (strncmp(label->key, FEATURE_PREFIX, strlen(FEATURE_PREFIX)) == 0 &&
            strcmp(label->value, FEATURE_KNOWN) == 0)
            continue;
        add(text, "%s%s%s%s", text[0] ? "," : "", label->key,
            label->value[0] ? "=" : "", label->value);
    }
    if (text[0] == '\0')
        add(text, "-");
    return text;
}

char *show_constraint(char text[SHOW_REASON_MAX],
                      const Kontor__V1__Constraint *constraint)
{
    text[0] = '\0';
    if (constraint->n_values == 1) {
        add(text, "%s%s%s", constraint->key, constraint->none_of ? "!=" : "=",
            constraint->values[0]);
        return text;
    }
    add(text, "%s %sin (", constraint->key, constraint->none_of ? "not " : "");
    for (size_t i = 0; i < constraint->n_values; i++)
        add(text, "%s%s", i > 0 ? "," : "", constraint->values[i]);
    add(text, ")");
    return text;
}

char *show_age(char text[QUANTITY_TEXT_MAX], uint64_t now_ms, uint64_t then_ms)
{
    uint64_t seconds = now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;

    if (then_ms == 0)
        snprintf(text, QUANTITY_TEXT_MAX, "-");
    else if (seconds < 60)
        snprintf(text, QUANTITY_TEXT_MAX, "%" PRIu64 "s", seconds);
    else
        quantity_format_duration(text, seconds * 1000);
    return text;
}

char *show_time(char text[SHOW_TEXT_MAX], uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm local;

    if (wall_ms == 0 || !localtime_r(&seconds, &local) ||
        strftime(text, SHOW_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &local) == 0)
        snprintf(text, SHOW_TEXT_MAX, "-");
    return text;
}

/* done <= total, total > 0. */
static unsigned percent(uint64_t done, uint64_t total)
{
    if (total > UINT64_MAX / 100)
        return (unsigned)(done / (total / 100));
    return (unsigned)(done * 100 / total);
}

char *show_progress(char text[SHOW_TEXT_MAX], uint64_t done, uint64_t total)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    uint64_t factor = 1;
    size_t unit = 0;

    if (done > total)
        done = total;
    while (unit + 1 < ARRAY_LEN(units) && total / factor >= 1024) {
        factor *= 1024;
        unit++;
    }
    if (total == 0)
        text[0] = '\0';
    else if (unit == 0)
        snprintf(text, SHOW_TEXT_MAX, "%" PRIu64 "/%" PRIu64 " B  %u%%", done,
                 total, percent(done, total));
    else
        snprintf(text, SHOW_TEXT_MAX,
                 "%" PRIu64 ".%" PRIu64 "/%" PRIu64 ".%" PRIu64 " %s  %u%%",
                 done / factor, done % factor * 10 / factor, total / factor,
                 total % factor * 10 / factor, units[unit],
                 percent(done, total));
    return text;
}

/* Append ", <name> <amount>". */
static void add_amount(char text[SHOW_REASON_MAX], const char *name,
                       const char *amount)
{
    add(text, "%s%s %s", text[0] ? ", " : "", name, amount);
}

char *show_resources(char text[SHOW_REASON_MAX],
                     const Kontor__V1__Resources *resources)
{
    char amount[QUANTITY_TEXT_MAX];

    text[0] = '\0';
    if (resources && resources->cpu_milli)
        add_amount(text, "cpu",
                   quantity_format_cpu(amount, resources->cpu_milli));
    if (resources && resources->memory_bytes)
        add_amount(text, "memory",
                   quantity_format_bytes(amount, resources->memory_bytes));
    if (resources && resources->disk_bytes)
        add_amount(text, "disk",
                   quantity_format_bytes(amount, resources->disk_bytes));
    if (resources && resources->net_bits)
        add_amount(text, "net",
                   quantity_format_net(amount, resources->net_bits));
    if (!text[0])
        add(text, "nothing");
    return text;
}
