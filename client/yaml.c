#include "client/yaml.h"

#include "base/memory.h"
#include "base/nearest.h"
#include "base/quantity.h"
#include "base/utf8.h"
#include "client/json.h"
#include "client/message.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum {
    PLACE_MAX = 256,
    ELEMENTS_MAX = 4096, /* of a list */
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the present one */
    const char *path;
    FILE *file;
    size_t taken;          /* bytes of it */
    char place[PLACE_MAX]; /* "containers[0].image" */
};

/* ---- where it is ----------------------------------------------------------
 */

PRINTF_LIKE(3, 4)
static int refuse(const struct reader *reader, struct error *why,
                  const char *format, ...)
{
    char text[ERROR_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(why, ERROR_INVALID_ARGUMENT, "%s:%zu: %s%s%s",
                     reader->path, reader->event.start_mark.line + 1,
                     reader->place, reader->place[0] ? ": " : "", text);
}

/* Go down to a field or an element; what stood before is where to go back. */
static size_t enter(struct reader *reader, const char *name, size_t index)
{
    size_t length = strlen(reader->place);
    char *end = reader->place + length;

    if (name)
        snprintf(end, PLACE_MAX - length, "%s%s", length ? "." : "", name);
    else
        snprintf(end, PLACE_MAX - length, "[%zu]", index);
    return length;
}

static void leave(struct reader *reader, size_t length)
{
    reader->place[length] = '\0';
}

/* ---- events ---------------------------------------------------------------
 */

static int next(struct reader *reader, struct error *why)
{
    yaml_event_delete(&reader->event);
    if (!yaml_parser_parse(&reader->parser, &reader->event))
        return error_set(why, ERROR_INVALID_ARGUMENT, "%s:%zu: %s",
                         reader->path, reader->parser.problem_mark.line + 1,
                         reader->parser.problem ? reader->parser.problem
                                                : "no YAML");
    if (reader->event.type == YAML_ALIAS_EVENT)
        return refuse(reader, why, "aliases are not taken");
    return 0;
}

static const char *scalar(const struct reader *reader)
{
    return (const char *)reader->event.data.scalar.value;
}

static int expect(struct reader *reader, yaml_event_type_t type,
                  const char *what, struct error *why)
{
    if (next(reader, why) != 0)
        return (int)why->code;
    if (reader->event.type != type)
        return refuse(reader, why, "%s is expected here", what);
    return 0;
}

/* ---- scalars --------------------------------------------------------------
 */

static bool ends_in(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);

    return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

static bool parse_integer(const char *text, uint64_t *number)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* Plain, or with the unit that the field's name says. */
static int parse_unsigned(struct reader *reader, const char *name,
                          uint64_t *number, struct error *why)
{
    const char *text = scalar(reader);
    struct error unit = {0};
    uint32_t cpu_milli = 0;

    if (parse_integer(text, number))
        return 0;
    if (ends_in(name, "cpu_milli")) {
        quantity_parse_cpu(text, &cpu_milli, &unit);
        *number = cpu_milli;
    } else if (ends_in(name, "_bytes")) {
        quantity_parse_bytes(text, number, &unit);
    } else if (ends_in(name, "_bits")) {
        quantity_parse_net(text, number, &unit);
    } else if (ends_in(name, "_ms")) {
        quantity_parse_duration(text, number, &unit);
    } else {
        return refuse(reader, why, "\"%.80s\" is no number", text);
    }
    return unit.code ? refuse(reader, why, "%s", unit.message) : 0;
}

static int read_unsigned(struct reader *reader,
                         const ProtobufCFieldDescriptor *field, void *at,
                         struct error *why)
{
    bool narrow = field->type == PROTOBUF_C_TYPE_UINT32 ||
                  field->type == PROTOBUF_C_TYPE_FIXED32;
    uint64_t number = 0;

    if (parse_unsigned(reader, field->name, &number, why) != 0)
        return (int)why->code;
    if (narrow && number > UINT32_MAX)
        return refuse(reader, why, "%" PRIu64 " is too large", number);
    if (narrow)
        *(uint32_t *)at = (uint32_t)number;
    else
        *(uint64_t *)at = number;
    return 0;
}

static int read_signed(struct reader *reader, int32_t *at, struct error *why)
{
    const char *text = scalar(reader);
    char *end;
    long number;

    errno = 0;
    number = strtol(text, &end, 10);
    if ((text[0] != '-' && !isdigit((unsigned char)text[0])) || *end)
        return refuse(reader, why, "\"%.80s\" is no number", text);
    if (errno || number < INT32_MIN || number > INT32_MAX)
        return refuse(reader, why, "%.80s is out of range", text);
    *at = (int32_t)number;
    return 0;
}

static int read_bool(struct reader *reader, protobuf_c_boolean *at,
                     struct error *why)
{
    const char *text = scalar(reader);

    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return refuse(reader, why, "\"%.80s\" is neither true nor false", text);
    *at = text[0] == 't';
    return 0;
}

static int read_enum(struct reader *reader,
                     const ProtobufCEnumDescriptor *descriptor, int *at,
                     struct error *why)
{
    char known[ERROR_MESSAGE_MAX / 2] = "";
    char name[JSON_ENUM_MAX];

    for (unsigned i = 0; i < descriptor->n_values; i++) {
        size_t used = strlen(known);

        json_enum_name(name, descriptor, descriptor->values[i].value);
        if (strcmp(name, scalar(reader)) == 0) {
            *at = descriptor->values[i].value;
            return 0;
        }
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
                 name);
    }
    return refuse(reader, why, "\"%.80s\" is none of %s", scalar(reader),
                  known);
}

