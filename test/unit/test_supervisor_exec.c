/* test_supervisor_exec.c - programs that are started beside a container's own.
 * As root. */
#include "base/fd.h"
#include "base/memory.h"
#include "node/supervisor/exec.h"
#include "node/supervisor/supervisor.h"
#include "test/unit/kpod_story.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* What a program that was started holds, and what it said. */
static struct session {
    int socket, input, output, errors;
    struct exec_note note; /* the last */
    int terminal;
    char said[4096];
} session;

static int begin(void **state)
{
    (void)state;
    session = (struct session){-1, -1, -1, -1, .terminal = -1};
    pod = kpod_pod_new("echo up; sleep 1000");
    kpod_pod_set_argv(pod, "sh", "-c", "echo up; sleep 1000", NULL);
    kpod_pod_start(pod);
    kpod_pod_await(pod, PHASE(RUNNING));
    kpod_pod_await_log(pod, "up");
    return 0;
}

/* As knode does. */
static void start(Kontor__V1__StartExec *asked)
{
    int pair[2], pipes[3][2], theirs[4];
    size_t count = 0;

    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    session.socket = pair[0];
    theirs[count++] = pair[1];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
    if (asked->input)
        theirs[count++] = pipes[0][0];
    theirs[count++] = pipes[1][1];
    theirs[count++] = pipes[2][1];
    session.input = pipes[0][1];
    session.output = pipes[1][0];
    session.errors = pipes[2][0];
    kpod_pod_send_exec(pod, asked, theirs, asked->terminal ? 1 : count);
    close(pair[1]);
    close(pipes[0][0]);
    close(pipes[1][1]);
    close(pipes[2][1]);
}

static void start_sh(const char *script, bool terminal)
{
    static char sh[] = "sh", option[] = "-c";
    char *argv[] = {sh, option, without_const(script)};
    Kontor__V1__StartExec asked = KONTOR__V1__START_EXEC__INIT;

    asked.argv = argv;
    asked.n_argv = 3;
    asked.input = !terminal;
    asked.terminal = terminal;
    asked.rows = 33;
    asked.columns = 101;
    start(&asked);
}

/* The next note; a terminal that comes with it is kept. 0: the end. */
static int next_note(void)
{
    struct iovec part = {&session.note, sizeof session.note};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    struct pollfd ready = {.fd = session.socket, .events = POLLIN};
    const struct cmsghdr *header;
    ssize_t got;

    assert_int_equal(poll(&ready, 1, KPOD_POD_AWAIT_MS), 1);
    got = recvmsg(session.socket, &packet, MSG_CMSG_CLOEXEC);
    header = CMSG_FIRSTHDR(&packet);
    if (got > 0 && header)
        memcpy(&session.terminal, CMSG_DATA(header), sizeof(int));
    return got > 0 ? session.note.kind : 0;
}

static const char *read_all(int fd)
{
    size_t used = 0;
    ssize_t got;

    while ((got = read(fd, session.said + used,
                       sizeof session.said - 1 - used)) > 0)
        used += (size_t)got;
    session.said[used] = '\0';
    return session.said;
}

static void assert_said(const char *said, const char *text)
{
    if (!strstr(said, text))
        fail_msg("\"%s\" is not in:\n%s", text, said);
}

static void it_runs_in_the_container(void **state)
{
    (void)state;
    start_sh("cat; echo $$ $(hostname) $HOME; ls / | tr '\\n' ' '; "
             "ps | grep -c '[s]leep 1000'; cat /proc/self/cgroup; "
             "grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status; "
             "ls /proc/self/fd | tr '\\n' ' '; echo err >&2; exit 7",
             false);
    assert_int_equal(write(session.input, "given\n", 6), 6);
    fd_reset(&session.input);
    assert_int_equal(next_note(), EXEC_ENDED);
    assert_int_equal(session.note.exit_code, 7);
    assert_int_equal(next_note(), 0);
    read_all(session.output);
    assert_said(session.said, "given\n");
    assert_said(session.said, " web-1 /root\n");
    assert_said(session.said, "bin dev etc proc sys tmp 1\n");
    assert_said(session.said, ":/\n");
    assert_null(strstr(session.said, "kontor"));
    assert_said(session.said, "CapEff:\t00000000a00405fb\n");
    assert_said(session.said, "NoNewPrivs:\t1\nSeccomp:\t2\n");
    assert_said(session.said, "\n0 1 2 3 "); /* 3: the folder that ls reads */
    assert_string_equal(read_all(session.errors), "err\n");
}

static void user_and_environment_are_its_own(void **state)
{
    static char sh[] = "sh", option[] = "-c", user[] = "www",
                script[] = "echo $(id -u) $A $PATH; echo x > /dev/stderr",
                variable[] = "A=b", path[] = "PATH=/bin:/x";
    char *argv[] = {sh, option, script}, *env[] = {variable, path};
    Kontor__V1__StartExec asked = KONTOR__V1__START_EXEC__INIT;

    (void)state;
    asked.argv = argv;
    asked.n_argv = 3;
    asked.env = env;
    asked.n_env = 2;
    asked.user = user;
    start(&asked);
    assert_int_equal(next_note(), EXEC_ENDED);
    assert_string_equal(read_all(session.output), "33 b /bin:/x\n");
    assert_string_equal(read_all(session.errors), "x\n");
}

