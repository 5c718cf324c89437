/* Files and folders: replaced whole, removed without leaving the folder. */
#include "base/fd.h"
#include "base/options.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/kontor-test-XXXXXX";
static int dir = -1;

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
    struct error why;

    (void)state;
    fd_reset(&dir);
    return folder_remove(AT_FDCWD, folder, &why);
}

static void a_file_is_replaced_whole(void **state)
{
    struct buffer content;
    struct error why;
    struct stat info;

    (void)state;
    assert_int_equal(file_replace(dir, "a", "one", 3, 0600, &why), 0);
    assert_int_equal(file_replace(dir, "a", "three", 5, 0640, &why), 0);
    assert_int_equal(fstatat(dir, "a", &info, 0), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(faccessat(dir, "a.new", F_OK, 0), -1);
    buffer_init(&content, 5);
    assert_int_equal(file_read(dir, "a", &content, &why), 0);
    assert_memory_equal(buffer_data(&content), "three", 5);
    buffer_fini(&content);
}

static void a_file_over_the_limit_is_refused(void **state)
{
    struct buffer content;
    struct error why;

    (void)state;
    assert_int_equal(file_replace(dir, "b", "12345", 5, 0600, &why), 0);
    buffer_init(&content, 4);
    assert_int_equal(file_read(dir, "b", &content, &why),
                     ERROR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(why.message, "read b"));
    buffer_fini(&content);
    buffer_init(&content, 4);
    assert_int_equal(file_read(dir, "missing", &content, &why),
                     ERROR_NOT_FOUND);
    buffer_fini(&content);
}

static void removing_does_not_follow_links(void **state)
{
    char path[256];
    struct error why;

    (void)state;
    snprintf(path, sizeof path, "%s/outside", folder);
    assert_int_equal(folder_make(path, 0755, &why), 0);
    assert_int_equal(file_replace(dir, "outside/kept", "k", 1, 0600, &why), 0);
    snprintf(path, sizeof path, "%s/tree/deep/er", folder);
    assert_int_equal(folder_make(path, 0755, &why), 0);
    assert_int_equal(symlinkat("../outside", dir, "tree/link"), 0);
    assert_int_equal(folder_remove(dir, "tree", &why), 0);
    assert_int_equal(faccessat(dir, "tree", F_OK, 0), -1);
    assert_int_equal(faccessat(dir, "outside/kept", F_OK, 0), 0);
    assert_int_equal(folder_remove(dir, "tree", &why), 0);
}

/* A container can make a tree deeper than we have open files or stack. */
static void a_deep_tree_is_removed(void **state)
{
    const struct rlimit few = {32, 4096};
    struct rlimit usual;
    struct error why;
    int at = dup(dir);

    (void)state;
    for (unsigned depth = 0; depth < 3000; depth++) {
        const char *name = depth % 2 ? ".0" : "deep";
        int below;

        assert_int_equal(mkdirat(at, name, 0755), 0);
        if (depth % 100 == 0)
            assert_int_equal(mkdirat(at, ".7", 0755), 0);
        below = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(file_exchange(below, "f", "x", 1, 0600, &why), 0);
        close(at);
        at = below;
    }
    close(at);
    getrlimit(RLIMIT_NOFILE, &usual);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    if (folder_remove(dir, "deep", &why) != 0)
        fail_msg("%s", why.message);
    setrlimit(RLIMIT_NOFILE, &usual);
    assert_int_equal(faccessat(dir, "deep", F_OK, 0), -1);
}

/* Not even where it is a part of the same file system. */
static void what_is_mounted_is_left_alone(void **state)
{
    char kept[128];
    char below[128];
    struct error why;

    (void)state;
    if (unshare(CLONE_NEWNS) != 0)
        skip(); /* only root may */
    assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    snprintf(kept, sizeof kept, "%s/volume/kept", folder);
    snprintf(below, sizeof below, "%s/pod/a/volume", folder);
    assert_int_equal(folder_make(kept, 0755, &why), 0);
    assert_int_equal(folder_make(below, 0755, &why), 0);
    *strrchr(kept, '/') = '\0';
    assert_int_equal(mount(kept, below, NULL, MS_BIND, NULL), 0);
    assert_int_equal(folder_remove(dir, "pod", &why),
                     ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(why.message, "in pod: in a: remove volume"));
    assert_int_equal(folder_remove(dir, "pod/a/volume", &why),
                     ERROR_FAILED_PRECONDITION);
    assert_int_equal(faccessat(dir, "volume/kept", F_OK, 0), 0);
    assert_int_equal(umount(below), 0);
    assert_int_equal(folder_remove(dir, "pod", &why), 0);
}

static void what_is_no_folder_is_not_made_one(void **state)
{
    char path[128];
    struct error why;

    (void)state;
    snprintf(path, sizeof path, "%s/file", folder);
    assert_int_equal(file_exchange(dir, "file", "x", 1, 0600, &why), 0);
    assert_int_equal(folder_make(path, 0755, &why), ERROR_INVALID_ARGUMENT);
    assert_int_equal(folder_make("", 0755, &why), ERROR_NOT_FOUND);
    assert_int_equal(folder_make("/", 0755, &why), 0);
    assert_int_equal(folder_make(folder, 0755, &why), 0);
}

static void options_are_parsed(void **state)
{
    bool flag = false;
    uint64_t bytes = 7;
    const char *name = NULL;
    struct option_strings labels = {0};
    const struct option table[] = {
        {"f|follow", OPTION_FLAG, &flag, NULL, ""},
        {"mem", OPTION_BYTES, &bytes, "MEM", ""},
        {"name", OPTION_STRING, &name, "NAME", ""},
        {"label", OPTION_STRINGS, &labels, "K=V", ""},
        {.name = NULL},
    };
    const char *line[] = {"x",       "first", "-f",      "--mem=1K", "--label",
                          "a=b",     "next",  "--label", "c=d",      "--name",
                          "--dashy", "--",    "--mem",   NULL};
    struct operands operands;
    struct error why;
    bool help;

    (void)state;
    if (options_parse(table, 13, without_const(line), &operands, &help, &why) !=
        0)
        fail_msg("%s", why.message);
    assert_true(flag);
    assert_int_equal(bytes, 1024);
    assert_string_equal(name, "--dashy");
    assert_int_equal(labels.count, 2);
    assert_string_equal(labels.values[1], "c=d");
    assert_int_equal(operands.count, 2);
    assert_string_equal(operands.values[1], "next");
    assert_int_equal(operands.rest_count, 1);
}

static void flags_stand_together(void **state)
{
    bool input = false, terminal = false, other = false;
    const struct option table[] = {{"i|stdin", OPTION_FLAG, &input, NULL, ""},
                                   {"t|tty", OPTION_FLAG, &terminal, NULL, ""},
                                   {"o|other", OPTION_FLAG, &other, NULL, ""},
                                   {"s|size", OPTION_BYTES, NULL, "B", ""},
                                   {.name = NULL}};
    const char *line[] = {"x", "-it", NULL};
    const char *wrong[] = {"x", "-os", NULL};
    struct operands operands;
    struct error why;
    bool help;

    (void)state;
    assert_int_equal(
        options_parse(table, 2, without_const(line), &operands, &help, &why),
        0);
    assert_true(input && terminal && !other);
    assert_int_equal(
        options_parse(table, 2, without_const(wrong), &operands, &help, &why),
        ERROR_INVALID_ARGUMENT);
    assert_false(other);
}

static void wrong_options_are_named(void **state)
{
    static const struct {
        const char *word;
        const char *says;
    } rows[] = {
        {"--nope", "unknown option --nope"},
        {"-z", "unknown option -z"},
        {"--mem", "--mem needs a value"},
        {"--mem=512m", "--mem: \"512m\" would be"},
        {"--follow=1", "--follow takes no value"},
    };
    bool flag = false;
    uint64_t bytes = 0;
    const struct option table[] = {
        {"f|follow", OPTION_FLAG, &flag, NULL, ""},
        {"mem", OPTION_BYTES, &bytes, "MEM", ""},
        {.name = NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char word[32];
        const char *line[] = {"x", word, NULL};
        struct operands operands;
        struct error why;
        bool help;

        snprintf(word, sizeof word, "%s", rows[i].word);
        assert_int_equal(options_parse(table, 2, without_const(line), &operands,
                                       &help, &why),
                         ERROR_INVALID_ARGUMENT);
        if (!strstr(why.message, rows[i].says))
            fail_msg("%s: says %s", rows[i].word, why.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(a_file_over_the_limit_is_refused),
        cmocka_unit_test(removing_does_not_follow_links),
        cmocka_unit_test(a_deep_tree_is_removed),
        cmocka_unit_test(what_is_mounted_is_left_alone),
        cmocka_unit_test(what_is_no_folder_is_not_made_one),
        cmocka_unit_test(options_are_parsed),
        cmocka_unit_test(flags_stand_together),
        cmocka_unit_test(wrong_options_are_named),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
