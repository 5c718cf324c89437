#include "node/image/reference.h"

#include <stdio.h>
#include <string.h>

static const char lower_digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char alphanumeric[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
static const char tag_characters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

static int refuse(const char *text, const char *reason, struct error *why)
{
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "image reference \"%.200s\": %s", text, reason);
}

static bool valid_tag(const char *tag)
{
    size_t length = strlen(tag);

    return length > 0 && length < REFERENCE_TAG_MAX &&
           strspn(tag, tag_characters) == length && tag[0] != '.' &&
           tag[0] != '-';
}

/* The length of a separator within a path component: one dot, one or two
 * underscores, or any number of dashes; 0 when there is none. */
static size_t separator_length(const char *at)
{
    if (*at == '.')
        return 1;
    if (*at == '_')
        return at[1] == '_' ? 2 : 1;
    return strspn(at, "-");
}

/* component(/component)*, each made of runs of [a-z0-9] with separators
 * between the runs. */
static bool valid_name(const char *name)
{
    const char *at = name;

    for (;;) {
        size_t run = strspn(at, lower_digits);
        size_t separator;

        if (run == 0)
            return false;
        at += run;
        if (*at == '\0')
            return true;
        separator = *at == '/' ? 1 : separator_length(at);
        if (separator == 0)
            return false;
        at += separator;
    }
}

static bool valid_port(const char *digits)
{
    size_t length = strspn(digits, "0123456789");
    unsigned long port = strtoul(digits, NULL, 10);

    return length > 0 && length <= 5 && digits[length] == '\0' && port > 0 &&
           port <= 65535;
}

/* A DNS name or an IPv4 address of `length` characters. */
static bool valid_dns(const char *host, size_t length)
{
    bool label_ended = true; /* a label has to begin and end with [a-z0-9] */

    for (size_t i = 0; i < length; i++) {
        bool plain = strchr(alphanumeric, host[i]) != NULL;

        if (!plain && (label_ended || (host[i] != '-' && host[i] != '.')))
            return false;
        if (host[i] == '.' && host[i - 1] == '-')
            return false;
        label_ended = host[i] == '.';
    }
    return length > 0 && !label_ended && host[length - 1] != '-';
}

static bool valid_host(const char *host)
{
    const char *after;

    if (host[0] == '[') {
        size_t length = strspn(host + 1, "0123456789abcdefABCDEF:.");

        after = host + 1 + length;
        if (length < 2 || *after != ']')
            return false;
        after++;
    } else {
        size_t length = strcspn(host, ":");

        if (!valid_dns(host, length))
            return false;
        after = host + length;
    }
    return *after == '\0' || (*after == ':' && valid_port(after + 1));
}

/* Docker's rule: what stands before the first slash is a host when it has a
 * dot, a colon or a capital, or is "localhost". */
static bool begins_with_host(const char *text, size_t length)
{
    if (length == 9 && memcmp(text, "localhost", length) == 0)
        return true;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '.' || text[i] == ':' || text[i] == '[' ||
            (text[i] >= 'A' && text[i] <= 'Z'))
            return true;
    return false;
}

static int set_name(const char *text, const char *name, struct reference *out,
                    struct error *why)
{
    bool official = strcmp(out->host, "docker.io") == 0 && !strchr(name, '/');
    int length = snprintf(out->name, sizeof out->name, "%s%s",
                          official ? "library/" : "", name);

    if (length >= REFERENCE_NAME_MAX)
        return refuse(text, "the name is longer than 255 characters", why);
    if (!valid_name(out->name))
        return refuse(text,
                      "the name has to be lower-case letters, digits and "
                      "single separators (. _ -) between slashes",
                      why);
    return 0;
}

/* Take the digest and the tag, if any, off the end of `rest`. */
static int split_suffixes(const char *text, char *rest, struct reference *out,
                          struct error *why)
{
    char *at = strchr(rest, '@');
    char *slash;
    char *colon;

