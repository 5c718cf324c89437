/* superblock.h - which file system a file holds. */
#pragma once

/* "squashfs", "erofs" or "ext4", as mount(2) calls them, by what the open file
 * begins with; NULL for all others. Static. */
const char *superblock_type(int fd);