/* ---- messages -------------------------------------------------------------
 */

static int read_message(struct reader *reader,
                        const ProtobufCMessageDescriptor *descriptor,
                        ProtobufCMessage **out, struct error *why);

/* The present event begins a value of `field`, which goes to `at`. */
static int read_value(struct reader *reader,
                      const ProtobufCFieldDescriptor *field, void *at,
                      struct error *why)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return read_message(reader, field->descriptor, at, why);
    if (reader->event.type != YAML_SCALAR_EVENT)
        return refuse(reader, why, "one value is expected here");
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        if (strlen(scalar(reader)) != reader->event.data.scalar.length)
            return refuse(reader, why, "a zero byte");
        *(char **)at = memory_string(scalar(reader));
        return 0;
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(reader, at, why);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(reader, field->descriptor, at, why);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_unsigned(reader, field, at, why);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return read_signed(reader, at, why);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return refuse(reader, why, "cannot be written in a file");
}

/* Of those that read_value() takes. */
static size_t element_size(ProtobufCType type)
{
    if (type == PROTOBUF_C_TYPE_BOOL)
        return sizeof(protobuf_c_boolean);
    if (type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_FIXED32 ||
        type == PROTOBUF_C_TYPE_ENUM)
        return sizeof(uint32_t);
    return sizeof(uint64_t); /* or a pointer */
}

static int read_list(struct reader *reader,
                     const ProtobufCFieldDescriptor *field,
                     ProtobufCMessage *message, struct error *why)
{
    char *base = (char *)message;
    size_t *count = (size_t *)(void *)(base + field->quantifier_offset);
    char **list = (char **)(void *)(base + field->offset);
    size_t size = element_size(field->type);

    if (reader->event.type != YAML_SEQUENCE_START_EVENT)
        return refuse(reader, why, "a list is expected here");
    while (next(reader, why) == 0) {
        size_t outer = enter(reader, NULL, *count);

        if (reader->event.type == YAML_SEQUENCE_END_EVENT) {
            leave(reader, outer);
            return 0;
        }
        if (*count == ELEMENTS_MAX)
            return refuse(reader, why, "more than %d", ELEMENTS_MAX);
        *list = memory_resize(*list, (*count + 1) * size);
        memset(*list + *count * size, 0, size);
        if (read_value(reader, field, *list + *count * size, why) != 0) {
            /* A message that is half read is freed with the whole. */
            *count += field->type == PROTOBUF_C_TYPE_MESSAGE &&
                      *(void **)(void *)(*list + *count * size);
            return (int)why->code;
        }
        ++*count;
        leave(reader, outer);
    }
    return (int)why->code;
}

