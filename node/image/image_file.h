/* image_file.h - a file on the node that is, or holds, an image.
 *
 * Such a file is taken for the same as long as its inode, size and times are:
 * what it was unpacked to is then used again, as with a digest. */
#pragma once

#include "node/image/reference.h"

/* Open the file of a reference that reference_is_file(), and set the
 * reference's digest to what stands for it. The caller closes *fd. NOT_FOUND,
 * PERMISSION_DENIED, or FAILED_PRECONDITION when it is no regular file. */
int image_file_open(struct reference *reference, int *fd, struct error *why);

/* Only the digest. */
int image_file_resolve(struct reference *reference, struct error *why);

/* Whether an open file begins as the reference's kind of file system does:
 * INVALID_ARGUMENT when not. */
int image_file_check(const struct reference *reference, int fd,
                     struct error *why);
