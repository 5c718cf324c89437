/* image_registry.h - one repository of an OCI distribution registry (v2 API).
 *
 * docker.io is reached at registry-1.docker.io. http is spoken to loopback
 * and to registries named insecure, https to all others. A 401 is answered
 * once with a token or with Basic, as the registry asks. */
#pragma once

#include "node/image/auth.h"
#include "node/image/http.h"
#include "node/image/manifest.h"
#include "node/image/reference.h"

enum {
    IMAGE_REGISTRY_TRIES_MAX = 5,
    IMAGE_REGISTRY_BACKOFF_MS = 200, /* doubled with every try */
};

struct image_registry {
    struct http *http;                 /* borrowed */
    const struct reference *reference; /* borrowed */
    bool allow_http;
    char base[REFERENCE_HOST_MAX + REFERENCE_NAME_MAX + 32]; /* .../v2/NAME */
    struct auth_credentials credentials;
    char *authorization; /* owned; NULL until asked for */
};

void image_registry_init(struct image_registry *registry, struct http *http,
                         const struct reference *reference, bool insecure,
                         const struct auth_credentials *credentials);
void image_registry_fini(struct image_registry *registry);

/* The manifest of a tag or digest, and its media type. NOT_FOUND names it;
 * UNAVAILABLE names the registry. Runs the loop until it is there. */
int image_registry_manifest(struct image_registry *registry,
                            const char *tag_or_digest, struct buffer *out,
                            char media_type[HTTP_HEADER_MAX],
                            struct error *why);

/* A small blob, whole and verified. */
int image_registry_blob(struct image_registry *registry,
                        const struct descriptor *blob, struct buffer *out,
                        struct error *why);

/* The URL of a blob, freed with free(). */
char *image_registry_blob_url(const struct image_registry *registry,
                              const struct digest *digest);

/* After a 401: get what it asks for, so that the same request may be tried
 * once more. UNAUTHENTICATED when that was tried or cannot be had, or when
 * another host asks: the credentials are the registry's. */
int image_registry_authorize(struct image_registry *registry,
                             const struct http_request *refused,
                             struct error *why);

/* How long to wait before the same is asked for again after `tries` failures:
 * doubled each time, and at least what the registry asks for. */
uint64_t image_registry_pause_ms(const struct http_request *request,
                                 unsigned tries);

/* The error that an answer other than 200 or 206, or none, stands for. */
int image_registry_explain(const struct image_registry *registry,
                           const struct http_request *request, const char *what,
                           struct error *why);
