/* A client and two masters that follow a script, in a process of their own:
 * what one master cannot do is asked of the other, once and the same. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "client/config.h"
#include "client/pki_cluster.h"
#include "client/plan.h"
#include "client/verb.h"
#include "client/watch.h"
#include "rpc/server.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MASTERS = 2, CALLS_MAX = 8 };

enum script { RETRY, REFUSE, SILENCE, NO_LEADER };

/* Shared with the masters' process. */
struct stage {
    enum script script;
    unsigned ports[MASTERS];
    unsigned calls;
    int asked[CALLS_MAX]; /* which master */
    Kontor__V1__RequestId ids[CALLS_MAX];
    uint64_t after[CALLS_MAX];
};

static struct stage *stage;
static char folder[64];
static char config_path[96];
static pid_t masters;

/* ---- the masters ----------------------------------------------------------
 */

static unsigned note_call(struct call *call)
{
    unsigned at = stage->calls < CALLS_MAX ? stage->calls : CALLS_MAX - 1;

    stage->calls++;
    stage->asked[at] = *(int *)call_service_data(call);
    return at;
}

static void on_schedule(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__ScheduleRequest *request =
        (const Kontor__V1__ScheduleRequest *)message;
    Kontor__V1__ScheduleResponse response = KONTOR__V1__SCHEDULE_RESPONSE__INIT;
    unsigned at = note_call(call);

    stage->ids[at] = *request->request_id;
    response.index = 42;
    if (stage->script == REFUSE)
        call_fail(call, ERROR_ALREADY_EXISTS, "web is there already");
    else if (stage->script == NO_LEADER && at < 2)
        call_fail(call, ERROR_UNAVAILABLE, "no leader");
    else if (stage->script == RETRY && at == 0)
        call_fail(call, ERROR_UNAVAILABLE, "no leader");
    else if (stage->script == RETRY && at == 1)
        call_fail(call, ERROR_ABORTED, "lost to another leader");
    else if (stage->script == RETRY)
        call_reply(call, &response.base);
}

static void send_event(struct call *call, uint64_t index, const char *text)
{
    Kontor__V1__Event event = KONTOR__V1__EVENT__INIT;
    struct error why;

    event.index = index;
    event.message = message_text(text);
    call_send(call, &event.base, &why);
}

/* The first stream breaks between two events that share an index. */
static void on_watch(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__WatchRequest *request =
        (const Kontor__V1__WatchRequest *)message;
    unsigned at = note_call(call);
    struct error none = {0};

    stage->after[at] = request->after_index;
    if (stage->script == SILENCE) /* and it never ends */
        return;
    send_event(call, 5, "a");
    if (at == 0) {
        send_event(call, 0, "progress");
        call_fail(call, ERROR_UNAVAILABLE, "going away");
        return;
    }
    send_event(call, 5, "b");
    send_event(call, 7, "c");
    call_finish(call, &none);
}

static void on_logs(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    static uint8_t text[100000];
    struct error why = {0};

    (void)message;
    note_call(call);
    if (stage->script == SILENCE)
        return;
    memset(text, 'y', sizeof text);
    chunk.data.data = text; /* more than stdio has room for */
    chunk.data.len = sizeof text;
    call_send(call, &chunk.base, &why);
    call_finish(call, &why);
}

/* As of a program that knows of no more than one pod or node. */
static void on_plan(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__PlanResponse response = KONTOR__V1__PLAN_RESPONSE__INIT;
    struct error why = {0};

    (void)message;
    note_call(call);
    response.placed = 1;
    call_send(call, &response.base, &why);
    call_finish(call, &why);
}

static const struct method methods[] = {
    {"Plan", &kontor__v1__plan_request__descriptor,
     &kontor__v1__plan_response__descriptor, RPC_ROLE_ADMIN, false, false,
     on_plan, NULL},
    {"Schedule", &kontor__v1__schedule_request__descriptor,
     &kontor__v1__schedule_response__descriptor, RPC_ROLE_ADMIN, false, false,
     on_schedule, NULL},
    {"Watch", &kontor__v1__watch_request__descriptor,
     &kontor__v1__event__descriptor, RPC_ROLE_ADMIN, false, true, on_watch,
     NULL},
    {"Logs", &kontor__v1__logs_request__descriptor,
     &kontor__v1__logs_chunk__descriptor, RPC_ROLE_ADMIN, false, true, on_logs,
     NULL},
};