static void a_terminal_is_the_containers(void **state)
{
    char bytes[512];
    size_t used = 0;
    ssize_t got;

    (void)state;
    start_sh("stty size; tty; stat -c %u:%g $(tty); echo x > /dev/tty; read a; "
             "echo got $a; exit 3",
             true);
    assert_int_equal(next_note(), EXEC_TERMINAL);
    assert_true(session.terminal >= 0);
    assert_int_equal(write(session.terminal, "word\n", 5), 5);
    while ((got = read(session.terminal, bytes + used,
                       sizeof bytes - 1 - used)) > 0)
        used += (size_t)got;
    bytes[used] = '\0';
    assert_said(bytes, "33 101\r\n"); /* the echo may stand anywhere */
    assert_said(bytes, "/dev/pts/0\r\n");
    assert_said(bytes, "0:5\r\n"); /* the group tty */
    assert_said(bytes, "x\r\n");
    assert_said(bytes, "got word\r\n");
    assert_int_equal(next_note(), EXEC_ENDED);
    assert_int_equal(session.note.exit_code, 3);
}

/* What a container, which has to be allowed to mount for that, lays where
 * terminals come from is not taken for it (CVE-2025-52565): this would be
 * opened, made its terminal and given to a user by kpod. */
static void a_false_multiplexer_makes_no_terminal(void **state)
{
    static const struct {
        const char *laid, *said;
    } ways[] = {
        {"echo > /tmp/ptmx",
         "/dev/pts/ptmx of the container makes no terminals"},
        {"mkfifo /tmp/ptmx",
         "/dev/pts/ptmx of the container makes no terminals"},
        {"touch /tmp/ptmx; mount -o bind /dev/null /tmp/ptmx",
         "/dev/pts/ptmx of the container makes no terminals"},
        {"ln -s /dev/pts0/ptmx /tmp/ptmx", "open /dev/pts/ptmx: Too many"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        char script[256];

        clean_up(NULL);
        snprintf(script, sizeof script,
                 "%s; mount -o rbind /tmp /dev/pts && echo laid; sleep 1000",
                 ways[i].laid);
        pod = kpod_pod_new(script);
        pod->bundle->containers[0]->cap_add = 1ull << CAP_SYS_ADMIN;
        kpod_pod_start(pod);
        kpod_pod_await(pod, PHASE(RUNNING));
        kpod_pod_await_log(pod, "laid");
        start_sh("true", true);
        assert_int_equal(next_note(), EXEC_FAILED);
        assert_said(session.note.why.message, ways[i].said);
        fd_reset(&session.socket);
    }
}

static void signals_reach_it(void **state)
{
    const struct exec_signal asked = {.number = SIGTERM};
    char byte;

    (void)state;
    start_sh("echo up; exec sleep 1000", false);
    assert_int_equal(read(session.output, &byte, 1), 1);
    assert_int_equal(send(session.socket, &asked, sizeof asked, 0),
                     sizeof asked);
    assert_int_equal(next_note(), EXEC_ENDED);
    assert_int_equal(session.note.exit_code, 128 + SIGTERM);
}

/* Nobody is left to hear of it: it goes, and those of its group. */
static void a_lost_stream_kills_it(void **state)
{
    (void)state;
    start_sh("sleep 2000 & echo up; sleep 2000", false);
    assert_int_equal(read(session.output, session.said, 1), 1);
    fd_reset(&session.socket);
    read_all(session.output); /* until nobody holds it */
    assert_int_equal(pod->status->phase, PHASE(RUNNING));
}

static void what_cannot_be_started_is_told(void **state)
{
    static char nope[] = "/bin/nope", where[] = "nowhere", none[] = "";
    char *argv[] = {nope};
    Kontor__V1__StartExec asked = KONTOR__V1__START_EXEC__INIT;

    (void)state;
    asked.argv = argv;
    asked.n_argv = 1;
    start(&asked);
    assert_int_equal(next_note(), EXEC_FAILED);
    assert_int_equal(session.note.exit_code, 127);
    assert_said(session.note.why.message, "exec /bin/nope: no such file");
    clean_up(NULL);

    begin(NULL);
    asked.container = where;
    start(&asked);
    assert_int_equal(next_note(), EXEC_FAILED);
    assert_said(session.note.why.message, "there is no container nowhere");
    clean_up(NULL);

    begin(NULL); /* too few descriptors */
    asked.container = none;
    asked.terminal = true;
    start(&asked);
    assert_int_equal(next_note(), EXEC_TERMINAL);
}

static void many_are_too_many(void **state)
{
    int kept[EXECS_MAX];

    (void)state;
    for (int i = 0; i < EXECS_MAX; i++) {
        start_sh("sleep 1000", false);
        kept[i] = session.socket;
    }
    start_sh("true", false);
    assert_int_equal(next_note(), EXEC_FAILED);
    assert_said(session.note.why.message, "16 programs are executed");
    for (int i = 0; i < EXECS_MAX; i++)
        close(kept[i]);
}

#define story(test) cmocka_unit_test_setup_teardown(test, begin, clean_up)

int main(void)
{
    int failed;
    const struct CMUnitTest tests[] = {
        story(it_runs_in_the_container),
        story(user_and_environment_are_its_own),
        story(a_terminal_is_the_containers),
        story(a_false_multiplexer_makes_no_terminal),
        story(signals_reach_it),
        story(a_lost_stream_kills_it),
        story(what_cannot_be_started_is_told),
        story(many_are_too_many),
    };

    if (unshare(CLONE_NEWNET) != 0) /* the pods' */
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    kpod_pod_first_id = KPOD_POD_FIRST_ID;
    return failed + cmocka_run_group_tests_name("in a user namespace", tests,
                                                NULL, NULL);
}
