/* exec.c - a program in a pod, joined to this terminal or these streams. */
#include "base/clock.h"
#include "base/memory.h"
#include "client/contact.h"
#include "client/exit.h"
#include "client/output.h"
#include "client/standard_input.h"
#include "client/verbs.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { EXIT_CODE_LOST = 125, RETRY_MS = 100 };

/* Not what stops: that is this program's own. */
static const int forwarded[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH};

struct exec {
    struct contact *contact;
    const Kontor__V1__ExecStart *start;
    struct call *call;
    struct standard_input input;
    uv_signal_t signals[ARRAY_LEN(forwarded)];
    bool started;
    bool ended; /* the call has */
    bool told;  /* how the program ended */
    int exit_code;
    struct error why;
};

/* ---- what goes there -------------------------------------------------------
 */

static void send_request(struct exec *exec,
                         const Kontor__V1__ExecRequest *request)
{
    struct error ignored; /* the call's end says why */

    if (!exec->ended && exec->call)
        call_send(exec->call, &request->base, &ignored);
}

/* Standard input; no bytes: its end. False: the call has enough queued, and
 * on_writable() goes on when it has sent some. */
static bool on_input(void *data, const uint8_t *bytes, size_t length)
{
    Kontor__V1__ExecRequest request = KONTOR__V1__EXEC_REQUEST__INIT;
    struct exec *exec = data;

    if (length > 0) {
        request.message_case = KONTOR__V1__EXEC_REQUEST__MESSAGE_INPUT;
        request.input.data = without_const(bytes);
        request.input.len = length;
    } else {
        request.message_case = KONTOR__V1__EXEC_REQUEST__MESSAGE_INPUT_ENDED;
        request.input_ended = true;
    }
    send_request(exec, &request);
    return exec->ended || call_queued_bytes(exec->call) < CALL_QUEUE_HIGH_BYTES;
}

static bool find_size(Kontor__V1__TerminalSize *size)
{
    struct winsize window;

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &window) != 0)
        return false;
    size->rows = window.ws_row;
    size->columns = window.ws_col;
    return true;
}

static void on_signal(uv_signal_t *handle, int number)
{
    Kontor__V1__ExecRequest request = KONTOR__V1__EXEC_REQUEST__INIT;
    Kontor__V1__TerminalSize size = KONTOR__V1__TERMINAL_SIZE__INIT;
    struct exec *exec = handle->data;

    if (number == SIGWINCH) {
        if (!exec->start->terminal || !find_size(&size))
            return;
        request.message_case = KONTOR__V1__EXEC_REQUEST__MESSAGE_SIZE;
        request.size = &size;
    } else {
        request.message_case = KONTOR__V1__EXEC_REQUEST__MESSAGE_SIGNAL;
        request.signal = number;
    }
    if (exec->started)
        send_request(exec, &request);
    else if (number != SIGWINCH && exec->call && !exec->ended)
        call_cancel(exec->call);
}

/* ---- what comes back -------------------------------------------------------
 */

static void put(const ProtobufCBinaryData *bytes, FILE *to)
{
    fwrite(bytes->data, 1, bytes->len, to);
    fflush(to);
}

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__ExecResponse *response =
        (const Kontor__V1__ExecResponse *)message;
    struct exec *exec = call_data(call);

    switch (response->message_case) {
    case KONTOR__V1__EXEC_RESPONSE__MESSAGE_STARTED:
        exec->started = true;
        if (exec->start->input)
            standard_input_open(&exec->input, contact_loop(exec->contact),
                                exec->start->terminal);
        return;
    case KONTOR__V1__EXEC_RESPONSE__MESSAGE_OUTPUT:
        put(&response->output, stdout);
        return;
    case KONTOR__V1__EXEC_RESPONSE__MESSAGE_ERRORS:
        put(&response->errors, stderr);
        return;
    case KONTOR__V1__EXEC_RESPONSE__MESSAGE_END:
        exec->told = true;
        exec->exit_code = response->end->exit_code;
        if (response->end->reason[0])
            error_set(&exec->why, ERROR_UNKNOWN, "%s", response->end->reason);
        return;
    case KONTOR__V1__EXEC_RESPONSE__MESSAGE__NOT_SET:
    case _KONTOR__V1__EXEC_RESPONSE__MESSAGE__CASE_IS_INT_SIZE:
        return;
    }
}

static void on_writable(struct call *call)
{
    struct exec *exec = call_data(call);

    standard_input_resume(&exec->input);
}

static void on_ended(struct call *call, const struct error *why)
{
    struct exec *exec = call_data(call);

    exec->ended = true;
    if (!exec->told)
        exec->why = *why;
}

static const struct call_events events = {
    .message = on_message, .writable = on_writable, .ended = on_ended};

/* ---- the call --------------------------------------------------------------
 */

