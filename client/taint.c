#include "client/taint.h"

#include "base/label.h"

#include <string.h>

int taint_cut(char *text, Kontor__V1__Label *out, struct error *why)
{
    static char nothing[] = "";
    size_t whole = strcspn(text, ":");
    size_t key = strcspn(text, "=:");
    char *value = text[key] == '=' ? text + key + 1 : nothing;

    if (text[whole] == ':' && strcmp(text + whole + 1, TAINT_EFFECT) != 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%.80s\" is no effect: " TAINT_EFFECT
                         " is the only one there is",
                         text + whole + 1);
    text[whole] = '\0';
    if (label_check_key(text, key, why) != 0 ||
        label_check_value(value, strlen(value), why) != 0)
        return (int)why->code;
    text[key] = '\0';
    kontor__v1__label__init(out);
    out->key = text;
    out->value = value;
    return 0;
}
