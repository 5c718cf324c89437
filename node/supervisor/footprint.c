#include "node/supervisor/footprint.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* A program that is linked statically has one list of parts, which stands in
 * the first of them: that goes last. What is written to is left alone,
 * constants that were relocated, too. */
static int drop_what_is_read(struct dl_phdr_info *program, size_t size,
                             void *data)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)data;
    for (size_t i = program->dlpi_phnum; i-- > 0;) {
        const ElfW(Phdr) *part = &program->dlpi_phdr[i];
        uintptr_t begin = (program->dlpi_addr + part->p_vaddr) & ~(page - 1);
        uintptr_t end = program->dlpi_addr + part->p_vaddr + part->p_memsz;

        if (part->p_type == PT_LOAD && !(part->p_flags & PF_W))
            madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

/* Making a pod runs through most of the program, and each page of it that is
 * touched brings 15 more: 0.7 MB, of which the loop that waits needs a part.
 * All are the file's, shared by all kpods and in the machine's cache, and come
 * again when they are needed, for the time of a page fault. */
void footprint_shrink(void)
{
    dl_iterate_phdr(drop_what_is_read, NULL);
}
