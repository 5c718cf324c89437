/* reference.h - what people call an image.
 *
 *   [HOST[:PORT]/]NAME[:TAG][@DIGEST]   as Docker reads it: "busybox" is
 *                                       docker.io/library/busybox:latest
 *   oci:FOLDER[:TAG]                    an OCI layout on the node
 *
 * Pure. Grammar: github.com/distribution/reference. */
#pragma once

#include "node/image/digest.h"

enum {
    REFERENCE_HOST_MAX = 264, /* a DNS name, a port and a NUL */
    REFERENCE_NAME_MAX = 256,
    REFERENCE_TAG_MAX = 129,
    REFERENCE_FOLDER_MAX = 1024,
    REFERENCE_TEXT_MAX = 2048 /* any of the above, written out */
};

enum reference_kind { REFERENCE_REGISTRY, REFERENCE_LAYOUT };

/* A value: owns nothing. */
struct reference {
    enum reference_kind kind;
    char host[REFERENCE_HOST_MAX]; /* "docker.io", "[::1]:5000" */
    char name[REFERENCE_NAME_MAX]; /* "library/busybox" */
    char folder[REFERENCE_FOLDER_MAX];
    char tag[REFERENCE_TAG_MAX]; /* "" when there is none */
    struct digest digest;        /* "" when there is none */
};

/* INVALID_ARGUMENT names the text and what is wrong with it. */
int reference_parse(const char *text, struct reference *out, struct error *why);

/* Written out in full: two texts that mean the same come out alike. */
void reference_format(const struct reference *reference,
                      char out[REFERENCE_TEXT_MAX]);

/* Whether the host is this machine: localhost, 127.0.0.0/8 or ::1. */
bool reference_host_is_loopback(const char *host);
