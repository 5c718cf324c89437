#include "node/supervisor/footprint.h"

#include <link.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where the linker has put the program, whose addresses begin with 0. */
extern char __executable_start[];

/* The program, which comes first, and not the libraries that a checked build
 * has. Its list of parts stands in the first of them: that goes last. What is
 * written to is left alone, constants that were relocated, too. */
static int drop_what_is_read(struct dl_phdr_info *program, size_t size,
                             void *data)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)data;
    for (size_t i = program->dlpi_phnum; i-- > 0;) {
        const ElfW(Phdr) *part = &program->dlpi_phdr[i];
        size_t before = part->p_vaddr % page;

        if (part->p_type == PT_LOAD && !(part->p_flags & PF_W))
            madvise(__executable_start + part->p_vaddr - before,
                    before + part->p_memsz, MADV_DONTNEED);
    }
    return 1;
}

/* Making a pod runs through most of the program, and each page of it that is
 * touched brings 15 more: 0.7 MB, of which the loop that waits needs a part.
 * All are the file's, shared by all kpods and in the machine's cache, and come
 * again when they are needed, for the time of a page fault. */
void footprint_shrink(void)
{
    dl_iterate_phdr(drop_what_is_read, NULL);
}
