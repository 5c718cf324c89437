/* images.h - the Node service's calls about images. */
#pragma once

#include "node/image/image.h"
#include "rpc/call.h"

/* Each answers `call`, now or later; the store outlives the server. */
void images_list(struct image_store *store, struct call *call);
void images_pull(struct image_store *store, struct call *call,
                 const Kontor__V1__PullImageRequest *request);
void images_remove(struct image_store *store, struct call *call,
                   const Kontor__V1__RemoveImagesRequest *request);
