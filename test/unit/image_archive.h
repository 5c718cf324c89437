/* image_archive.h - tar archives and folders for the tests of images. */
#pragma once

#include <archive_entry.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ARCHIVE_BUILT_MAX_BYTES = 8 << 20 };

struct archive_built {
    struct archive *writer;
    uint8_t *bytes; /* owned; room for ARCHIVE_BUILT_MAX_BYTES */
    size_t length;  /* once ended */
};

void archive_built_begin(struct archive_built *built);
/* Closes the archive; `bytes` and `length` are its content. */
void archive_built_end(struct archive_built *built);
void archive_built_free(struct archive_built *built);

/* Add an entry owned by 0:0 with the mode 0644, or 0755 for folders, and the
 * time 1000000000. */
void archive_built_file(struct archive_built *built, const char *path,
                        const char *content);
void archive_built_folder(struct archive_built *built, const char *path);
void archive_built_symlink(struct archive_built *built, const char *path,
                           const char *to);
void archive_built_hardlink(struct archive_built *built, const char *path,
                            const char *to);
/* Any other; takes `entry`. */
struct archive_entry *archive_built_entry(const char *path, unsigned type,
                                          unsigned mode);
void archive_built_add(struct archive_built *built, struct archive_entry *entry,
                       const void *content, size_t length);

/* A fresh folder in TMPDIR or /tmp; its path, freed with free(). */
char *temporary_folder(void);
void temporary_remove(const char *path);

/* The bytes gzipped; freed with free(). */
uint8_t *gzip_bytes(const uint8_t *bytes, size_t length, size_t *out_length);
