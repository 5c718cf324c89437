#include "node/image/settle.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/image/beneath.h"
#include "node/image/layer.h"
#include "node/image/settle_links.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

struct stack_layer {
    int fd;                /* owned; its folder */
    struct buffer implied; /* its list */
    const char **paths;    /* owned; into `implied`, sorted */
    size_t path_count;
    struct stack_link *links; /* owned */
    size_t link_count;
};

/* A hard link to what only a lower layer can have. */
struct stack_link {
    const char *path; /* both into `implied` */
    const char *target;
};

struct made {
    struct made *next;
    struct timespec time;
    char path[];
};

struct settling {
    struct stack_layer *layers; /* owned; lowest first */
    size_t count;
    int out;           /* borrowed */
    struct made *made; /* owned */
    size_t lookups;
    bool linked; /* a file was put into `out` */
};

/* A folder as overlayfs shows it and as it should be. */
struct sight {
    bool visible;
    struct stat shown;
    struct stat right;
};

/* ---- the lists ----------------------------------------------------------- */

/* What layer.h promises of a path; but the process that writes these lists is
 * one that a hostile archive may have taken over. */
static bool is_plain(const char *path)
{
    if (strlen(path) >= BENEATH_PATH_MAX)
        return false;
    for (;;) {
        size_t length = strcspn(path, "/");

        if (length == 0 || length >= BENEATH_NAME_MAX ||
            (length == 1 && path[0] == '.') ||
            (length == 2 && memcmp(path, "..", 2) == 0))
            return false;
        if (path[length] == '\0')
            return true;
        path += length + 1;
    }
}

/* "PATH//TARGET", which is cut in two. */
static int read_link(struct stack_layer *layer, char *text, struct error *why)
{
    char *middle = strstr(text, "//");

    if (middle)
        *middle = '\0';
    if (!middle || !is_plain(text) || !is_plain(middle + 2))
        return error_set(why, ERROR_DATA_LOSS,
                         "its list has the hard link \"%.200s\"", text);
    layer->links[layer->link_count++] = (struct stack_link){text, middle + 2};
    return 0;
}

static int read_paths(struct stack_layer *layer, struct error *why)
{
    char *bytes = (char *)buffer_data(&layer->implied);
    size_t length = buffer_length(&layer->implied);
    size_t count = 0;

    if (length == 0)
        return 0;
    if (bytes[length - 1] != '\0')
        return error_set(why, ERROR_DATA_LOSS, "its list of folders is cut");
    for (size_t i = 0; i < length; i++)
        count += bytes[i] == '\0';
    layer->paths = memory_array(count, sizeof *layer->paths);
    layer->links = memory_array(count, sizeof *layer->links);
    for (char *path = bytes, *next; path < bytes + length; path = next) {
        next = path + strlen(path) + 1;
        if (path[0] == '/') {
            if (read_link(layer, path + 1, why) != 0)
                return (int)why->code;
            continue;
        }
        if (!is_plain(path))
            return error_set(why, ERROR_DATA_LOSS,
                             "its list of folders has \"%.200s\"", path);
        layer->paths[layer->path_count++] = path;
    }
    return 0;
}

static int compare_paths(const void *key, const void *element)
{
    const char *const *path = element;

    return strcmp(key, *path);
}

static bool is_implied(const struct stack_layer *layer, const char *path)
{
    return layer->path_count > 0 &&
           bsearch(path, layer->paths, layer->path_count, sizeof *layer->paths,
                   compare_paths) != NULL;
}

/* ---- what there is ------------------------------------------------------- */

static int open_folder(int root, const char *path)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve =
            RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };

    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static bool is_opaque(int fd)
{
    char value = 0;

    return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 &&
           value == 'y';
}

/* Look at `path`, whose parent was looked at before, in the layers from the
 * top down to *bottom, which rises when a layer hides those below it. */
