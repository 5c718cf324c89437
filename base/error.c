#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [ERROR_OK] = "OK",
    [ERROR_CANCELLED] = "CANCELLED",
    [ERROR_UNKNOWN] = "UNKNOWN",
    [ERROR_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [ERROR_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [ERROR_NOT_FOUND] = "NOT_FOUND",
    [ERROR_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [ERROR_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [ERROR_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [ERROR_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [ERROR_ABORTED] = "ABORTED",
    [ERROR_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [ERROR_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [ERROR_INTERNAL] = "INTERNAL",
    [ERROR_UNAVAILABLE] = "UNAVAILABLE",
    [ERROR_DATA_LOSS] = "DATA_LOSS",
    [ERROR_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

static enum error_code code_of_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENODEV:
    case ESRCH:
        return ERROR_NOT_FOUND;
    case EEXIST:
        return ERROR_ALREADY_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERROR_PERMISSION_DENIED;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return ERROR_RESOURCE_EXHAUSTED;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
        return ERROR_INVALID_ARGUMENT;
    case ETIMEDOUT:
        return ERROR_DEADLINE_EXCEEDED;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return ERROR_UNAVAILABLE;
    default:
        return ERROR_INTERNAL;
    }
}

int error_set(struct error *why, enum error_code code, const char *format, ...)
{
    va_list args;

    assert(code != ERROR_OK);
    why->code = code;
    va_start(args, format);
    vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    return (int)code;
}

int error_errno(struct error *why, const char *format, ...)
{
    int number = errno;
    va_list args;
    size_t length;

    va_start(args, format);
    vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    length = strlen(why->message);
    snprintf(why->message + length, sizeof why->message - length, ": %s",
             strerror(number));
    why->code = code_of_errno(number);
    return (int)why->code;
}

int error_wrap(struct error *why, const char *format, ...)
{
    char inner[ERROR_MESSAGE_MAX];
    va_list args;
    size_t length;

    assert(why->code != ERROR_OK);
    memcpy(inner, why->message, sizeof inner);
    va_start(args, format);
    vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    length = strlen(why->message);
    snprintf(why->message + length, sizeof why->message - length, ": %s",
             inner);
    return (int)why->code;
}

void error_clear(struct error *why)
{
    why->code = ERROR_OK;
    why->message[0] = '\0';
}

const char *error_name(int code)
{
    if (code < 0 || (size_t)code >= ARRAY_LEN(names))
        return "UNKNOWN";
    return names[code];
}
