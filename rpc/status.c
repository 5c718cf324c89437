#include "rpc/status.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

enum error_code status_of_reset(uint32_t h2_error)
{
    switch (h2_error) {
    case NGHTTP2_REFUSED_STREAM:
        return ERROR_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return ERROR_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return ERROR_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return ERROR_PERMISSION_DENIED;
    case NGHTTP2_STREAM_CLOSED:
    case NGHTTP2_HTTP_1_1_REQUIRED:
        return ERROR_UNKNOWN;
    default:
        return ERROR_INTERNAL;
    }
}

enum error_code status_of_http(unsigned http_status)
{
    switch (http_status) {
    case 400:
        return ERROR_INTERNAL;
    case 401:
        return ERROR_UNAUTHENTICATED;
    case 403:
        return ERROR_PERMISSION_DENIED;
    case 404:
        return ERROR_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return ERROR_UNAVAILABLE;
    default:
        return ERROR_UNKNOWN;
    }
}

enum error_code status_parse(const char *text)
{
    unsigned code = 0;

    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || at - text >= 2)
            return ERROR_UNKNOWN;
        code = code * 10 + (unsigned)(*at - '0');
    }
    if (*text == '\0' || code > ERROR_UNAUTHENTICATED)
        return ERROR_UNKNOWN;
    return (enum error_code)code;
}

size_t status_message_encode(const char *message,
                             char encoded[STATUS_MESSAGE_MAX])
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = encoded;

    for (size_t i = 0; message[i] && i < ERROR_MESSAGE_MAX - 1; i++) {
        unsigned char byte = (unsigned char)message[i];

        if (byte >= ' ' && byte <= '~' && byte != '%') {
            *out++ = (char)byte;
        } else {
            *out++ = '%';
            *out++ = digits[byte >> 4];
            *out++ = digits[byte & 15];
        }
    }
    *out = '\0';
    return (size_t)(out - encoded);
}

/* The value of a hexadecimal digit, or -1. */
static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

void status_message_decode(const char *encoded, char message[ERROR_MESSAGE_MAX])
{
    size_t length = 0;

    while (*encoded && length < ERROR_MESSAGE_MAX - 1) {
        int high = *encoded == '%' ? digit_value(encoded[1]) : -1;
        int low = high >= 0 ? digit_value(encoded[2]) : -1;

        if (low >= 0 && (high | low) != 0) {
            message[length++] = (char)(high << 4 | low);
            encoded += 3;
        } else {
            message[length++] = *encoded++;
        }
    }
    message[length] = '\0';
}

static const struct {
    uint64_t ns;
    char unit;
} timeout_units[] = {
    {1, 'n'},          {1000, 'u'},         {1000000, 'm'},
    {1000000000, 'S'}, {60000000000u, 'M'}, {3600000000000u, 'H'},
};

enum { TIMEOUT_DIGITS_MAX = 99999999, NS_PER_MS = 1000000 };

size_t status_timeout_format(uint64_t ms, char text[STATUS_TIMEOUT_MAX])
{
    for (size_t i = 2; i < ARRAY_LEN(timeout_units); i++) {
        uint64_t unit_ms = timeout_units[i].ns / NS_PER_MS;
        uint64_t count = ms / unit_ms + (ms % unit_ms != 0);

        if (count <= TIMEOUT_DIGITS_MAX)
            return (size_t)snprintf(text, STATUS_TIMEOUT_MAX, "%u%c",
                                    (unsigned)count, timeout_units[i].unit);
    }
    return (size_t)snprintf(text, STATUS_TIMEOUT_MAX, "%uH",
                            (unsigned)TIMEOUT_DIGITS_MAX);
}

bool status_timeout_parse(const char *text, uint64_t *ms)
{
    uint64_t count = 0;
    size_t digits = 0;

    for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
        if (digits >= 8)
            return false;
        count = count * 10 + (uint64_t)(text[digits] - '0');
    }
    if (digits == 0 || text[digits] == '\0' || text[digits + 1] != '\0')
        return false;
    for (size_t i = 0; i < ARRAY_LEN(timeout_units); i++) {
        uint64_t ns = timeout_units[i].ns;

        if (timeout_units[i].unit != text[digits])
            continue;
        if (ns >= NS_PER_MS)
            *ms = count * (ns / NS_PER_MS);
        else
            *ms = (count * ns + NS_PER_MS - 1) / NS_PER_MS;
        return true;
    }
    return false;
}
