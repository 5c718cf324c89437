/* yaml.h - a file of YAML (or JSON, which is YAML) as a protobuf message, by
 * its descriptor: what json.h writes, json_of_message() of it reads.
 *
 * Fields have their names and enums their short ones ("never"). A number
 * whose field ends in its unit may be written as kctl's options take it:
 * cpu_milli 500m, ..._bytes 1G, ..._bits 100M, ..._ms 10s. */
#pragma once

#include "base/error.h"

#include <protobuf-c/protobuf-c.h>

enum { YAML_FILE_MAX_BYTES = 1 << 20 };

/* "-" is standard input. The message is freed with message_free().
 * INVALID_ARGUMENT names the file, the line and the field. */
int yaml_read_message(const char *path,
                      const ProtobufCMessageDescriptor *descriptor,
                      ProtobufCMessage **out, struct error *why);
