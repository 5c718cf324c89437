#include "master/cluster_names.h"

#include "base/utf8.h"

#include <string.h>

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool app_name_valid(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > APP_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool edge = i == 0 || i == length - 1;

        if (!is_lower_or_digit(name[i]) && (edge || name[i] != '-'))
            return false;
    }
    return true;
}

bool node_name_valid(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > NODE_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool edge = i == 0 || i == length - 1;
        bool upper = name[i] >= 'A' && name[i] <= 'Z';
        bool mark = name[i] == '-' || name[i] == '.' || name[i] == '_';

        if (!is_lower_or_digit(name[i]) && !upper && (edge || !mark))
            return false;
    }
    return true;
}

bool node_text_valid(const char *text)
{
    return strlen(text) <= NODE_TEXT_MAX && utf8_valid(text);
}

/* Without "@digest" and without ":tag"; a ":" before a "/" is a port. */
static size_t length_without_tag(const char *image)
{
    size_t length = strcspn(image, "@");

    for (size_t i = length; i > 0; i--) {
        if (image[i - 1] == '/')
            break;
        if (image[i - 1] == ':')
            return i - 1;
    }
    return length;
}

void app_name_of_image(const char *image, char name[APP_NAME_MAX + 1])
{
    size_t end = length_without_tag(image);
    size_t start = end;
    size_t used = 0;

    while (start > 0 && image[start - 1] != '/' && image[start - 1] != ':')
        start--;
    for (size_t i = start; i < end && used < APP_NAME_MAX; i++) {
        char c = image[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (is_lower_or_digit(c))
            name[used++] = c;
        else if (used > 0 && name[used - 1] != '-')
            name[used++] = '-';
    }
    while (used > 0 && name[used - 1] == '-')
        used--;
    name[used] = '\0';
    if (used == 0)
        memcpy(name, "pod", sizeof "pod");
}

uint32_t pod_name_number(const char *name, const char *app)
{
    size_t length = strlen(app);
    uint64_t number = 0;

    if (strncmp(name, app, length) != 0 || name[length] != '-' ||
        name[length + 1] == '0' || strlen(name) > POD_NAME_MAX)
        return 0;
    for (const char *at = name + length + 1; *at; at++) {
        if (*at < '0' || *at > '9' || number > UINT32_MAX)
            return 0;
        number = number * 10 + (uint64_t)(*at - '0');
    }
    return number > UINT32_MAX ? 0 : (uint32_t)number;
}