static int look_once(struct settling *settling, const char *path,
                     size_t *bottom, struct sight *out, struct error *why)
{
    bool found = false;

    out->visible = false;
    for (size_t i = settling->count; i-- > *bottom;) {
        const struct stack_layer *layer = &settling->layers[i];
        CLEANUP(fd_close) int fd = open_folder(layer->fd, path);
        struct stat info;

        if (++settling->lookups > SETTLE_LOOKUPS_MAX)
            return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                             "more than %d folders that archives imply",
                             SETTLE_LOOKUPS_MAX);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
            *bottom = i + 1; /* a file, a link or a whiteout */
            break;
        }
        if (fd < 0 || fstat(fd, &info) != 0)
            return error_errno(why, "look at \"%.200s\"", path);
        if (!out->visible)
            out->shown = out->right = info;
        out->visible = true;
        if (!found && !is_implied(layer, path)) {
            out->right = info;
            found = true;
        }
        if (is_opaque(fd)) {
            *bottom = i;
            break;
        }
    }
    return 0;
}

static int look(struct settling *settling, const char *path, struct sight *out,
                struct error *why)
{
    char part[BENEATH_PATH_MAX];
    size_t bottom = 0;
    size_t length = 0;

    do {
        length += strcspn(path + length, "/");
        memcpy(part, path, length);
        part[length] = '\0';
        if (look_once(settling, part, &bottom, out, why) != 0)
            return (int)why->code;
    } while (out->visible && path[length++] != '\0');
    return 0;
}

/* ---- what there should be ------------------------------------------------ */

static int dress(int fd, const struct stat *as, struct error *why)
{
    if (fchown(fd, as->st_uid, as->st_gid) != 0 ||
        fchmod(fd, as->st_mode & 07777) != 0)
        return error_errno(why, "set the owner and mode of a folder");
    return 0;
}

static int make_one(struct settling *settling, const char *path,
                    struct error *why)
{
    CLEANUP(fd_close) int fd = -1;
    struct sight sight;
    struct made *made;

    if (mkdirat(settling->out, path, 0700) != 0) {
        if (errno == EEXIST)
            return 0;
        return error_errno(why, "make \"%.200s\"", path);
    }
    if (look(settling, path, &sight, why) != 0)
        return (int)why->code;
    fd = open_folder(settling->out, path);
    if (fd < 0)
        return error_errno(why, "open \"%.200s\"", path);
    made = memory_new(sizeof *made + strlen(path) + 1);
    memcpy(made->path, path, strlen(path) + 1);
    made->time = sight.right.st_mtim;
    made->next = settling->made;
    settling->made = made;
    return dress(fd, &sight.right, why);
}

/* The folder and those on the way to it. */
static int make(struct settling *settling, const char *path, struct error *why)
{
    char part[BENEATH_PATH_MAX];
    size_t length = 0;

    do {
        length += strcspn(path + length, "/");
        memcpy(part, path, length);
        part[length] = '\0';
        if (make_one(settling, part, why) != 0)
            return (int)why->code;
    } while (path[length++] != '\0');
    return 0;
}

static int settle_path(struct settling *settling, const char *path,
                       struct error *why)
{
    struct sight sight;

    if (look(settling, path, &sight, why) != 0)
        return (int)why->code;
    if (!sight.visible || (sight.shown.st_mode == sight.right.st_mode &&
                           sight.shown.st_uid == sight.right.st_uid &&
                           sight.shown.st_gid == sight.right.st_gid))
        return 0;
    return make(settling, path, why);
}

/* ---- links --------------------------------------------------------------- */

/* The folder that a path is in, and those on the way to it. */
static int make_parent(struct settling *settling, const char *path,
                       struct error *why)
{
    const char *slash = strrchr(path, '/');
    char parent[BENEATH_PATH_MAX];

    if (!slash)
        return 0;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    return make(settling, parent, why);
}

