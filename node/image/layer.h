/* layer.h - one layer's tar archive, unpacked into a folder.
 *
 * What an archive may do and what becomes of it:
 *
 *   files, folders, links, fifos  made with owner, mode, time, user.* and
 *                                 security.capability attributes
 *   ".wh.NAME"                    a character device 0/0, overlayfs's form
 *   ".wh..wh..opq"                trusted.overlay.opaque=y on its folder
 *   other ".wh..wh.*"             left out (AUFS's own)
 *   devices                       left out: a pod has its own /dev and no
 *                                 right to any other
 *   trusted.*, other security.*,  left out: they would speak to this
 *   user.overlay.*                machine's kernel, not to the pod
 *   leading "/"                   dropped
 *   a folder that is not listed   made, 0755 root:root, and named to the
 *                                 caller: a lower layer may know better
 *   a hard link to what is not    named to the caller: a lower layer may
 *   in this archive               have it
 *   "..", a folder that is a link refused: INVALID_ARGUMENT names the entry
 *   out of the layer, a path of
 *   more names than beneath.h has
 *
 * An entry replaces an earlier one of the same name, as tar has it. */
#pragma once

#include "base/buffer.h"

#include <stdint.h>
#include <sys/types.h>

enum {
    LAYER_ENTRIES_MAX = 2000000, /* made folders count as well */
    LAYER_XATTR_MAX_BYTES = 64 << 10,
    /* Of the paths of folders, kept to set their times at the end. */
    LAYER_FOLDERS_MAX_BYTES = 256 << 20,
    LAYER_IMPLIED_MAX_BYTES = 16 << 20,
};

/* All files' sizes together, holes counted. */
#define LAYER_FILES_MAX_BYTES (UINT64_C(64) << 30)

/* The next run of tar bytes at *bytes, valid until the next call. Returns
 * its length, 0 at the end, -1 after an error that the caller knows of. */
typedef ssize_t layer_read_cb(void *data, const void **bytes);

/* Unpack into the open folder `root`, to the archive's end and past it to
 * the end of what `read` gives. `implied` gets what a lower layer may know:
 * "/PATH//TARGET" for hard links, then the paths of the folders that the
 * archive only implies, sorted; each with a NUL. Paths in it are clean. Errors
 * name the entry. What was made until then stays for the caller to remove.
 * umask has to be 0. Entry names are taken as bytes; the process has to be in
 * the "C" locale for that, where libarchive converts and normalises nothing. */
int layer_unpack(int root, layer_read_cb *read, void *data,
                 struct buffer *implied, struct error *why);
