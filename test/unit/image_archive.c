#include "image_archive.h"

#include "base/fd.h"
#include "base/memory.h"

#include <archive.h>
#include <assert.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

void archive_built_begin(struct archive_built *built)
{
    built->bytes = memory_new(ARCHIVE_BUILT_MAX_BYTES);
    built->length = 0;
    built->writer = archive_write_new();
    archive_write_set_format_pax(built->writer);
    archive_write_set_options(built->writer, "hdrcharset=BINARY");
    archive_write_set_bytes_per_block(built->writer, 512);
    archive_write_open_memory(built->writer, built->bytes,
                              ARCHIVE_BUILT_MAX_BYTES, &built->length);
}

void archive_built_end(struct archive_built *built)
{
    assert(archive_write_close(built->writer) == ARCHIVE_OK);
}

void archive_built_free(struct archive_built *built)
{
    archive_write_free(built->writer);
    free(built->bytes);
}

struct archive_entry *archive_built_entry(const char *path, unsigned type,
                                          unsigned mode)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, path);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, mode);
    archive_entry_set_mtime(entry, 1000000000, 0);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    return entry;
}

void archive_built_add(struct archive_built *built, struct archive_entry *entry,
                       const void *content, size_t length)
{
    if (content)
        archive_entry_set_size(entry, (int64_t)length);
    assert(archive_write_header(built->writer, entry) >= ARCHIVE_WARN);
    if (content)
        assert(archive_write_data(built->writer, content, length) ==
               (la_ssize_t)length);
    archive_entry_free(entry);
}

void archive_built_file(struct archive_built *built, const char *path,
                        const char *content)
{
    archive_built_add(built, archive_built_entry(path, AE_IFREG, 0644), content,
                      strlen(content));
}

void archive_built_folder(struct archive_built *built, const char *path)
{
    archive_built_add(built, archive_built_entry(path, AE_IFDIR, 0755), NULL,
                      0);
}

void archive_built_symlink(struct archive_built *built, const char *path,
                           const char *to)
{
    struct archive_entry *entry = archive_built_entry(path, AE_IFLNK, 0777);

    archive_entry_set_symlink(entry, to);
    archive_built_add(built, entry, NULL, 0);
}

void archive_built_hardlink(struct archive_built *built, const char *path,
                            const char *to)
{
    struct archive_entry *entry = archive_built_entry(path, AE_IFREG, 0644);

    archive_entry_set_hardlink(entry, to);
    archive_built_add(built, entry, NULL, 0);
}

char *temporary_folder(void)
{
    const char *tmpdir = getenv("TMPDIR");
    char *path =
        memory_format("%s/kontor-image-XXXXXX", tmpdir ? tmpdir : "/tmp");

    assert(mkdtemp(path));
    return path;
}

void temporary_remove(const char *path)
{
    struct error why;

    assert(folder_remove(AT_FDCWD, path, &why) == 0);
}

uint8_t *gzip_bytes(const uint8_t *bytes, size_t length, size_t *out_length)
{
    size_t room = length + length / 8 + 1024;
    uint8_t *copy = memory_new(length);
    uint8_t *out = memory_new(room);
    struct isal_zstream *stream = memory_new(sizeof *stream);

    if (length > 0)
        memcpy(copy, bytes, length);
    isal_deflate_stateless_init(stream);
    stream->gzip_flag = IGZIP_GZIP;
    stream->end_of_stream = 1;
    stream->next_in = copy;
    stream->avail_in = (uint32_t)length;
    stream->next_out = out;
    stream->avail_out = (uint32_t)room;
    assert(isal_deflate_stateless(stream) == COMP_OK);
    *out_length = stream->total_out;
    free(stream);
    free(copy);
    return out;
}
