#include "client/drill_history.h"

#include "base/clock.h"
#include "base/compare.h"
#include "base/memory.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

size_t drill_history_begin(struct drill_history *history, unsigned client,
                           bool is_read)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity ? history->capacity * 2 : 1024;
        history->operations =
            memory_resize(history->operations,
                          history->capacity * sizeof *history->operations);
    }
    history->operations[history->count] = (struct drill_operation){
        .client = client,
        .is_read = is_read,
        .invoked_ns = clock_monotonic_ns(),
    };
    return history->count++;
}

void drill_history_fini(struct drill_history *history)
{
    free(history->operations);
    *history = (struct drill_history){0};
}

static bool is_acknowledged_write(const struct drill_operation *operation)
{
    return !operation->is_read && operation->result == DRILL_OK;
}

uint64_t drill_history_recovered_ns(const struct drill_history *history,
                                    uint64_t fault_ns)
{
    uint64_t first_ns = 0;

    for (size_t i = history->count; i > 0; i--) {
        const struct drill_operation *at = &history->operations[i - 1];

        if (at->invoked_ns <= fault_ns)
            break;
        if (is_acknowledged_write(at) &&
            (first_ns == 0 || at->returned_ns < first_ns))
            first_ns = at->returned_ns;
    }
    return first_ns;
}

uint64_t drill_history_silence_ns(const struct drill_history *history,
                                  uint64_t from_ns, uint64_t until_ns)
{
    uint64_t *times = memory_array(history->count + 1, sizeof *times);
    uint64_t before_ns = 0;
    uint64_t longest_ns = 0;
    size_t count = 0;

    for (size_t i = 0; i < history->count; i++) {
        const struct drill_operation *at = &history->operations[i];

        if (!is_acknowledged_write(at) || at->returned_ns > until_ns)
            continue;
        if (at->returned_ns >= from_ns)
            times[count++] = at->returned_ns;
        else if (at->returned_ns > before_ns)
            before_ns = at->returned_ns;
    }
    times[count++] = until_ns;
    qsort(times, count, sizeof *times, compare_u64);
    if (before_ns == 0)
        before_ns = from_ns;
    for (size_t i = 0; i < count; i++) {
        if (times[i] - before_ns > longest_ns)
            longest_ns = times[i] - before_ns;
        before_ns = times[i];
    }
    free(times);
    return longest_ns;
}

/* ---- the file -------------------------------------------------------------
 */

/* NULL in JSON for what is not known, or not there. */
static json_t *json_of_value(const struct drill_operation *at)
{
    char text[17];

    if (at->value == 0)
        return json_null();
    snprintf(text, sizeof text, "%016" PRIx64, at->value);
    return json_string(text);
}

static json_t *json_of_operation(const struct drill_operation *at)
{
    static const char *const results[] = {"unknown", "ok", "fail"};
    json_t *value = json_of_value(at);
    /* A pod whose name was never learned is read by nobody. */
    json_t *key = at->pod[0] ? json_string(at->pod) : json_incref(value);
    json_t *returned = at->result == DRILL_UNKNOWN
                           ? json_null()
                           : json_integer((json_int_t)at->returned_ns);

    return json_pack("{s:i,s:s,s:o,s:I,s:o,s:s,s:o}", "client", (int)at->client,
                     "kind", at->is_read ? "read" : "write", "key", key,
                     "invoke_ns", (json_int_t)at->invoked_ns, "return_ns",
                     returned, "result", results[at->result], "value", value);
}

int drill_history_save(const struct drill_history *history, const char *path,
                       struct error *why)
{
    FILE *file = fopen(path, "we");
    bool failed;

    if (!file)
        return error_errno(why, "open %s", path);
    for (size_t i = 0; i < history->count; i++) {
        json_t *line = json_of_operation(&history->operations[i]);

        json_dumpf(line, file, JSON_COMPACT);
        fputc('\n', file);
        json_decref(line);
    }
    failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return error_errno(why, "write %s", path);
    return 0;
}