static const struct service service = {"kontor.v1.Cluster", methods,
                                       ARRAY_LEN(methods)};

static void serve(int ready)
{
    static int numbers[MASTERS] = {0, 1};
    struct server_limits limits = {0};
    uv_loop_t loop;
    struct error why;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    uv_loop_init(&loop);
    for (int i = 0; i < MASTERS; i++) {
        struct tls_context *context;
        struct server *server;
        char name[16];

        snprintf(name, sizeof name, "m%d", i + 1);
        if (tls_context_new(&context, folder, name, &why) != 0 ||
            server_open(&server, &loop, "127.0.0.1:0", context, &limits,
                        &why) != 0) {
            fprintf(stderr, "%s\n", why.message);
            _exit(1);
        }
        server_add(server, &service, &numbers[i]);
        stage->ports[i] = server_port(server);
    }
    if (write(ready, "", 1) != 1)
        _exit(1);
    uv_run(&loop, UV_RUN_DEFAULT);
    _exit(0);
}

/* ---- the stage ------------------------------------------------------------
 */

static void write_config(const char *identity)
{
    struct config config = {.pki = memory_string("."),
                            .identity = memory_string(identity)};
    struct error why;

    for (int i = 0; i < MASTERS; i++) {
        config.masters[i].name = memory_format("m%d", i + 1);
        config.masters[i].address =
            memory_format("127.0.0.1:%u", stage->ports[i]);
        config.master_count++;
    }
    assert_int_equal(config_save(&config, config_path, &why), 0);
    config_fini(&config);
}

