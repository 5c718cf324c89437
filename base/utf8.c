#include "base/utf8.h"

#include <assert.h>
#include <string.h>

size_t utf8_length(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t length = at[0] == 0      ? 0
                    : at[0] < 0x80  ? 1
                    : at[0] < 0xc2  ? 0 /* a later byte, or too long a form */
                    : at[0] < 0xe0  ? 2
                    : at[0] < 0xf0  ? 3
                    : at[0] <= 0xf4 ? 4
                                    : 0;
    unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;

    for (size_t i = 1; i < length; i++) {
        if (at[i] < least || at[i] > most)
            return 0;
        least = 0x80;
        most = 0xbf;
    }
    return length;
}

bool utf8_valid(const char *text)
{
    size_t length;

    while ((length = utf8_length(text)) > 0)
        text += length;
    return *text == '\0';
}

size_t utf8_clean(char *out, size_t size, const char *text)
{
    size_t used = 0;

    assert(size > 0);
    while (*text) {
        size_t length = utf8_length(text);
        size_t step = length ? length : 1;

        if (used + step >= size)
            break;
        if (length)
            memcpy(out + used, text, length);
        else
            out[used] = '?';
        used += step;
        text += step;
    }
    out[used] = '\0';
    return used;
}