    if (at) {
        *at = '\0';
        if (digest_parse(at + 1, &out->digest, why) != 0)
            return error_wrap(why, "image reference \"%.200s\"", text);
    }
    slash = strrchr(rest, '/');
    colon = strrchr(slash ? slash : rest, ':');
    if (colon) {
        *colon = '\0';
        if (!valid_tag(colon + 1))
            return refuse(
                text, "the tag has to be 1 to 128 letters, digits, _ . -", why);
        memcpy(out->tag, colon + 1, strlen(colon + 1) + 1);
    } else if (!at) {
        memcpy(out->tag, "latest", sizeof "latest");
    }
    return 0;
}

static int parse_registry(const char *text, struct reference *out,
                          struct error *why)
{
    char copy[REFERENCE_TEXT_MAX];
    const char *name = copy;
    char *slash;

    snprintf(copy, sizeof copy, "%s", text);
    memcpy(out->host, "docker.io", sizeof "docker.io");
    slash = strchr(copy, '/');
    if (slash && begins_with_host(copy, (size_t)(slash - copy))) {
        *slash = '\0';
        name = slash + 1;
        if (strlen(copy) >= REFERENCE_HOST_MAX || !valid_host(copy))
            return refuse(text, "the registry has to be HOST or HOST:PORT",
                          why);
        memcpy(out->host, copy, strlen(copy) + 1);
        if (strcmp(out->host, "index.docker.io") == 0)
            memcpy(out->host, "docker.io", sizeof "docker.io");
    }
    if (split_suffixes(text, copy + (name - copy), out, why) != 0)
        return (int)why->code;
    return set_name(text, name, out, why);
}

/* FOLDER[:TAG]; the tag begins at the last colon after the last slash. */
static int parse_layout(const char *text, struct reference *out,
                        struct error *why)
{
    const char *rest = text + strlen("oci:");
    const char *slash = strrchr(rest, '/');
    const char *colon = strrchr(slash ? slash : rest, ':');
    size_t length = colon ? (size_t)(colon - rest) : strlen(rest);

    out->kind = REFERENCE_LAYOUT;
    if (length == 0 || length >= REFERENCE_FOLDER_MAX)
        return refuse(text, "an OCI layout is oci:FOLDER:TAG", why);
    if (colon && !valid_tag(colon + 1))
        return refuse(text, "the tag has to be 1 to 128 letters, digits, _ . -",
                      why);
    memcpy(out->folder, rest, length);
    if (colon)
        memcpy(out->tag, colon + 1, strlen(colon + 1) + 1);
    return 0;
}

int reference_parse(const char *text, struct reference *out, struct error *why)
{
    struct reference parsed = {.kind = REFERENCE_REGISTRY};
    int failed;

    if (text[0] == '\0')
        return refuse(text, "it is empty", why);
    if (strlen(text) >= REFERENCE_TEXT_MAX)
        return refuse(text, "it is too long", why);
    failed = strncmp(text, "oci:", strlen("oci:")) == 0
                 ? parse_layout(text, &parsed, why)
                 : parse_registry(text, &parsed, why);
    if (failed)
        return failed;
    *out = parsed;
    return 0;
}

void reference_format(const struct reference *reference,
                      char out[REFERENCE_TEXT_MAX])
{
    bool layout = reference->kind == REFERENCE_LAYOUT;

    snprintf(out, REFERENCE_TEXT_MAX, "%s%s%s%s%s%s%s",
             layout ? "oci:" : reference->host, layout ? "" : "/",
             layout ? reference->folder : reference->name,
             reference->tag[0] ? ":" : "", reference->tag,
             reference->digest.text[0] ? "@" : "", reference->digest.text);
}

bool reference_host_is_loopback(const char *host)
{
    static const char *const names[] = {"localhost", "[::1]"};
    unsigned b, c, d;
    int end = 0;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t length = strlen(names[i]);

        if (strncmp(host, names[i], length) == 0 &&
            (host[length] == '\0' || host[length] == ':'))
            return true;
    }
    /* All four numbers: "127.0.0.1.example.org" is somebody else's. */
    return sscanf(host, "127.%3u.%3u.%3u%n", &b, &c, &d, &end) == 3 &&
           b < 256 && c < 256 && d < 256 &&
           (host[end] == '\0' || host[end] == ':');
}
