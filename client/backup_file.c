#include "client/backup_file.h"

#include "base/lang.h"

#include <inttypes.h>
#include <stdbool.h>
#include <sys/mman.h>

static const char kind[] = "kontor-backup 1\n";

enum { LENGTH_MAX_BYTES = 5 }; /* a varint of 32 bits */

void backup_content_fini(struct backup_content *content)
{
    if (content->header)
        kontor__v1__backup_header__free_unpacked(content->header, NULL);
    *content = (struct backup_content){0};
}

/* ---- the state, record by record ---- */

struct records {
    const uint8_t *at;
    const uint8_t *end;
    Kontor__V1__SnapshotHeader claimed; /* its numbers; strings not kept */
    bool headed;
    uint64_t pods;
};

/* The length before a record (a varint) is taken off. */
static bool take_length(struct records *records, size_t *length)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < LENGTH_MAX_BYTES && records->at < records->end;
         i++) {
        uint8_t byte = *records->at++;

        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *length = (size_t)value;
        return value <= (uint64_t)(records->end - records->at);
    }
    return false;
}

static bool count_pod(struct records *records, struct backup_content *out,
                      const Kontor__V1__Pod *pod)
{
    if (!pod || !pod->status || (int)pod->status->phase < 0 ||
        (int)pod->status->phase >= BACKUP_PHASES)
        return false;
    out->pods[pod->status->phase]++;
    records->pods++;
    return true;
}

/* The first record, and no other, is the header. */
static bool count(struct records *records, struct backup_content *out,
                  const Kontor__V1__SnapshotRecord *record)
{
    bool first = !records->headed;

    switch (record->record_case) {
    case KONTOR__V1__SNAPSHOT_RECORD__RECORD_HEADER:
        records->claimed = *record->header;
        records->headed = true;
        return first;
    case KONTOR__V1__SNAPSHOT_RECORD__RECORD_NODE:
        out->nodes++;
        break;
    case KONTOR__V1__SNAPSHOT_RECORD__RECORD_POD:
        return !first && count_pod(records, out, record->pod->pod);
    case KONTOR__V1__SNAPSHOT_RECORD__RECORD_REQUEST:
        out->requests++;
        break;
    case KONTOR__V1__SNAPSHOT_RECORD__RECORD_EVENT:
        out->events++;
        break;
    case KONTOR__V1__SNAPSHOT_RECORD__RECORD_SPEC:
    case KONTOR__V1__SNAPSHOT_RECORD__RECORD_ENDED:
        break;
    case KONTOR__V1__SNAPSHOT_RECORD__RECORD__NOT_SET:
    case _KONTOR__V1__SNAPSHOT_RECORD__RECORD__CASE_IS_INT_SIZE:
        return false;
    }
    return !first;
}

static bool next(struct records *records, struct backup_content *out)
{
    Kontor__V1__SnapshotRecord *record;
    size_t length;
    bool good;

    if (!take_length(records, &length))
        return false;
    record = kontor__v1__snapshot_record__unpack(NULL, length, records->at);
    if (!record)
        return false;
    good = count(records, out, record);
    kontor__v1__snapshot_record__free_unpacked(record, NULL);
    records->at += length;
    return good;
}

static int count_all(const uint8_t *bytes, size_t length,
                     struct backup_content *out, struct error *why)
{
    struct records records = {.at = bytes, .end = bytes + length};

    while (records.at < records.end) {
        size_t offset = (size_t)(records.at - bytes);

        if (!next(&records, out))
            return error_set(why, ERROR_DATA_LOSS,
                             "it is damaged: no record is at byte %zu of the "
                             "state",
                             offset);
    }
    if (!records.headed || records.claimed.nodes != out->nodes ||
        records.claimed.pods != records.pods ||
        records.claimed.requests != out->requests ||
        records.claimed.events != out->events)
        return error_set(why, ERROR_DATA_LOSS,
                         "it is damaged: the state has other records than it "
                         "says");
    return 0;
}

/* ---- the file ---- */

/* The whole file in memory: what of it is looked at is read when it is. */
static int map_and_count(int fd, const struct envelope *envelope,
                         struct backup_content *out, struct error *why)
{
    size_t length = (size_t)(envelope->body_offset + envelope->body_bytes);
    uint8_t *bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    int code;

    if (bytes == MAP_FAILED)
        return error_errno(why, "read");
    code = count_all(bytes + envelope->body_offset,
                     (size_t)envelope->body_bytes, out, why);
    munmap(bytes, length);
    return code;
}

static int read_content(int fd, const struct envelope *envelope,
                        struct backup_content *out, struct error *why)
{
    out->bytes = envelope->body_bytes;
    out->header = kontor__v1__backup_header__unpack(
        NULL, envelope->header_length, envelope->header);
    if (!out->header || !out->header->members)
        return error_set(why, ERROR_DATA_LOSS,
                         "it is damaged: its header is none");
    return map_and_count(fd, envelope, out, why);
}

int backup_file_read(int fd, struct backup_content *out, struct error *why)
{
    struct envelope envelope;
    struct backup_content content = {0};
    int code = envelope_check(fd, kind, &envelope, why);

    if (code)
        return code;
    code = read_content(fd, &envelope, &content, why);
    free(envelope.header);
    if (code)
        backup_content_fini(&content);
    else
        *out = content;
    return code;
}
