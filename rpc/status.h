/* status.h - how a status and a deadline are written in HTTP/2 headers.
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 * Pure. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The status of a call that ended with RST_STREAM and without one. */
enum error_code status_of_reset(uint32_t h2_error);

/* The status of an answer that is no gRPC but has this :status. */
enum error_code status_of_http(unsigned http_status);

/* "0" to "16"; anything else is UNKNOWN. */
enum error_code status_parse(const char *text);

/* An encoded message is at most this long, with its terminator. */
enum { STATUS_MESSAGE_MAX = 3 * ERROR_MESSAGE_MAX };

/* grpc-message: bytes outside ' '..'~' and '%' become %XX. Returns the
 * length. */
size_t status_message_encode(const char *message,
                             char encoded[STATUS_MESSAGE_MAX]);

/* The reverse; what is no valid %XX stays as it is. Cut to `message`. */
void status_message_decode(const char *encoded,
                           char message[ERROR_MESSAGE_MAX]);

/* At most eight digits, a unit and the terminator. */
enum { STATUS_TIMEOUT_MAX = 10 };

/* grpc-timeout for so many milliseconds, rounded up where the digits do not
 * suffice. Returns the length. */
size_t status_timeout_format(uint64_t ms, char text[STATUS_TIMEOUT_MAX]);

/* False when the text is none; rounds up to milliseconds. */
bool status_timeout_parse(const char *text, uint64_t *ms);
