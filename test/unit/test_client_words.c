/* Command lines: verbs, options, exit codes, what `schedule` asks for. */
#include "base/nearest.h"
#include "client/exit.h"
#include "client/schedule_request.h"
#include "client/verb.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 32, LINE_MAX_BYTES = 256 };

/* A command line cut at its spaces. */
struct line {
    char text[LINE_MAX_BYTES];
    char *argv[WORDS_MAX + 1];
    int argc;
};

static void cut(struct line *line, const char *text)
{
    *line = (struct line){0};
    snprintf(line->text, sizeof line->text, "%s", text);
    for (char *at = strtok(line->text, " "); at; at = strtok(NULL, " "))
        line->argv[line->argc++] = at;
}

static const struct {
    const char *line;
    int code;
} lines[] = {
    {"kctl", EXIT_CODE_USAGE},
    {"kctl help", EXIT_CODE_DONE},
    {"kctl --help", EXIT_CODE_DONE},
    {"kctl --version", EXIT_CODE_DONE},
    {"kctl version -o json", EXIT_CODE_DONE},
    {"kctl version -o yaml", EXIT_CODE_USAGE},
    {"kctl version now", EXIT_CODE_USAGE},
    {"kctl shedule web", EXIT_CODE_USAGE},
    {"kctl get", EXIT_CODE_USAGE},
    {"kctl get --help", EXIT_CODE_DONE},
    {"kctl get help", EXIT_CODE_DONE},
    {"kctl get rich", EXIT_CODE_USAGE},
    {"kctl dev relay -h", EXIT_CODE_DONE},
    {"kctl get pods --help", EXIT_CODE_DONE},
    {"kctl get pods all", EXIT_CODE_USAGE},
    {"kctl why", EXIT_CODE_USAGE},
    {"kctl cordon n1", EXIT_CODE_USAGE},
    {"kctl node", EXIT_CODE_USAGE},
    {"kctl node label n1", EXIT_CODE_USAGE},
    {"kctl node label n1 zone", EXIT_CODE_USAGE},
    {"kctl node label n1 zone=a=b", EXIT_CODE_USAGE},
    {"kctl node taint n1 gpu=yes", EXIT_CODE_USAGE},
    {"kctl node taint n1 gpu=yes:NoExecute", EXIT_CODE_USAGE},
    {"kctl stop -- web-1", EXIT_CODE_USAGE},
    {"kctl schedule web --cpu lots", EXIT_CODE_USAGE},
    {"kctl schedule web --mem 512m", EXIT_CODE_USAGE},
    {"kctl masters --config /nonexistent/config.json", EXIT_CODE_USAGE},
    {"kctl pki init /nonexistent/pki --master m1", EXIT_CODE_USAGE},
    {"kctl dev down --dir /nonexistent/dev", EXIT_CODE_DONE},
};

static void a_line_has_its_exit_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct line line;
        int code;

        cut(&line, lines[i].line);
        code = verb_dispatch(line.argc, line.argv);
        if (code != lines[i].code)
            fail_msg("%s: %d", lines[i].line, code);
    }
}

/* In a process of its own, as it spoils stdout. */
static int code_with_output(const char *text, const char *path)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct line line;
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
            _exit(99);
        cut(&line, text);
        _exit(verb_dispatch(line.argc, line.argv));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void an_output_that_is_lost_is_a_failure(void **state)
{
    static const char *const texts[] = {
        "kctl version",    "kctl version -o json",
        "kctl --help",     "kctl --version",
        "kctl why --help", "kctl dev down --dir /nonexistent/dev"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_int_equal(code_with_output(texts[i], "/dev/full"),
                         EXIT_CODE_FAILED);
        assert_int_equal(code_with_output(texts[i], "/dev/null"),
                         EXIT_CODE_DONE);
    }
}

static void help_starts_with_an_example(void **state)
{
    (void)state;
    for (const struct verb *const *verb = verbs; *verb; verb++) {
        char start[64];

        snprintf(start, sizeof start, "kctl %s", (*verb)->name);
        assert_int_equal(strncmp((*verb)->example, start, strlen(start)), 0);
        assert_int_equal(strncmp((*verb)->synopsis, start, strlen(start)), 0);
    }
}

static const struct {
    int error, code;
} codes[] = {
    {ERROR_OK, 0},
    {ERROR_INTERNAL, 1},
    {ERROR_DATA_LOSS, 1},
    {ERROR_INVALID_ARGUMENT, 2},
    {ERROR_NOT_FOUND, 4},
    {ERROR_ALREADY_EXISTS, 5},
    {ERROR_ABORTED, 5},
    {ERROR_PERMISSION_DENIED, 6},
    {ERROR_UNAUTHENTICATED, 6},
    {ERROR_UNAVAILABLE, 7},
    {ERROR_DEADLINE_EXCEEDED, 124},
    {ERROR_CANCELLED, 130},
    {99, 1},
};

