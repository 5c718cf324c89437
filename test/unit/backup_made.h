/* backup_made.h - backups of any content, sealed as they should be. For tests
 * and fuzzers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A file in memory, the caller's to close. */
int backup_made(const char *kind, const uint8_t *header, size_t header_length,
                const uint8_t *body, size_t body_length);
