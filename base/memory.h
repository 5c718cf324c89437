/* memory.h - allocation that does not fail.
 *
 * Sizes are bounded by named limits before anything is allocated, so running
 * out of memory means the machine is out of memory: the process ends with a
 * message, and what it had acknowledged is on disk. */
#pragma once

#include "base/lang.h"

/* Zeroed; freed with free(). */
void *memory_new(size_t size);
void *memory_array(size_t count, size_t size);

/* Like realloc(); what is added is not zeroed. */
void *memory_resize(void *pointer, size_t size);

/* Copies, freed with free(). memory_copy(NULL, 0) is NULL. */
void *memory_copy(const void *bytes, size_t length);
char *memory_string(const char *string);

/* A formatted string of any length; freed with free(). */
char *memory_format(const char *format, ...) PRINTF_LIKE(1, 2);
