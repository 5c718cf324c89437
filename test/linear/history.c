#include "test/linear/history.h"

#include "base/map.h"
#include "base/memory.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* A text that has a number: a key's name or a value. */
struct text {
    struct map_link link;
    char *text; /* borrowed from the history */
    size_t number;
};

struct reader {
    struct history *history;
    struct map keys;
    struct map values;
    unsigned line;
};

static struct text *find_text(const struct map *map, const char *text)
{
    uint64_t hash = map_hash_bytes(text, strlen(text));

    for (struct map_link *link = map_chain(map, hash); link;
         link = link->next) {
        struct text *found = container_of(link, struct text, link);

        if (link->hash == hash && strcmp(found->text, text) == 0)
            return found;
    }
    return NULL;
}

static void add_text(struct map *map, char *text, size_t number)
{
    struct text *added = memory_new(sizeof *added);

    added->text = text;
    added->number = number;
    map_insert(map, &added->link, map_hash_bytes(text, strlen(text)));
}

static void *grown(void *array, size_t count, size_t size)
{
    /* A power of two is full. */
    if ((count & (count - 1)) != 0)
        return array;
    return memory_resize(array, (count ? count * 2 : 1) * size);
}

static struct history_key *key_of(struct reader *reader, const char *name)
{
    struct history *history = reader->history;
    struct text *found = find_text(&reader->keys, name);
    struct history_key *key;

    if (found)
        return &history->keys[found->number];
    history->keys = grown(history->keys, history->count, sizeof *history->keys);
    key = &history->keys[history->count];
    *key = (struct history_key){.name = memory_string(name)};
    add_text(&reader->keys, key->name, history->count++);
    return key;
}

/* From 1 on; 0 is no value. */
static uint64_t value_of(struct reader *reader, const json_t *json)
{
    struct history *history = reader->history;
    const char *text = json_string_value(json);
    struct text *found;

    if (!text)
        return 0;
    found = find_text(&reader->values, text);
    if (found)
        return found->number;
    history->values =
        grown(history->values, history->value_count, sizeof *history->values);
    history->values[history->value_count] = memory_string(text);
    add_text(&reader->values, history->values[history->value_count],
             history->value_count + 1);
    return ++history->value_count;
}

/* ---- a line ---------------------------------------------------------------
 */

