/* reference.h - what people call an image.
 *
 *   [HOST[:PORT]/]NAME[:TAG][@DIGEST]   as Docker reads it: "busybox" is
 *                                       docker.io/library/busybox:latest
 *   oci:FOLDER[:TAG]                    an OCI layout on the node
 *   oci-archive:/FILE[:TAG]             a layout in a tar archive
 *   docker-archive:/FILE[:NAME[:TAG]]   what `docker save` writes; FILE ends
 *                                       at the first colon
 *   squashfs:/FILE erofs:/FILE ext4:/FILE   a file system as it is
 *
 * Pure. Grammar: github.com/distribution/reference. */
#pragma once

#include "node/image/digest.h"

enum {
    REFERENCE_HOST_MAX = 264, /* a DNS name, a port and a NUL */
    REFERENCE_NAME_MAX = 256,
    REFERENCE_TAG_MAX = 129,
    REFERENCE_PATH_MAX = 1024,
    REFERENCE_TEXT_MAX = 2048 /* any of the above, written out */
};

enum reference_kind {
    REFERENCE_REGISTRY,
    REFERENCE_LAYOUT,
    REFERENCE_OCI_ARCHIVE,
    REFERENCE_DOCKER_ARCHIVE,
    REFERENCE_SQUASHFS,
    REFERENCE_EROFS,
    REFERENCE_EXT4,
};

/* A value: owns nothing. */
struct reference {
    enum reference_kind kind;
    char host[REFERENCE_HOST_MAX]; /* "docker.io", "[::1]:5000" */
    char name[REFERENCE_NAME_MAX]; /* "library/busybox"; "": any of a file */
    char path[REFERENCE_PATH_MAX]; /* of a layout's folder or of a file */
    char tag[REFERENCE_TAG_MAX];   /* "" when there is none */
    struct digest digest;          /* "" when there is none */
};

/* INVALID_ARGUMENT names the text and what is wrong with it. */
int reference_parse(const char *text, struct reference *out, struct error *why);

/* A file system's: "squashfs" as mount(2) calls it; NULL for all others. */
const char *reference_file_system(const struct reference *reference);

/* Whether it is a file on the node, an archive or a file system. */
bool reference_is_file(const struct reference *reference);

/* Written out in full: two texts that mean the same come out alike. */
void reference_format(const struct reference *reference,
                      char out[REFERENCE_TEXT_MAX]);

/* Whether the host is this machine: localhost, 127.0.0.0/8 or ::1. */
bool reference_host_is_loopback(const char *host);
