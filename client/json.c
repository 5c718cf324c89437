#include "client/json.h"

#include "base/memory.h"
#include "base/utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Length of the prefix, up to an underscore, that all names share. */
static size_t shared_prefix(const ProtobufCEnumDescriptor *descriptor)
{
    const char *first = descriptor->values[0].name;
    size_t shared = strlen(first);

    for (unsigned i = 1; i < descriptor->n_values; i++) {
        size_t same = 0;

        while (same < shared && first[same] == descriptor->values[i].name[same])
            same++;
        shared = same;
    }
    while (shared > 0 && first[shared - 1] != '_')
        shared--;
    return shared;
}

char *json_enum_name(char text[JSON_ENUM_MAX],
                     const ProtobufCEnumDescriptor *descriptor, int value)
{
    const ProtobufCEnumValue *known =
        protobuf_c_enum_descriptor_get_value(descriptor, value);
    size_t length = 0;

    if (!known) {
        snprintf(text, JSON_ENUM_MAX, "%d", value);
        return text;
    }
    for (const char *at = known->name + shared_prefix(descriptor);
         *at && length + 1 < JSON_ENUM_MAX; at++)
        text[length++] = (char)tolower((unsigned char)*at);
    text[length] = '\0';
    return text;
}

static json_t *of_unsigned(uint64_t number)
{
    char text[24];

    if (number <= INT64_MAX)
        return json_integer((json_int_t)number);
    snprintf(text, sizeof text, "%" PRIu64, number);
    return json_string(text);
}

static json_t *of_string(const char *string)
{
    size_t size = strlen(string) + 1;
    char *clean = memory_new(size);
    json_t *json;

    utf8_clean(clean, size, string);
    json = json_string(clean);
    free(clean);
    return json;
}

static json_t *of_bytes(const ProtobufCBinaryData *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = memory_new((bytes->len + 2) / 3 * 4 + 1);
    char *out = text;
    json_t *json;

    for (size_t i = 0; i < bytes->len; i += 3) {
        size_t left = bytes->len - i;
        uint32_t word = (uint32_t)bytes->data[i] << 16;

        if (left > 1)
            word |= (uint32_t)bytes->data[i + 1] << 8;
        if (left > 2)
            word |= bytes->data[i + 2];
        *out++ = digits[word >> 18];
        *out++ = digits[word >> 12 & 63];
        *out++ = left > 1 ? digits[word >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[word & 63] : '=';
    }
    json = json_string(text);
    free(text);
    return json;
}

/* One value at `at`, which is laid out as protobuf-c lays out such a field;
 * NULL for an unset message. */
static json_t *of_value(const ProtobufCFieldDescriptor *field, const void *at)
{
    char name[JSON_ENUM_MAX];

    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return json_integer(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return of_unsigned(*(const uint64_t *)at);
    case PROTOBUF_C_TYPE_FLOAT:
        return json_real(*(const float *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return json_string(
            json_enum_name(name, field->descriptor, *(const int *)at));
    case PROTOBUF_C_TYPE_STRING:
        return of_string(*(char *const *)at ? *(char *const *)at : "");
    case PROTOBUF_C_TYPE_BYTES:
        return of_bytes(at);
    case PROTOBUF_C_TYPE_MESSAGE:
        if (!*(ProtobufCMessage *const *)at)
            return NULL;
        return json_of_message(*(ProtobufCMessage *const *)at);
    }
    return NULL;
}

/* Bytes from one element of a repeated field to the next. */
static size_t element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    }
    return sizeof(void *);
}

static json_t *of_repeated(const ProtobufCFieldDescriptor *field,
                           const char *message)
{
    size_t count =
        *(const size_t *)(const void *)(message + field->quantifier_offset);
    const char *at =
        *(const char *const *)(const void *)(message + field->offset);
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++, at += element_size(field->type))
        json_array_append_new(array, of_value(field, at));
    return array;
}

/* A field of a oneof that holds another one is not there. */
static bool is_set(const ProtobufCFieldDescriptor *field, const char *message)
{
    if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return true;
    return *(const uint32_t *)(const void *)(message +
                                             field->quantifier_offset) ==
           field->id;
}

json_t *json_of_message(const ProtobufCMessage *message)
{
    const char *bytes = (const char *)message;
    json_t *object = json_object();

    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        json_t *value = NULL;

        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            value = of_repeated(field, bytes);
        else if (is_set(field, bytes))
            value = of_value(field, bytes + field->offset);
        if (value)
            json_object_set_new(object, field->name, value);
    }
    return object;
}
