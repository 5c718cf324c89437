/* message.h - protobuf messages as values. */
#pragma once

#include <protobuf-c/protobuf-c.h>

/* Text for a message's field: protobuf-c's are not const, yet nothing writes
 * to those of a request. Borrowed. */
char *message_text(const char *text);
char **message_texts(const char *const *texts);

/* A deep copy, to be freed with message_free(). */
ProtobufCMessage *message_copy(const ProtobufCMessage *message);
void message_free(ProtobufCMessage *message); /* NULL-safe */
