#include "base/label.h"

#include <string.h>

/* Of ASCII, whatever the locale. */
static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9');
}

static bool good(const char *text, size_t length, const char *signs)
{
    if (length == 0 || length > LABEL_PART_MAX ||
        !is_letter_or_digit(text[0]) || !is_letter_or_digit(text[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_letter_or_digit(text[i]) &&
            (text[i] == '\0' || !strchr(signs, text[i])))
            return false;
    return true;
}

int label_check_key(const char *text, size_t length, struct error *why)
{
    if (good(text, length, "-_./"))
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "\"%.*s\": a key is 1 to %d letters, digits and - _ . /, "
                     "a letter or digit at both ends",
                     (int)(length > 80 ? 80 : length), text, LABEL_PART_MAX);
}

int label_check_value(const char *text, size_t length, struct error *why)
{
    if (length == 0 || good(text, length, "-_."))
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "\"%.*s\": a value is at most %d letters, digits and "
                     "- _ ., a letter or digit at both ends",
                     (int)(length > 80 ? 80 : length), text, LABEL_PART_MAX);
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
    if (label_check_key(text, key, why) != 0 ||
        label_check_value(equals + 1, value, why) != 0)
        return error_wrap(why, "label %.80s", text);
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
