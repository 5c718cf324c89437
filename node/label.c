#include "node/label.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static bool good(const char *text, size_t length, const char *signs)
{
    if (length == 0 || length > LABEL_PART_MAX)
        return false;
    if (!isalnum((unsigned char)text[0]) ||
        !isalnum((unsigned char)text[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr(signs, text[i]))
            return false;
    return true;
}

int label_parse(const char *text, struct label *out, struct error *why)
{
    const char *equals = strchr(text, '=');
    size_t key;
    size_t value;

    if (!equals)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "label \"%.80s\": not of the form key=value", text);
    key = (size_t)(equals - text);
    value = strlen(equals + 1);
    if (!good(text, key, "-_./"))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "label \"%.80s\": a key is 1 to %d letters, digits "
                         "and - _ . /, a letter or digit at both ends",
                         text, LABEL_PART_MAX);
    if (value > 0 && !good(equals + 1, value, "-_."))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "label \"%.80s\": a value is at most %d letters, "
                         "digits and - _ ., a letter or digit at both ends",
                         text, LABEL_PART_MAX);
    memcpy(out->key, text, key);
    out->key[key] = '\0';
    memcpy(out->value, equals + 1, value + 1);
    return 0;
}

int labels_parse(const char *const *texts, size_t count, struct label *out,
                 struct error *why)
{
    if (count > LABELS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT, "%zu labels: at most %d",
                         count, LABELS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (label_parse(texts[i], &out[i], why) != 0)
            return (int)why->code;
        for (size_t k = 0; k < i; k++)
            if (strcmp(out[i].key, out[k].key) == 0)
                return error_set(why, ERROR_INVALID_ARGUMENT,
                                 "label %s is given twice", out[i].key);
    }
    return 0;
}