/* One attempt, at one master. */
static void run_once(struct exec *exec, struct channel *channel)
{
    Kontor__V1__ExecRequest request = KONTOR__V1__EXEC_REQUEST__INIT;

    exec->ended = false;
    exec->call = channel_call(
        channel, &(struct call_request){
                     .path = "/kontor.v1.Cluster/Exec",
                     .response = &kontor__v1__exec_response__descriptor,
                     .events = &events,
                     .data = exec,
                 });
    request.message_case = KONTOR__V1__EXEC_REQUEST__MESSAGE_START;
    request.start = without_const(exec->start);
    send_request(exec, &request);
    while (!exec->ended)
        contact_turn(exec->contact);
    exec->call = NULL;
}

/* Until it was started, another master may be asked. */
static void run_until_started(struct exec *exec)
{
    uint64_t deadline_ms = contact_deadline(exec->contact);
    struct channel *channel;
    struct error ignored;

    do {
        if (contact_channel(exec->contact, deadline_ms, &channel, &exec->why) !=
            0)
            return;
        run_once(exec, channel);
        if (exec->started || !contact_may_retry(exec->why.code))
            return;
        contact_avoid(exec->contact, channel);
        contact_wait(exec->contact, clock_monotonic_ms() + RETRY_MS, &ignored);
    } while (!contact_expired(deadline_ms));
}

static void listen_to_signals(struct exec *exec)
{
    for (size_t i = 0; i < ARRAY_LEN(forwarded); i++) {
        uv_signal_init(contact_loop(exec->contact), &exec->signals[i]);
        exec->signals[i].data = exec;
        uv_signal_start(&exec->signals[i], on_signal, forwarded[i]);
    }
}

/* Its exit code is ours; what keeps it from having one is told. */
static int conclude(const struct exec *exec)
{
    if (exec->told && !exec->why.code)
        return exec->exit_code;
    if (exec->told) {
        output_line(stderr, "kctl: %s", exec->why.message);
        return exec->exit_code;
    }
    if (!exec->started)
        return exit_report(&exec->why);
    output_line(stderr, "kctl: the connection to the program is lost: %s",
                exec->why.message);
    return EXIT_CODE_LOST;
}

static int execute(const struct contact_options *to,
                   const Kontor__V1__ExecStart *start)
{
    struct exec exec = {.start = start,
                        .input = {.take = on_input, .data = &exec}};

    if (contact_open(&exec.contact, to, &exec.why) != 0)
        return exit_report(&exec.why);
    listen_to_signals(&exec);
    run_until_started(&exec);
    standard_input_close(&exec.input);
    for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
        uv_close((uv_handle_t *)&exec.signals[i], NULL);
    contact_close(exec.contact);
    return conclude(&exec);
}

static int run(struct words *words)
{
    Kontor__V1__ExecStart start = KONTOR__V1__EXEC_START__INIT;
    Kontor__V1__TerminalSize size = KONTOR__V1__TERMINAL_SIZE__INIT;
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    const char *container = "", *user = "";
    struct option_strings env = {0};
    bool input = false, terminal = false;
    const struct option options[] = {
        {"i|stdin", OPTION_FLAG, &input, NULL, "pass standard input on"},
        {"t|tty", OPTION_FLAG, &terminal, NULL, "give it a terminal"},
        {"c|container", OPTION_STRING, &container, "NAME",
         "in this one of the pod's (the first)"},
        {"user", OPTION_STRING, &user, "USER[:GROUP]", "(the container's)"},
        {"env", OPTION_STRINGS, &env, "K=V", "a variable; repeatable"},
        CONTACT_OPTIONS(&to),
        {0}};

    if (!verb_parse(words, options))
        return words->exit_code;
    if (words->operands.rest_count == 0) {
        output_line(stderr, "kctl: exec: a command must follow --");
        return EXIT_CODE_USAGE;
    }
    if (terminal && input && !isatty(STDIN_FILENO)) {
        output_line(stderr, "kctl: exec: -t: standard input is no terminal");
        return EXIT_CODE_USAGE;
    }
    start.pod = words->operands.values[0];
    start.container = message_text(container);
    start.user = message_text(user);
    start.command = words->operands.rest;
    start.n_command = (size_t)words->operands.rest_count;
    start.env = message_texts(env.values);
    start.n_env = env.count;
    start.input = input;
    start.terminal = terminal;
    if (terminal && find_size(&size))
        start.size = &size;
    return execute(&to, &start);
}

const struct verb verb_exec = {
    .name = "exec",
    .summary = "Run a program in a pod",
    .example = "kctl exec web-1 -- ls /srv\nkctl exec -it web-1 -- sh",
    .synopsis = "kctl exec [-i] [-t] [-c CONTAINER] POD -- COMMAND...",
    .details = "Its exit code is the program's, 128 + n when signal n ended "
               "it, 126 or 127 when it\ncould not be run, and 125 when the "
               "connection is lost: the program is killed then.\nCtrl-C and "
               "other signals go to the program.",
    .operands_min = 1,
    .operands_max = 1,
    .takes_rest = true,
    .run = run,
};