static int setup(void **state)
{
    struct option_strings names = {
        .values = {"m1=127.0.0.1:1", "m2=127.0.0.1:2"}, .count = MASTERS};
    struct option_strings none = {0};
    struct pki_cluster pki = {.folder = folder, .days = 1};
    struct error why;
    int ready[2];
    char byte;

    (void)state;
    strcpy(folder, "/tmp/kontor-contact-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(config_path, sizeof config_path, "%s/config.json", folder);
    assert_int_equal(pki_cluster_read(&pki, &names, &none, &why), 0);
    assert_int_equal(pki_cluster_make(&pki, &why), 0);
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(stage, MAP_FAILED);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    masters = fork();
    if (masters == 0)
        serve(ready[1]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    write_config("admin");
    return 0;
}

static int teardown(void **state)
{
    struct error why;

    (void)state;
    if (masters > 0) {
        kill(masters, SIGKILL);
        waitpid(masters, NULL, 0);
    }
    munmap(stage, sizeof *stage);
    return folder_remove(AT_FDCWD, folder, &why);
}

/* Open, schedule, close. */
static int schedule(uint64_t timeout_ms, uint64_t *index, struct error *why)
{
    struct contact_options to = {.config = config_path,
                                 .timeout_ms = timeout_ms};
    Kontor__V1__ScheduleRequest request = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__RequestId id = contact_request_id();
    ProtobufCMessage *response;
    struct contact *contact;
    int code = contact_open(&contact, &to, why);

    if (code != 0)
        return code;
    request.request_id = &id;
    code = contact_call(contact, "Schedule", &request.base, &response, why);
    if (code == 0) {
        *index = ((Kontor__V1__ScheduleResponse *)response)->index;
        message_free(response);
    }
    contact_close(contact);
    return code;
}

static void a_write_goes_elsewhere_with_its_id(void **state)
{
    struct error why;
    uint64_t index = 0;

    (void)state;
    stage->script = RETRY;
    assert_int_equal(schedule(5000, &index, &why), 0);
    assert_int_equal(index, 42);
    assert_int_equal(stage->calls, 3);
    for (int i = 1; i < 3; i++) {
        assert_true(stage->ids[i].high == stage->ids[0].high);
        assert_true(stage->ids[i].low == stage->ids[0].low);
    }
}

static void a_refusal_is_not_repeated(void **state)
{
    struct error why;
    uint64_t index;

    (void)state;
    stage->script = REFUSE;
    assert_int_equal(schedule(5000, &index, &why), ERROR_ALREADY_EXISTS);
    assert_string_equal(why.message, "web is there already");
    assert_int_equal(stage->calls, 1);
}

static void silence_ends_with_the_timeout(void **state)
{
    uint64_t started_ms = clock_monotonic_ms();
    struct error why;
    uint64_t index;

    (void)state;
    stage->script = SILENCE;
    assert_int_equal(schedule(300, &index, &why), ERROR_DEADLINE_EXCEEDED);
    assert_string_equal(why.message, "Schedule was not answered within 300 ms");
    assert_in_range(clock_monotonic_ms() - started_ms, 290, 3000);
}

/* What was said before the last attempt was cut short is what is told. */
static void a_cluster_without_a_leader_says_so(void **state)
{
    struct error why;
    uint64_t index;

    (void)state;
    stage->script = NO_LEADER;
    assert_int_equal(schedule(300, &index, &why), ERROR_UNAVAILABLE);
    assert_string_equal(why.message, "no leader");
}

static const struct {
    uint32_t replicas, count; /* 0: no such plan */
    size_t labels;
    bool even;
    const char *unknown; /* NULL: it knows enough */
} plans[] = {
    {.replicas = 1},
    {.replicas = 2, .unknown = "does not know --replicas"},
    {.count = 1},
    {.count = 2, .unknown = "does not know --count and --label"},
    {.count = 1, .labels = 1, .unknown = "does not know --count and --label"},
    {.even = true, .unknown = "does not know --even"},
};

static void what_an_older_master_passes_over_is_told(void **state)
{
    struct contact_options to = {.config = config_path, .timeout_ms = 5000};
    Kontor__V1__RebalanceRequest__Even even =
        KONTOR__V1__REBALANCE_REQUEST__EVEN__INIT;
    Kontor__V1__Label label = KONTOR__V1__LABEL__INIT, *labels[] = {&label};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
        Kontor__V1__PlanRequest request = KONTOR__V1__PLAN_REQUEST__INIT;
        Kontor__V1__ScheduleRequest schedule =
            KONTOR__V1__SCHEDULE_REQUEST__INIT;
        Kontor__V1__RebalanceRequest rebalance =
            KONTOR__V1__REBALANCE_REQUEST__INIT;
        ProtobufCMessage *response = NULL;
        struct contact *contact;
        struct error why;
        int code;

        schedule.replicas = plans[i].replicas;
        rebalance.even = &even;
        request.schedule = plans[i].replicas ? &schedule : NULL;
        request.rebalance = plans[i].even ? &rebalance : NULL;
        request.add_count = plans[i].count;
        request.add_labels = labels;
        request.n_add_labels = plans[i].labels;
        assert_int_equal(contact_open(&contact, &to, &why), 0);
        code = plan_ask(contact, &request, &response, &why);
        assert_int_equal(code, plans[i].unknown ? ERROR_UNIMPLEMENTED : 0);
        assert_int_equal(response == NULL, code != 0);
        if (code != 0)
            assert_non_null(strstr(why.message, plans[i].unknown));
        message_free(response);
        contact_close(contact);
    }
}

static void masters_that_are_not_there_are_named(void **state)
{
    struct error why;
    uint64_t index;

    (void)state;
    kill(masters, SIGKILL);
    waitpid(masters, NULL, 0);
    assert_int_equal(schedule(200, &index, &why), ERROR_UNAVAILABLE);
    assert_non_null(strstr(why.message, "m1"));
    assert_non_null(strstr(why.message, "m2"));
    assert_non_null(strstr(why.message, "refused"));
    masters = 0;
}

static void a_certificate_that_is_not_there_is_named(void **state)
{
    struct error why;
    uint64_t index;

    (void)state;
    write_config("nobody");
    assert_int_equal(schedule(5000, &index, &why), ERROR_UNAUTHENTICATED);
    assert_non_null(strstr(why.message, "nobody"));
}

static void a_role_that_may_not_is_told(void **state)
{
    struct error why;
    uint64_t index;

    (void)state;
    write_config("viewer");
    assert_int_equal(schedule(5000, &index, &why), ERROR_PERMISSION_DENIED);
    assert_int_equal(stage->calls, 0);
}

/* Trying again does not help: told at once, not at the timeout. */
static void masters_of_another_authority_are_not_waited_for(void **state)
{
    uint64_t started_ms = clock_monotonic_ms();
    struct error why;
    uint64_t index;

    (void)state;
    /* A new authority, while the masters hold certificates of the old. */
    assert_int_equal(folder_remove(AT_FDCWD, folder, &why), 0);
    {
        struct option_strings names = {.values = {"m1=127.0.0.1:1"},
                                       .count = 1};
        struct option_strings none = {0};
        struct pki_cluster pki = {.folder = folder, .days = 1};

        assert_int_equal(pki_cluster_read(&pki, &names, &none, &why), 0);
        assert_int_equal(pki_cluster_make(&pki, &why), 0);
    }
    write_config("admin");
    assert_int_equal(schedule(20000, &index, &why), ERROR_UNAUTHENTICATED);
    assert_true(clock_monotonic_ms() - started_ms < 2500);
}

static void a_watch_goes_on_without_a_gap(void **state)
{
    static const char *const expected[] = {"a", "progress", "b", "c"};
    struct contact_options to = {.config = config_path, .timeout_ms = 5000};
    struct watch watch = {.pod = "", .until_now = true, .last_index = 3};
    struct error why;

    (void)state;
    assert_int_equal(contact_open(&watch.contact, &to, &why), 0);
    for (size_t i = 0; i <= ARRAY_LEN(expected); i++) {
        Kontor__V1__Event *event;

        assert_int_equal(
            watch_next(&watch, contact_deadline(watch.contact), &event, &why),
            0);
        if (i == ARRAY_LEN(expected)) {
            assert_null(event);
            break;
        }
        assert_non_null(event);
        assert_string_equal(event->message, expected[i]);
        message_free(&event->base);
    }
    assert_int_equal(stage->calls, 2);
    assert_int_equal(stage->after[0], 3);
    assert_int_equal(stage->after[1], 4); /* once more the whole of index 5 */
    watch_fini(&watch);
    contact_close(watch.contact);
}

/* kctl in a process of its own whose stdout nobody reads (`| head`). */
static int code_without_reader(char **argv, int argc)
{
    pid_t pid;
    int status;
    int out[2];

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    close(out[0]);
    pid = fork();
    if (pid == 0) {
        alarm(5);
        dup2(out[1], STDOUT_FILENO);
        _exit(verb_dispatch(argc, argv));
    }
    close(out[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Not an error, and nothing to ask another master for. */
static void nothing_goes_on_without_a_reader(void **state)
{
    static const char *const verbs_that_stream[][4] = {
        {"events", "-w", "--after", "3"},
        {"logs", "-f", "web-1", "--timeout=3s"},
        {"logs", "web-1", "-o", "json"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(verbs_that_stream); i++) {
        char *argv[8] = {message_text("kctl")};
        int argc = 1;

        for (size_t j = 0; j < ARRAY_LEN(verbs_that_stream[i]); j++)
            argv[argc++] = message_text(verbs_that_stream[i][j]);
        argv[argc++] = message_text("--config");
        argv[argc++] = config_path;
        stage->script = RETRY;
        stage->calls = 0;
        assert_int_equal(code_without_reader(argv, argc), 0);
        assert_true(stage->calls <= 1); /* not asked of another master */
        if (i == 2) /* ends by itself, or with its timeout */
            continue;
        stage->script = SILENCE;
        assert_int_equal(code_without_reader(argv, argc), 0);
    }
}

int main(void)
{
#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_write_goes_elsewhere_with_its_id),
        ON_STAGE(a_refusal_is_not_repeated),
        ON_STAGE(a_cluster_without_a_leader_says_so),
        ON_STAGE(silence_ends_with_the_timeout),
        ON_STAGE(what_an_older_master_passes_over_is_told),
        ON_STAGE(masters_that_are_not_there_are_named),
        ON_STAGE(a_certificate_that_is_not_there_is_named),
        ON_STAGE(a_role_that_may_not_is_told),
        ON_STAGE(masters_of_another_authority_are_not_waited_for),
        ON_STAGE(a_watch_goes_on_without_a_gap),
        ON_STAGE(nothing_goes_on_without_a_reader),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
