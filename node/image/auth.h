/* auth.h - what a registry asks for and what there is to show it.
 *
 * Pure. RFC 9110 section 11.6.1 (the challenge), the distribution project's
 * token authentication, Docker's config.json (the credentials). */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>

enum {
    AUTH_REALM_MAX = 1024,
    AUTH_PARAMETER_MAX = 512,
    AUTH_TOKEN_MAX_BYTES = 64 << 10,
    AUTH_CREDENTIALS_MAX = 4096, /* of each kind */
    AUTH_FILE_MAX_BYTES = 1 << 20,
    AUTH_URL_MAX = 4096,
    AUTH_FORM_MAX = 16384, /* each byte of them may become three */
};

enum auth_scheme { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };

struct auth_challenge {
    enum auth_scheme scheme;
    char realm[AUTH_REALM_MAX];
    char service[AUTH_PARAMETER_MAX];
    char scope[AUTH_PARAMETER_MAX];
};

/* What there is for one registry; each may be "". */
struct auth_credentials {
    char user[AUTH_CREDENTIALS_MAX];     /* "user:password" */
    char identity[AUTH_CREDENTIALS_MAX]; /* a refresh token: goes before it */
};

/* Read one WWW-Authenticate header, which may carry several challenges; the
 * strongest that is known here wins over what `out` holds already.
 * INVALID_ARGUMENT when it cannot be read; `out` is then unchanged. */
int auth_challenge_parse(const char *header, struct auth_challenge *out,
                         struct error *why);

/* Where to ask for a token: the realm with service and scope, escaped.
 * `scope` is used where the challenge names none. INVALID_ARGUMENT when the
 * realm is no URL, or is http where only https may be used. */
int auth_token_url(const struct auth_challenge *challenge, const char *scope,
                   bool allow_http, char url[AUTH_URL_MAX], struct error *why);

/* The same of an identity token, as a form to be posted to the realm (OAuth2,
 * RFC 6749 section 6): `form` is in the caller's hands as a secret. Fails as
 * auth_token_url(). */
int auth_token_form(const struct auth_challenge *challenge, const char *scope,
                    bool allow_http, const char *identity,
                    char form[AUTH_FORM_MAX], struct error *why);

/* The token in a token server's answer, into `out` as a string. */
int auth_token_parse(const void *json, size_t length, struct buffer *out,
                     struct error *why);

/* What the text of a Docker config.json has for `host`. Its "auths" are read,
 * each with "auth" or with "username" and "password", and with "identitytoken";
 * programs that keep credentials (credHelpers, credsStore) are not run. */
int auth_credentials_find(const void *json, size_t length, const char *host,
                          struct auth_credentials *out, struct error *why);

/* The Authorization header's value, "Basic ...", freed with free(). */
char *auth_basic(const char *credentials);