static bool is_one_of(const json_t *json, const char *const *words)
{
    const char *text = json_string_value(json);

    for (; text && *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static int wrong(const struct reader *reader, const char *what,
                 struct error *why)
{
    return error_set(why, ERROR_INVALID_ARGUMENT, "line %u: %s", reader->line,
                     what);
}

static int check_line(const struct reader *reader, const json_t *line,
                      struct error *why)
{
    static const char *const kinds[] = {"read", "write", NULL};
    static const char *const results[] = {"ok", "fail", "unknown", NULL};
    const json_t *value = json_object_get(line, "value");
    const json_t *invoked = json_object_get(line, "invoke_ns");
    const json_t *returned = json_object_get(line, "return_ns");
    const json_t *kind = json_object_get(line, "kind");
    const json_t *result = json_object_get(line, "result");

    if (!is_one_of(kind, kinds))
        return wrong(reader, "kind is neither read nor write", why);
    if (!is_one_of(result, results))
        return wrong(reader, "result is none of ok, fail and unknown", why);
    if (!json_is_string(json_object_get(line, "key")))
        return wrong(reader, "there is no key", why);
    if (!json_is_integer(json_object_get(line, "client")))
        return wrong(reader, "there is no client", why);
    if (!json_is_integer(invoked) || json_integer_value(invoked) < 0)
        return wrong(reader, "there is no invoke_ns", why);
    if (strcmp(json_string_value(result), "unknown") != 0 &&
        (!json_is_integer(returned) ||
         json_integer_value(returned) <= json_integer_value(invoked)))
        return wrong(reader, "return_ns is not after invoke_ns", why);
    if (!json_is_string(value) &&
        (!json_is_null(value) || strcmp(json_string_value(kind), "read") != 0))
        return wrong(reader, "there is no value", why);
    return 0;
}

static void add_line(struct reader *reader, const json_t *line)
{
    const char *result = json_string_value(json_object_get(line, "result"));
    bool is_read =
        strcmp(json_string_value(json_object_get(line, "kind")), "read") == 0;
    bool is_known = strcmp(result, "unknown") != 0;
    struct history_key *key;

    if (strcmp(result, "fail") == 0 || (is_read && !is_known))
        return;
    key = key_of(reader, json_string_value(json_object_get(line, "key")));
    key->operations =
        grown(key->operations, key->count, sizeof *key->operations);
    key->operations[key->count++] = (struct linear_operation){
        .is_read = is_read,
        .value = value_of(reader, json_object_get(line, "value")),
        .invoked_ns =
            (uint64_t)json_integer_value(json_object_get(line, "invoke_ns")),
        .returned_ns = is_known ? (uint64_t)json_integer_value(
                                      json_object_get(line, "return_ns"))
                                : LINEAR_PENDING,
        .client = (unsigned)json_integer_value(json_object_get(line, "client")),
        .line = reader->line,
    };
    reader->history->operations++;
}

/* ---- all ------------------------------------------------------------------
 */

static int read_lines(struct reader *reader, FILE *file, struct error *why)
{
    CLEANUP(free_pointer) char *text = NULL;
    size_t capacity = 0;
    ssize_t length;

    while ((length = getline(&text, &capacity, file)) > 0) {
        json_error_t trouble;
        json_t *line = json_loadb(text, (size_t)length, 0, &trouble);
        int code;

        reader->line++;
        if (!line)
            return wrong(reader, trouble.text, why);
        code = check_line(reader, line, why);
        if (code == 0)
            add_line(reader, line);
        json_decref(line);
        if (code != 0)
            return code;
    }
    return ferror(file) ? error_errno(why, "read") : 0;
}

static void free_texts(struct map *map)
{
    for (size_t i = 0; i < map->slot_count; i++) {
        struct map_link *link = map->slots[i];

        while (link) {
            struct text *text = container_of(link, struct text, link);

            link = link->next;
            free(text);
        }
    }
    map_fini(map);
}

int history_read(struct history *out, FILE *file, struct error *why)
{
    struct history history = {0};
    struct reader reader = {.history = &history};
    int code;

    map_init(&reader.keys);
    map_init(&reader.values);
    code = read_lines(&reader, file, why);
    free_texts(&reader.keys);
    free_texts(&reader.values);
    if (code == 0)
        *out = history;
    else
        history_fini(&history);
    return code;
}

void history_fini(struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        free(history->keys[i].name);
        free(history->keys[i].operations);
    }
    for (size_t i = 0; i < history->value_count; i++)
        free(history->values[i]);
    free(history->keys);
    free(history->values);
}

struct history_key *history_check(struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        struct history_key *key = &history->keys[i];

        if (linear_check(key->operations, key->count))
            continue;
        key->count = linear_shrink(key->operations, key->count);
        return key;
    }
    return NULL;
}

void history_print(const struct history *history, const struct history_key *key,
                   FILE *out)
{
    uint64_t start_ns = key->count ? key->operations[0].invoked_ns : 0;

    for (size_t i = 0; i < key->count; i++) {
        const struct linear_operation *at = &key->operations[i];

        fprintf(out, "  line %-6u client %-3u %-5s %-18s %12.6f ms .. ",
                at->line, at->client, at->is_read ? "read" : "write",
                at->value ? history->values[at->value - 1] : "nothing",
                (double)(at->invoked_ns - start_ns) / 1e6);
        if (at->returned_ns == LINEAR_PENDING)
            fprintf(out, "not yet\n");
        else
            fprintf(out, "%.6f ms\n",
                    (double)(at->returned_ns - start_ns) / 1e6);
    }
}
