/* WWW-Authenticate headers, token servers' answers, credential files. The
 * first byte chooses. */
#include "node/image/auth.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

enum { HEADER_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void challenge(const uint8_t *bytes, size_t length)
{
    struct auth_challenge parsed = {.scheme = AUTH_NONE};
    char header[HEADER_MAX];
    char url[AUTH_URL_MAX];
    struct error why;

    if (length >= sizeof header)
        return;
    memcpy(header, bytes, length);
    header[length] = '\0';
    if (auth_challenge_parse(header, &parsed, &why) != 0)
        return;
    assert(memchr(parsed.realm, '\0', sizeof parsed.realm));
    if (auth_token_url(&parsed, "repository:a:pull", false, url, &why) == 0)
        assert(strncasecmp(url, "https://", 8) == 0);
}

static void token(const uint8_t *bytes, size_t length)
{
    struct buffer out;
    struct error why;

    buffer_init(&out, AUTH_TOKEN_MAX_BYTES);
    if (auth_token_parse(bytes, length, &out, &why) == 0)
        assert(!strpbrk((const char *)buffer_data(&out), "\r\n "));
    buffer_fini(&out);
}

static void credentials(const uint8_t *bytes, size_t length)
{
    const struct auth_challenge challenge = {AUTH_BEARER, "https://t", "s", ""};
    struct auth_credentials out;
    char form[AUTH_FORM_MAX];
    struct error why;

    if (auth_credentials_find(bytes, length, "h", &out, &why) != 0)
        return;
    assert(out.user[0] == '\0' || strchr(out.user, ':'));
    if (auth_token_form(&challenge, "x", false, out.identity, form, &why) == 0)
        assert(!strpbrk(form, "\r\n "));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length == 0)
        return 0;
    if (bytes[0] % 3 == 0)
        challenge(bytes + 1, length - 1);
    else if (bytes[0] % 3 == 1)
        token(bytes + 1, length - 1);
    else
        credentials(bytes + 1, length - 1);
    return 0;
}