static int no_such_field(struct reader *reader,
                         const ProtobufCMessageDescriptor *descriptor,
                         struct error *why)
{
    const char *near = NULL;

    for (unsigned i = 0; i < descriptor->n_fields; i++)
        if (nearest_likely(scalar(reader), descriptor->fields[i].name))
            near = descriptor->fields[i].name;
    return refuse(reader, why, "there is no field \"%.64s\"%s%s%s",
                  scalar(reader), near ? "; did you mean " : "",
                  near ? near : "", near ? "?" : "");
}

/* A key is the present event. `seen`: one bit a field. */
static int read_field(struct reader *reader, ProtobufCMessage *message,
                      uint64_t *seen, struct error *why)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const ProtobufCFieldDescriptor *field;
    size_t outer;

    if (reader->event.type != YAML_SCALAR_EVENT)
        return refuse(reader, why, "a field's name is expected here");
    field = protobuf_c_message_descriptor_get_field_by_name(descriptor,
                                                            scalar(reader));
    if (!field)
        return no_such_field(reader, descriptor, why);
    if (*seen >> (field - descriptor->fields) & 1)
        return refuse(reader, why, "%s stands here twice", field->name);
    *seen |= UINT64_C(1) << (field - descriptor->fields);
    outer = enter(reader, field->name, 0);
    if (next(reader, why) != 0)
        return (int)why->code;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        if (read_list(reader, field, message, why) != 0)
            return (int)why->code;
    } else if (read_value(reader, field, (char *)message + field->offset,
                          why) != 0) {
        return (int)why->code;
    }
    leave(reader, outer);
    return 0;
}

static int read_message(struct reader *reader,
                        const ProtobufCMessageDescriptor *descriptor,
                        ProtobufCMessage **out, struct error *why)
{
    ProtobufCMessage *message;
    uint64_t seen = 0;

    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return refuse(reader, why, "fields are expected here");
    message = memory_new(descriptor->sizeof_message);
    protobuf_c_message_init(descriptor, message);
    *out = message;
    while (next(reader, why) == 0) {
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (read_field(reader, message, &seen, why) != 0)
            break;
    }
    return (int)why->code;
}

/* ---- the file -------------------------------------------------------------
 */

static int read_document(struct reader *reader,
                         const ProtobufCMessageDescriptor *descriptor,
                         ProtobufCMessage **out, struct error *why)
{
    if (expect(reader, YAML_STREAM_START_EVENT, "a file", why) != 0 ||
        expect(reader, YAML_DOCUMENT_START_EVENT, "a document", why) != 0 ||
        next(reader, why) != 0 ||
        read_message(reader, descriptor, out, why) != 0 ||
        expect(reader, YAML_DOCUMENT_END_EVENT, "the end", why) != 0)
        return (int)why->code;
    return expect(reader, YAML_STREAM_END_EVENT, "the end of the file", why);
}

static int limited_read(void *data, unsigned char *bytes, size_t size,
                        size_t *got)
{
    struct reader *reader = data;

    *got = fread(bytes, 1, size, reader->file);
    reader->taken += *got;
    return !ferror(reader->file) && reader->taken <= YAML_FILE_MAX_BYTES;
}

int yaml_read_message(const char *path,
                      const ProtobufCMessageDescriptor *descriptor,
                      ProtobufCMessage **out, struct error *why)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    struct reader reader = {.path = standard ? "stdin" : path, .file = file};
    ProtobufCMessage *message = NULL;
    int code;

    if (!file)
        return error_errno(why, "open %s", path);
    if (!yaml_parser_initialize(&reader.parser))
        abort();
    yaml_parser_set_input(&reader.parser, limited_read, &reader);
    code = read_document(&reader, descriptor, &message, why);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (!standard)
        fclose(file);
    if (code == 0)
        *out = message;
    else
        message_free(message);
    return code;
}
