/* descriptors.h - which .proto file says what: an index of a serialised
 * google.protobuf.FileDescriptorSet.
 *
 * Pure. Reads the wire format directly, as of descriptor.proto only names
 * matter here. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { DESCRIPTORS_FILES_MAX = 64, DESCRIPTORS_NAME_MAX = 256 };

/* A run of bytes, borrowed. */
struct descriptors_bytes {
    const uint8_t *bytes;
    size_t length;
};

struct descriptors {
    struct descriptors_bytes files[DESCRIPTORS_FILES_MAX];
    size_t file_count;
};

/* DATA_LOSS when the set is broken or holds too many files. `bytes` is
 * borrowed for as long as `descriptors` is used. */
int descriptors_load(struct descriptors *descriptors, const uint8_t *bytes,
                     size_t length, struct error *why);

/* The file of that name, or the one that defines a symbol (a package's
 * message, field, enum, value, service or method). -1 when there is none. */
int descriptors_file_by_name(const struct descriptors *descriptors,
                             const char *name);
int descriptors_file_by_symbol(const struct descriptors *descriptors,
                               const char *symbol);

/* `file` and every file that it needs, each once, `file` first. Returns their
 * count. */
size_t descriptors_closure(const struct descriptors *descriptors, int file,
                           int out[DESCRIPTORS_FILES_MAX]);
