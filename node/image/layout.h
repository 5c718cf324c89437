/* layout.h - an OCI image layout: a folder with index.json and blobs
 * (OCI image-spec, image-layout.md). Blobs are verified as a registry's. */
#pragma once

#include "base/buffer.h"
#include "node/image/manifest.h"
#include "node/image/reference.h"

struct layout {
    int fd; /* owned; the folder */
};

/* `dir` as openat(2). NOT_FOUND when there is no such folder,
 * FAILED_PRECONDITION when it is no layout of version 1. */
int layout_open(struct layout *layout, int dir, const char *folder,
                struct error *why);
void layout_close(struct layout *layout);

/* The manifest or index of `tag` ("": the only one). NOT_FOUND names the tag,
 * INVALID_ARGUMENT says what is wrong with index.json. */
int layout_find(const struct layout *layout, const char *tag,
                struct descriptor *out, struct error *why);

/* Set the digest of a layout's reference to what its tag leads to now. Reads
 * small files; fails as the two above do. */
int layout_resolve(struct reference *reference, struct error *why);

/* A file of a folder that others filled, by a path that stays in it, and its
 * size; the caller closes it. */
int layout_file_open(int folder, const char *path, int *fd, uint64_t *size,
                     struct error *why);

/* All of it, into the empty `out`, whose limit bounds it. */
int layout_file_read(int folder, const char *path, struct buffer *out,
                     struct error *why);

/* A small blob, whole and verified, into the empty `out`. */
int layout_blob(const struct layout *layout, const struct descriptor *blob,
                struct buffer *out, struct error *why);

/* A blob's file, which has the size that `blob` says; the caller closes it
 * and verifies what is read. */
int layout_blob_open(const struct layout *layout, const struct descriptor *blob,
                     int *fd, struct error *why);
