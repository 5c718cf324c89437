#include "base/exit.h"

int exit_code_of(int error_code)
{
    switch (error_code) {
    case ERROR_OK:
        return EXIT_CODE_DONE;
    case ERROR_INVALID_ARGUMENT:
        return EXIT_CODE_USAGE;
    case ERROR_NOT_FOUND:
        return EXIT_CODE_NOT_FOUND;
    case ERROR_ALREADY_EXISTS:
    case ERROR_FAILED_PRECONDITION:
    case ERROR_ABORTED:
        return EXIT_CODE_CONFLICT;
    case ERROR_PERMISSION_DENIED:
    case ERROR_UNAUTHENTICATED:
        return EXIT_CODE_NOT_ALLOWED;
    case ERROR_UNAVAILABLE:
        return EXIT_CODE_UNREACHABLE;
    case ERROR_DEADLINE_EXCEEDED:
        return EXIT_CODE_TIMEOUT;
    case ERROR_CANCELLED:
        return EXIT_CODE_INTERRUPTED;
    default:
        return EXIT_CODE_FAILED;
    }
}
