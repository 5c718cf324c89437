/* logs.h - what a simulated pod has written: known from its id alone, so that
 * whoever reads it can tell whether it is that, whole and in order. */
#pragma once

#include "rpc/server.h"

uint64_t logs_length(uint64_t pod_id);
/* Are these the bytes from `at` on? */
bool logs_match(uint64_t pod_id, uint64_t at, const uint8_t *bytes,
                size_t length);

/* Logs of kontor.v1.Node; its service's data is a struct knode. */
void logs_serve(struct call *call, const ProtobufCMessage *message);
