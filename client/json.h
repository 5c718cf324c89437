/* json.h - any protobuf message as JSON, by its descriptor.
 *
 * Fields keep their names; an enum's value is its name in small letters
 * without the prefix that all values of the enum share ("running"); 64-bit
 * numbers are numbers; bytes are base64. Every field is there, but unset
 * messages. */
#pragma once

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

/* A new reference. Text that is no UTF-8 has '?' in place of bad bytes. */
json_t *json_of_message(const ProtobufCMessage *message);

enum { JSON_ENUM_MAX = 64 };

/* "running" for POD_RUNNING; the number for a value without a name. */
char *json_enum_name(char text[JSON_ENUM_MAX],
                     const ProtobufCEnumDescriptor *descriptor, int value);
