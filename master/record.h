/* record.h - length-delimited records on a file descriptor.
 *
 * A record is its length as a varint (as in protobuf), then a SnapshotRecord
 * of that many bytes. */
#pragma once

#include "base/buffer.h"
#include "kontor/v1/command.pb-c.h"

enum {
    SNAPSHOT_VERSION = 1, /* of format 0; later ones count on from it */
    RECORD_MAX_BYTES = 256 << 10,
};

struct record_writer {
    int fd; /* borrowed */
    struct buffer buffer;
};

void record_writer_init(struct record_writer *writer, int fd);
void record_writer_fini(struct record_writer *writer);

int record_write(struct record_writer *writer,
                 const Kontor__V1__SnapshotRecord *record, struct error *why);
/* Write what is still buffered. */
int record_flush(struct record_writer *writer, struct error *why);

struct record_reader {
    int fd; /* borrowed */
    struct buffer buffer;
};

void record_reader_init(struct record_reader *reader, int fd);
void record_reader_fini(struct record_reader *reader);

/* The next record, freed by the caller. DATA_LOSS: the file ends early, a
 * length is absurd, the bytes are no record. */
int record_read(struct record_reader *reader, Kontor__V1__SnapshotRecord **out,
                struct error *why);

/* DATA_LOSS when anything follows. */
int record_read_end(struct record_reader *reader, struct error *why);