static int settle_links(struct settling *settling, const int *folders,
                        size_t number, struct error *why)
{
    const struct stack_layer *layer = &settling->layers[number];
    const struct link_layers layers = {folders, (int)settling->count};

    for (size_t i = 0; i < layer->link_count; i++) {
        const struct stack_link *link = &layer->links[i];

        if (settle_link_hidden(&layers, (int)number, link->path))
            continue;
        if (make_parent(settling, link->path, why) != 0)
            return (int)why->code;
        if (settle_link_copy(&layers, (int)number, link->target, settling->out,
                             link->path, why) != 0)
            return error_wrap(why, "entry \"%.200s\", hard link to \"%.200s\"",
                              link->path, link->target);
        settling->linked = true;
    }
    return 0;
}

static int settle_all_links(struct settling *settling, struct error *why)
{
    CLEANUP(free_pointer)
    int *folders = memory_array(settling->count, sizeof *folders);

    for (size_t i = 0; i < settling->count; i++)
        folders[i] = settling->layers[i].fd;
    for (size_t i = 0; i < settling->count; i++)
        if (settle_links(settling, folders, i, why) != 0)
            return (int)why->code;
    return 0;
}

/* Once nothing more is put into them; the root is the uppermost layer's. */
static int finish(struct settling *settling, struct error *why)
{
    struct stat top;

    for (const struct made *made = settling->made; made; made = made->next) {
        const struct timespec times[] = {made->time, made->time};

        if (utimensat(settling->out, made->path, times, AT_SYMLINK_NOFOLLOW) !=
            0)
            return error_errno(why, "set the time of \"%.200s\"", made->path);
    }
    if (fstat(settling->layers[settling->count - 1].fd, &top) != 0)
        return error_errno(why, "look at the uppermost layer");
    return dress(settling->out, &top, why);
}

/* ---- all ----------------------------------------------------------------- */

static int open_layers(struct settling *settling,
                       const struct settle_layers *from, struct error *why)
{
    settling->layers = memory_array(from->count, sizeof *settling->layers);
    for (size_t i = 0; i < from->count; i++) {
        struct stack_layer *layer = &settling->layers[i];

        settling->count++;
        layer->fd = -1;
        buffer_init(&layer->implied, LAYER_IMPLIED_MAX_BYTES);
        if (layer_store_open_layer(from->store, &from->diff_ids[i], &layer->fd,
                                   &layer->implied, why) != 0 ||
            read_paths(layer, why) != 0)
            return error_wrap(why, "layer %s", from->diff_ids[i].text);
    }
    return 0;
}

static void settling_fini(struct settling *settling)
{
    struct made *next;

    for (size_t i = 0; i < settling->count; i++) {
        fd_reset(&settling->layers[i].fd);
        buffer_fini(&settling->layers[i].implied);
        free(settling->layers[i].paths);
        free(settling->layers[i].links);
    }
    free(settling->layers);
    for (struct made *made = settling->made; made; made = next) {
        next = made->next;
        free(made);
    }
}

int settle(const struct settle_layers *layers, int out, bool *needed,
           struct error *why)
{
    CLEANUP(settling_fini) struct settling settling = {.out = out};

    if (open_layers(&settling, layers, why) != 0)
        return (int)why->code;
    /* Below the lowest layer nobody knows better. */
    for (size_t i = 1; i < settling.count; i++)
        for (size_t k = 0; k < settling.layers[i].path_count; k++)
            if (settle_path(&settling, settling.layers[i].paths[k], why) != 0)
                return (int)why->code;
    if (settle_all_links(&settling, why) != 0)
        return (int)why->code;
    *needed = settling.made != NULL || settling.linked;
    if (*needed && finish(&settling, why) != 0)
        return (int)why->code;
    return 0;
}

void settle_name(const struct settle_layers *layers, struct digest *out)
{
    static const char kind[] = "folders of\n";
    struct digest_stream stream;

    digest_stream_init(&stream);
    digest_stream_add(&stream, kind, strlen(kind));
    for (size_t i = 0; i < layers->count; i++)
        digest_stream_add(&stream, layers->diff_ids[i].text,
                          sizeof layers->diff_ids[i].text);
    digest_stream_end(&stream, out);
    digest_stream_fini(&stream);
}
