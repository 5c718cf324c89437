/* A reference that is taken means the same when it is written out in full
 * and read again. */
#include "node/image/reference.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char text[REFERENCE_TEXT_MAX + 16];
    char full[REFERENCE_TEXT_MAX];
    char again[REFERENCE_TEXT_MAX];
    struct reference reference;
    struct error why;

    if (length >= sizeof text)
        return 0;
    memcpy(text, bytes, length);
    text[length] = '\0';
    if (reference_parse(text, &reference, &why) != 0)
        return 0;
    reference_format(&reference, full);
    assert(reference_parse(full, &reference, &why) == 0);
    reference_format(&reference, again);
    assert(strcmp(full, again) == 0);
    assert(!strstr(reference.name, ".."));
    reference_host_is_loopback(reference.host);
    return 0;
}
