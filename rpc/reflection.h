/* reflection.h - the services grpc.reflection.v1 and v1alpha.
 *
 * They answer from the FileDescriptorSet of the project's .proto files that
 * is part of the program. */
#pragma once

#include "rpc/registry.h"

/* Add both services; they list what `registry` holds. */
void reflection_add(struct registry *registry);
