/* backup_file.h - what a backup holds, read and checked without a cluster. */
#pragma once

#include "base/envelope.h"
#include "kontor/v1/backup.pb-c.h"
#include "kontor/v1/command.pb-c.h"

#include <jansson.h>

enum { BACKUP_PHASES = KONTOR__V1__POD_PHASE__POD_STOPPED + 1 };

struct backup_content {
    Kontor__V1__BackupHeader *header; /* owned */
    uint64_t bytes;                   /* of the state */
    uint64_t nodes;
    uint64_t pods[BACKUP_PHASES]; /* how many in each phase */
    uint64_t requests;
    uint64_t events;
};

void backup_content_fini(struct backup_content *content);

/* Read the whole file. INVALID_ARGUMENT: it is no backup; FAILED_PRECONDITION:
 * one of another form; DATA_LOSS: it is damaged, or was cut. `why` does not
 * name the file. */
int backup_file_read(int fd, struct backup_content *out, struct error *why);

/* The same for programs; a new reference. */
json_t *backup_content_json(const struct backup_content *content);
