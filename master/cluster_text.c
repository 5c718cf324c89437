#include "master/cluster_text.h"

#include "base/memory.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct text *text_of(const char *bytes, size_t length)
{
    struct text *text;

    if (length == 0)
        return NULL;
    text = memory_new(sizeof *text + length + 1);
    text->references = 1;
    text->length = (uint32_t)length;
    memcpy(text->bytes, bytes, length);
    return text;
}

struct text *text_new(const char *string)
{
    char clean[TEXT_MAX_BYTES + 1];

    return text_of(clean, utf8_clean(clean, sizeof clean, string));
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

bool text_is(const struct text *text, const char *string)
{
    char clean[TEXT_MAX_BYTES + 1];

    if (strcmp(text_string(text), string) == 0)
        return true; /* a text is clean */
    utf8_clean(clean, sizeof clean, string);
    return strcmp(text_string(text), clean) == 0;
}

bool text_replace(struct text **text, const char *string)
{
    if (text_is(*text, string))
        return false;
    text_drop(*text);
    *text = text_new(string);
    return true;
}

const char *text_string(const struct text *text)
{
    return text ? text->bytes : "";
}
