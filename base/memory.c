#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *demand(void *pointer)
{
    if (!pointer) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return pointer;
}

void *memory_new(size_t size)
{
    return demand(calloc(1, size ? size : 1));
}

void *memory_array(size_t count, size_t size)
{
    return demand(calloc(count ? count : 1, size));
}

void *memory_resize(void *pointer, size_t size)
{
    return demand(realloc(pointer, size ? size : 1));
}

void *memory_copy(const void *bytes, size_t length)
{
    return length ? memcpy(demand(malloc(length)), bytes, length) : NULL;
}

char *memory_string(const char *string)
{
    return memory_copy(string, strlen(string) + 1);
}

char *memory_format(const char *format, ...)
{
    char *string = NULL;
    va_list args;
    int length;

    va_start(args, format);
    length = vasprintf(&string, format, args);
    va_end(args);
    return demand(length < 0 ? NULL : string);
}
