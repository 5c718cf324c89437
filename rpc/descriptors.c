#include "rpc/descriptors.h"

#include <string.h>

/* Field numbers in descriptor.proto. */
enum {
    SET_FILE = 1,
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    FILE_EXTENSION = 7,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    ANY_NAME = 1, /* of a message, field, enum, value, service, method */
    ENUM_VALUE = 2,
    SERVICE_METHOD = 2,
};

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct field {
    unsigned number;
    struct descriptors_bytes value; /* of WIRE_BYTES; else empty */
};

static bool read_varint(struct descriptors_bytes *from, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && from->length > 0; shift += 7) {
        uint8_t byte = *from->bytes++;

        from->length--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool skip(struct descriptors_bytes *from, uint64_t length)
{
    if (length > from->length)
        return false;
    from->bytes += length;
    from->length -= (size_t)length;
    return true;
}

/* The next field; false at the end and where the bytes make no sense. */
static bool next_field(struct descriptors_bytes *from, struct field *field)
{
    uint64_t key;
    uint64_t number;

    field->value = (struct descriptors_bytes){0};
    if (!read_varint(from, &key))
        return false;
    field->number = (unsigned)(key >> 3);
    switch (key & 7) {
    case WIRE_VARINT:
        return read_varint(from, &number);
    case WIRE_64:
        return skip(from, 8);
    case WIRE_32:
        return skip(from, 4);
    case WIRE_BYTES:
        if (!read_varint(from, &number) || number > from->length)
            return false;
        field->value = (struct descriptors_bytes){from->bytes, (size_t)number};
        return skip(from, number);
    default:
        return false;
    }
}

/* The first field of that number; empty when there is none. */
static struct descriptors_bytes find_field(struct descriptors_bytes from,
                                           unsigned number)
{
    struct field field;

    while (next_field(&from, &field))
        if (field.number == number)
            return field.value;
    return (struct descriptors_bytes){0};
}

static bool is_text(struct descriptors_bytes bytes, const char *text)
{
    return bytes.length == strlen(text) &&
           (bytes.length == 0 || memcmp(bytes.bytes, text, bytes.length) == 0);
}

int descriptors_load(struct descriptors *descriptors, const uint8_t *bytes,
                     size_t length, struct error *why)
{
    struct descriptors_bytes set = {bytes, length};
    struct field field;

    descriptors->file_count = 0;
    while (next_field(&set, &field)) {
        if (field.number != SET_FILE)
            continue;
        if (descriptors->file_count == DESCRIPTORS_FILES_MAX)
            return error_set(why, ERROR_DATA_LOSS, "more than %d .proto files",
                             DESCRIPTORS_FILES_MAX);
        descriptors->files[descriptors->file_count++] = field.value;
    }
    if (set.length > 0)
        return error_set(why, ERROR_DATA_LOSS,
                         "the set of .proto files is broken %zu bytes before "
                         "its end",
                         set.length);
    return 0;
}

int descriptors_file_by_name(const struct descriptors *descriptors,
                             const char *name)
{
    for (size_t i = 0; i < descriptors->file_count; i++)
        if (is_text(find_field(descriptors->files[i], FILE_NAME), name))
            return (int)i;
    return -1;
}

/* Take `name` and a following dot off the front of *symbol. Without a dot
 * after it *symbol becomes "". */
static bool take_name(const char **symbol, struct descriptors_bytes name)
{
    if (name.length == 0 || strnlen(*symbol, name.length) < name.length ||
        memcmp(*symbol, name.bytes, name.length) != 0)
        return false;
    if ((*symbol)[name.length] == '\0') {
        *symbol += name.length;
        return true;
    }
    if ((*symbol)[name.length] != '.')
        return false;
    *symbol += name.length + 1;
    return true;
}

/* Does a definition or one of its parts have the name? A message nests: what
 * is left of the name gets shorter with every level, so this ends. */
static bool message_defines(struct descriptors_bytes message,
                            const char *symbol);

/* `part` is the field of an enum or service that holds its named parts. */
static bool group_defines(struct descriptors_bytes group, const char *symbol,
                          unsigned part)
{
    struct field field;

    if (!take_name(&symbol, find_field(group, ANY_NAME)))
        return false;
    if (*symbol == '\0')
        return true;
    while (next_field(&group, &field))
        if (field.number == part &&
            is_text(find_field(field.value, ANY_NAME), symbol))
            return true;
    return false;
}

/* An enum's values are named beside it, not within it. */
static bool enum_defines(struct descriptors_bytes group, const char *symbol)
{
    struct field field;

    if (is_text(find_field(group, ANY_NAME), symbol))
        return true;
    while (next_field(&group, &field))
        if (field.number == ENUM_VALUE &&
            is_text(find_field(field.value, ANY_NAME), symbol))
            return true;
    return false;
}

static bool message_defines(struct descriptors_bytes message,
                            const char *symbol)
{
    struct field field;

    if (!take_name(&symbol, find_field(message, ANY_NAME)))
        return false;
    if (*symbol == '\0')
        return true;
    while (next_field(&message, &field)) {
        if (field.number == MESSAGE_FIELD &&
            is_text(find_field(field.value, ANY_NAME), symbol))
            return true;
        if (field.number == MESSAGE_NESTED &&
            message_defines(field.value, symbol))
            return true;
        if (field.number == MESSAGE_ENUM && enum_defines(field.value, symbol))
            return true;
    }
    return false;
}

static bool file_defines(struct descriptors_bytes file, const char *symbol)
{
    struct descriptors_bytes package = find_field(file, FILE_PACKAGE);
    struct field field;

    if (package.length > 0 && (!take_name(&symbol, package) || *symbol == '\0'))
        return false;
    while (next_field(&file, &field)) {
        if (field.number == FILE_MESSAGE &&
            message_defines(field.value, symbol))
            return true;
        if (field.number == FILE_ENUM && enum_defines(field.value, symbol))
            return true;
        if (field.number == FILE_SERVICE &&
            group_defines(field.value, symbol, SERVICE_METHOD))
            return true;
        if (field.number == FILE_EXTENSION &&
            is_text(find_field(field.value, ANY_NAME), symbol))
            return true;
    }
    return false;
}

int descriptors_file_by_symbol(const struct descriptors *descriptors,
                               const char *symbol)
{
    for (size_t i = 0; i < descriptors->file_count; i++)
        if (file_defines(descriptors->files[i], symbol))
            return (int)i;
    return -1;
}

static bool contains(const int *files, size_t count, int file)
{
    for (size_t i = 0; i < count; i++)
        if (files[i] == file)
            return true;
    return false;
}

static int file_of(const struct descriptors *descriptors,
                   struct descriptors_bytes name)
{
    char text[DESCRIPTORS_NAME_MAX];

    if (name.length == 0 || name.length >= sizeof text)
        return -1;
    memcpy(text, name.bytes, name.length);
    text[name.length] = '\0';
    return descriptors_file_by_name(descriptors, text);
}

size_t descriptors_closure(const struct descriptors *descriptors, int file,
                           int out[DESCRIPTORS_FILES_MAX])
{
    size_t count = 1;

    out[0] = file;
    for (size_t i = 0; i < count; i++) {
        struct descriptors_bytes left = descriptors->files[out[i]];
        struct field field;

        while (next_field(&left, &field)) {
            int needed = -1;

            if (field.number == FILE_DEPENDENCY)
                needed = file_of(descriptors, field.value);
            if (needed >= 0 && !contains(out, count, needed))
                out[count++] = needed;
        }
    }
    return count;
}
