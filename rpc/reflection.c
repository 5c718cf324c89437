#include "rpc/reflection.h"

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc/descriptors.h"

#include <stdio.h>
#include <string.h>

/* The messages of v1 and v1alpha differ in nothing but their package, so v1's
 * serve both. */
typedef Grpc__Reflection__V1__ServerReflectionRequest request_message;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_message;

#define REQUEST(kind) \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##kind
#define RESPONSE(kind) \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##kind

enum { ANY_ROLE = ~0, SERVICES_MAX = 64 };

/* proto/descriptors.S */
extern const uint8_t kontor_descriptors_start[];
extern const uint8_t kontor_descriptors_end[];

/* An answer and what it points to. */
struct answer {
    response_message message;
    Grpc__Reflection__V1__FileDescriptorResponse files;
    ProtobufCBinaryData file_bytes[DESCRIPTORS_FILES_MAX];
    Grpc__Reflection__V1__ListServiceResponse list;
    Grpc__Reflection__V1__ServiceResponse services[SERVICES_MAX];
    Grpc__Reflection__V1__ServiceResponse *service_pointers[SERVICES_MAX];
    Grpc__Reflection__V1__ErrorResponse error;
    struct error why;
};

static void answer_error(struct answer *answer)
{
    grpc__reflection__v1__error_response__init(&answer->error);
    answer->error.error_code = (int)answer->why.code;
    answer->error.error_message = answer->why.message;
    answer->message.message_response_case = RESPONSE(ERROR_RESPONSE);
    answer->message.error_response = &answer->error;
}

static void answer_services(struct answer *answer,
                            const struct registry *registry)
{
    size_t count = 0;

    grpc__reflection__v1__list_service_response__init(&answer->list);
    for (struct list *link = registry->services.next;
         link != &registry->services && count < SERVICES_MAX;
         link = link->next, count++) {
        Grpc__Reflection__V1__ServiceResponse *to = &answer->services[count];

        grpc__reflection__v1__service_response__init(to);
        to->name = without_const(
            container_of(link, struct registry_service, link)->service->name);
        answer->service_pointers[count] = to;
    }
    answer->list.n_service = count;
    answer->list.service = answer->service_pointers;
    answer->message.message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
    answer->message.list_services_response = &answer->list;
}

static void answer_files(struct answer *answer,
                         const struct descriptors *descriptors, int file)
{
    int files[DESCRIPTORS_FILES_MAX];
    size_t count = descriptors_closure(descriptors, file, files);

    grpc__reflection__v1__file_descriptor_response__init(&answer->files);
    for (size_t i = 0; i < count; i++) {
        struct descriptors_bytes bytes = descriptors->files[files[i]];

        answer->file_bytes[i].data = without_const(bytes.bytes);
        answer->file_bytes[i].len = bytes.length;
    }
    answer->files.n_file_descriptor_proto = count;
    answer->files.file_descriptor_proto = answer->file_bytes;
    answer->message.message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
    answer->message.file_descriptor_response = &answer->files;
}

static void answer_file_search(struct answer *answer,
                               const request_message *request)
{
    bool by_name = request->message_request_case == REQUEST(FILE_BY_FILENAME);
    const char *wanted =
        by_name ? request->file_by_filename : request->file_containing_symbol;
    struct descriptors descriptors;
    int file;

    if (descriptors_load(
            &descriptors, kontor_descriptors_start,
            (size_t)(kontor_descriptors_end - kontor_descriptors_start),
            &answer->why) != 0) {
        answer_error(answer);
        return;
    }
    file = by_name ? descriptors_file_by_name(&descriptors, wanted)
                   : descriptors_file_by_symbol(&descriptors, wanted);
    if (file >= 0) {
        answer_files(answer, &descriptors, file);
        return;
    }
    error_set(&answer->why, ERROR_NOT_FOUND, "there is no %s %.200s",
              by_name ? "file" : "symbol", wanted);
    answer_error(answer);
}

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    const request_message *request = (const void *)message;
    struct answer answer;

    grpc__reflection__v1__server_reflection_response__init(&answer.message);
    answer.message.valid_host = request->host;
    answer.message.original_request = without_const(request);
    switch ((int)request->message_request_case) {
    case REQUEST(LIST_SERVICES):
        answer_services(&answer, call_service_data(call));
        break;
    case REQUEST(FILE_BY_FILENAME):
    case REQUEST(FILE_CONTAINING_SYMBOL):
        answer_file_search(&answer, request);
        break;
    case REQUEST(FILE_CONTAINING_EXTENSION):
    case REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE):
        error_set(&answer.why, ERROR_NOT_FOUND, "there are no extensions");
        answer_error(&answer);
        break;
    default:
        error_set(&answer.why, ERROR_INVALID_ARGUMENT,
                  "the request asks for nothing");
        answer_error(&answer);
        break;
    }
    if (call_send(call, &answer.message.base, &answer.why) != 0)
        call_finish(call, &answer.why);
    else if (call_queued_bytes(call) >= CALL_QUEUE_HIGH_BYTES)
        call_pause(call); /* whoever does not read may not ask */
}

static void on_half_closed(struct call *call)
{
    static const struct error success;

    call_finish(call, &success);
}

static const struct call_events events = {
    .message = on_message,
    .half_closed = on_half_closed,
    .writable = call_resume,
};

static void on_open(struct call *call)
{
    call_listen(call, &events, NULL);
}

static const struct method methods[] = {{
    .name = "ServerReflectionInfo",
    .request = &grpc__reflection__v1__server_reflection_request__descriptor,
    .response = &grpc__reflection__v1__server_reflection_response__descriptor,
    .roles = (unsigned)ANY_ROLE,
    .client_streams = true,
    .server_streams = true,
    .open = on_open,
}};

static const struct service service_v1 = {
    .name = "grpc.reflection.v1.ServerReflection",
    .methods = methods,
    .method_count = ARRAY_LEN(methods),
};

static const struct service service_v1alpha = {
    .name = "grpc.reflection.v1alpha.ServerReflection",
    .methods = methods,
    .method_count = ARRAY_LEN(methods),
};

void reflection_add(struct registry *registry)
{
    registry_add(registry, &service_v1, registry);
    registry_add(registry, &service_v1alpha, registry);
}
