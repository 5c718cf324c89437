#include "master/cluster_text.h"

#include "base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t text_cut(const char *string, size_t length, size_t limit)
{
    if (length <= limit)
        return length;
    while (limit > 0 && ((unsigned char)string[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}

struct text *text_new(const char *string)
{
    size_t length = text_cut(string, strlen(string), TEXT_MAX_BYTES);
    struct text *text;

    if (length == 0)
        return NULL;
    text = memory_new(sizeof *text + length + 1);
    text->references = 1;
    text->length = (uint32_t)length;
    memcpy(text->bytes, string, length);
    return text;
}

struct text *text_format(const char *format, ...)
{
    char string[TEXT_MAX_BYTES + 8];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(string, sizeof string, format, arguments);
    va_end(arguments);
    return text_new(string);
}

struct text *text_take(struct text *text)
{
    if (text)
        text->references++;
    return text;
}

void text_drop(struct text *text)
{
    if (!text)
        return;
    assert(text->references > 0);
    if (--text->references == 0)
        free(text);
}

bool text_replace(struct text **text, const char *string)
{
    size_t length = text_cut(string, strlen(string), TEXT_MAX_BYTES);
    size_t old = *text ? (*text)->length : 0;

    if (length == old && memcmp(text_string(*text), string, length) == 0)
        return false;
    text_drop(*text);
    *text = text_new(string);
    return true;
}

const char *text_string(const struct text *text)
{
    return text ? text->bytes : "";
}
