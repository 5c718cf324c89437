/* Files and folders: replaced whole, removed without leaving the folder. */
#include "base/fd.h"
#include "base/options.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
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
        cmocka_unit_test(options_are_parsed),
        cmocka_unit_test(wrong_options_are_named),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
