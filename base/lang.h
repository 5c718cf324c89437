/* lang.h - the few things C leaves out. */
#pragma once

#include <stddef.h>
#include <stdlib.h>

/* The structure that embeds `member` at `pointer`. */
#define container_of(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define ARRAY_LEN(array) (sizeof(array) / sizeof *(array))

/* CLEANUP(fd_close) int fd = -1; calls fd_close(&fd) at the end of scope. */
#define CLEANUP(function) __attribute__((cleanup(function)))

#define PRINTF_LIKE(string, first) \
    __attribute__((format(printf, string, first)))

/* For CLEANUP: free what a char * (or any pointer) points to. */
static inline void free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

/* For interfaces that take a plain pointer and only read: drops the const
 * without a cast that the warnings would have to let pass. */
static inline void *without_const(const void *pointer)
{
    union {
        const void *in;
        void *out;
    } either = {.in = pointer};

    return either.out;
}