static void errors_have_exit_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        assert_int_equal(exit_code_of(codes[i].error), codes[i].code);
}

static void near_words_are_found(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("schedule", "schedule"), 0);
    assert_int_equal(nearest_distance("shedule", "schedule"), 1);
    assert_int_equal(nearest_distance("scehdule", "schedule"), 1);
    assert_int_equal(nearest_distance("", "why"), 3);
    assert_true(nearest_likely("lgos", "logs"));
    assert_true(nearest_likely("res", "restart"));
    assert_false(nearest_likely("banana", "schedule"));
    assert_false(nearest_likely("wow", "why"));
    /* Longer than the table: no overrun, far from everything. */
    assert_int_equal(
        nearest_distance("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                         "b"),
        50);
}

/* Parse `text` as schedule would. */
static int ask(struct line *line, const char *text,
               struct schedule_request *request, struct error *why)
{
    static struct schedule_options asked;
    const struct option options[] = {SCHEDULE_OPTIONS(&asked), {0}};
    struct operands operands;
    bool help;

    cut(line, text);
    schedule_options_init(&asked);
    if (options_parse(options, line->argc, line->argv, &operands, &help, why) !=
        0)
        return (int)why->code;
    return schedule_request_make(request, &asked, &operands, why);
}

static void schedule_has_defaults(void **state)
{
    struct schedule_request request = {0};
    struct error why;
    struct line line;

    (void)state;
    if (ask(&line, "schedule r:5000/web:1", &request, &why) != 0) {
        fail_msg("%s", why.message);
        return;
    }
    assert_ptr_equal(request.request.spec, &request.spec);
    assert_ptr_equal(request.spec.containers[0], &request.container);
    assert_string_equal(request.container.image, "r:5000/web:1");
    assert_int_equal(request.resources.cpu_milli, 100);
    assert_int_equal(request.resources.memory_bytes, 64 << 20);
    assert_int_equal(request.resources.disk_bytes, 0);
    assert_int_equal(request.resources.net_bits, 0);
    assert_int_equal(request.spec.restart,
                     KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);
    assert_string_equal(request.spec.app, "");
    assert_string_equal(request.spec.node, "");
    assert_int_equal(request.container.n_command, 0);
}

static void schedule_says_all_it_was_told(void **state)
{
    struct schedule_request request = {0};
    struct error why;
    struct line line;

    (void)state;
    if (ask(&line,
            "schedule web --cpu 2 --mem 1G --disk 10GB --net 100M --name app "
            "--node n2 --env A=1 --env B= --restart on-failure --stop-grace "
            "2s -- /bin/sh -c true",
            &request, &why) != 0) {
        fail_msg("%s", why.message);
        return;
    }
    assert_int_equal(request.resources.cpu_milli, 2000);
    assert_int_equal(request.resources.memory_bytes, 1 << 30);
    assert_true(request.resources.disk_bytes == 10000000000);
    assert_int_equal(request.resources.net_bits, 100000000);
    assert_string_equal(request.spec.app, "app");
    assert_string_equal(request.spec.node, "n2");
    assert_int_equal(request.spec.stop_grace_ms, 2000);
    assert_int_equal(request.spec.restart,
                     KONTOR__V1__RESTART_POLICY__RESTART_ON_FAILURE);
    assert_int_equal(request.container.n_env, 2);
    assert_true(request.container.env &&
                strcmp(request.container.env[1], "B=") == 0);
    assert_int_equal(request.container.n_command, 3);
    assert_true(request.container.command &&
                strcmp(request.container.command[2], "true") == 0);
}

static const struct {
    const char *line, *names;
} refused[] = {
    {"schedule web --cpu 0", "--cpu"},
    {"schedule web --mem 0", "--mem"},
    {"schedule web --mem 512m", "512M"},
    {"schedule web --env A", "\"A\""},
    {"schedule web --env =1", "\"=1\""},
    {"schedule web --restart sometimes", "sometimes"},
    {"schedule web --stop-grace 2h", "--stop-grace"},
    {"schedule web --", "--"},
    {"schedule web --nmae x", "--name"},
};

static void what_schedule_refuses_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct schedule_request request = {0};
        struct error why;
        struct line line;

        assert_int_equal(ask(&line, refused[i].line, &request, &why),
                         ERROR_INVALID_ARGUMENT);
        if (!strstr(why.message, refused[i].names))
            fail_msg("%s: %s", refused[i].line, why.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_exit_code),
        cmocka_unit_test(an_output_that_is_lost_is_a_failure),
        cmocka_unit_test(help_starts_with_an_example),
        cmocka_unit_test(errors_have_exit_codes),
        cmocka_unit_test(near_words_are_found),
        cmocka_unit_test(schedule_has_defaults),
        cmocka_unit_test(schedule_says_all_it_was_told),
        cmocka_unit_test(what_schedule_refuses_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
