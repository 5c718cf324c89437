/* error.h - one error type from the disk to the person.
 *
 * The codes are gRPC's status codes, so an error crosses the wire without
 * being translated. A function that can fail returns 0 or the code and fills
 * its last parameter, `struct error *why`; `why` may not be NULL. */
#pragma once

#include "base/lang.h"

/* https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
enum error_code {
    ERROR_OK = 0,
    ERROR_CANCELLED = 1,
    ERROR_UNKNOWN = 2,
    ERROR_INVALID_ARGUMENT = 3,
    ERROR_DEADLINE_EXCEEDED = 4,
    ERROR_NOT_FOUND = 5,
    ERROR_ALREADY_EXISTS = 6,
    ERROR_PERMISSION_DENIED = 7,
    ERROR_RESOURCE_EXHAUSTED = 8,
    ERROR_FAILED_PRECONDITION = 9,
    ERROR_ABORTED = 10,
    ERROR_OUT_OF_RANGE = 11,
    ERROR_UNIMPLEMENTED = 12,
    ERROR_INTERNAL = 13,
    ERROR_UNAVAILABLE = 14,
    ERROR_DATA_LOSS = 15,
    ERROR_UNAUTHENTICATED = 16,
};

enum { ERROR_MESSAGE_MAX = 512 };

/* A value: copied by assignment, owns nothing. */
struct error {
    enum error_code code;
    char message[ERROR_MESSAGE_MAX]; /* what was being done to what */
};

/* Fill `why` and return `code`. The message is cut at ERROR_MESSAGE_MAX. */
int error_set(struct error *why, enum error_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* The same from errno: the code that suits it, "<format>: <strerror>". */
int error_errno(struct error *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* Put "<format>: " before the message that `why` holds; return its code. */
int error_wrap(struct error *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* Success, as a value. */
void error_clear(struct error *why);

/* "NOT_FOUND" and so on; "UNKNOWN" for what is no code. Static storage. */
const char *error_name(int code);
