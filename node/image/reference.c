#include "node/image/reference.h"

#include "base/lang.h"

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

/* ---- what is on the node ------------------------------------------------- */

static const struct {
    enum reference_kind kind;
    const char *prefix;
    const char *form;
    const char *file_system; /* or NULL */
} local_kinds[] = {
    {REFERENCE_LAYOUT, "oci:", "an OCI layout is oci:FOLDER:TAG", NULL},
    {REFERENCE_OCI_ARCHIVE,
     "oci-archive:", "an OCI archive is oci-archive:/FILE:TAG", NULL},
    {REFERENCE_DOCKER_ARCHIVE, "docker-archive:",
     "an archive of docker's is docker-archive:/FILE:NAME:TAG", NULL},
    {REFERENCE_SQUASHFS, "squashfs:", "a file system is squashfs:/FILE",
     "squashfs"},
    {REFERENCE_EROFS, "erofs:", "a file system is erofs:/FILE", "erofs"},
    {REFERENCE_EXT4, "ext4:", "a file system is ext4:/FILE", "ext4"},
};

/* Its row among local_kinds; the count of them for a registry's. */
static size_t find_kind(enum reference_kind kind)
{
    size_t i = 0;

    while (i < ARRAY_LEN(local_kinds) && local_kinds[i].kind != kind)
        i++;
    return i;
}

const char *reference_file_system(const struct reference *reference)
{
    size_t row = find_kind(reference->kind);

    return row < ARRAY_LEN(local_kinds) ? local_kinds[row].file_system : NULL;
}

bool reference_is_file(const struct reference *reference)
{
    return reference->kind != REFERENCE_REGISTRY &&
           reference->kind != REFERENCE_LAYOUT;
}

/* Where the path ends: at the first colon where a name may follow, else at
 * the last one after the last slash; a file system's has none. */
static size_t path_length(const struct reference *reference, const char *rest)
{
    const char *slash = strrchr(rest, '/');
    const char *colon = strrchr(slash ? slash : rest, ':');

    if (reference->kind == REFERENCE_DOCKER_ARCHIVE)
        return strcspn(rest, ":");
    if (!colon || reference_file_system(reference))
        return strlen(rest);
    return (size_t)(colon - rest);
}

/* What stands behind the path: a tag, or NAME:TAG as Docker reads it. */
static int parse_choice(const char *text, const char *choice,
                        struct reference *out, struct error *why)
{
    enum reference_kind kind = out->kind;

    if (kind == REFERENCE_DOCKER_ARCHIVE) {
        if (choice[0] == '\0')
            return refuse(text, "the image's name is empty", why);
        if (parse_registry(choice, out, why) != 0)
            return error_wrap(why, "image reference \"%.200s\"", text);
        return out->digest.text[0]
                   ? refuse(text, "archives of docker's know no digests", why)
                   : 0;
    }
    if (!valid_tag(choice))
        return refuse(text, "the tag has to be 1 to 128 letters, digits, _ . -",
                      why);
    memcpy(out->tag, choice, strlen(choice) + 1);
    return 0;
}

static int parse_local(const char *text, size_t row, struct reference *out,
                       struct error *why)
{
    const char *rest = text + strlen(local_kinds[row].prefix);
    size_t length;

    out->kind = local_kinds[row].kind;
    length = path_length(out, rest);
    if (length == 0 || length >= REFERENCE_PATH_MAX ||
        (reference_is_file(out) && rest[0] != '/'))
        return refuse(text, local_kinds[row].form, why);
    memcpy(out->path, rest, length);
    if (rest[length] == '\0')
        return 0;
    return parse_choice(text, rest + length + 1, out, why);
}

int reference_parse(const char *text, struct reference *out, struct error *why)
{
    struct reference parsed = {.kind = REFERENCE_REGISTRY};
    size_t row = 0;
    int failed;

    if (text[0] == '\0')
        return refuse(text, "it is empty", why);
    if (strlen(text) >= REFERENCE_TEXT_MAX)
        return refuse(text, "it is too long", why);
    while (row < ARRAY_LEN(local_kinds) &&
           strncmp(text, local_kinds[row].prefix,
                   strlen(local_kinds[row].prefix)) != 0)
        row++;
    failed = row < ARRAY_LEN(local_kinds) ? parse_local(text, row, &parsed, why)
                                          : parse_registry(text, &parsed, why);
    if (failed)
        return failed;
    *out = parsed;
    return 0;
}

void reference_format(const struct reference *reference,
                      char out[REFERENCE_TEXT_MAX])
{
    size_t row = find_kind(reference->kind);
    bool local = row < ARRAY_LEN(local_kinds);

    snprintf(out, REFERENCE_TEXT_MAX, "%s%s%s%s%s%s%s%s%s%s",
             local ? local_kinds[row].prefix : "", reference->path,
             local && reference->name[0] ? ":" : "", reference->host,
             reference->name[0] ? "/" : "", reference->name,
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
