#include "client/ask.h"

#include "client/exit.h"

static int read_operands(const struct ask *what, const struct words *words,
                         ask_read_cb *read, struct error *why)
{
    if (read)
        return read(&words->operands, what->request, why);
    for (int i = 0; i < words->operands.count; i++)
        *what->operands[i] = words->operands.values[i];
    return 0;
}

int ask_in_words(struct words *words, const struct ask *what, ask_read_cb *read)
{
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    const char *format = NULL;
    const struct option options[] = {
        OUTPUT_OPTION(&format), CONTACT_OPTIONS(&to), {0}};
    ProtobufCMessage *response;
    struct contact *contact;
    struct error why;
    bool json;
    int code;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (read_operands(what, words, read, &why) != 0 ||
        contact_open(&contact, &to, &why) != 0)
        return exit_report(&why);
    code = what->find_out ? what->find_out(contact, what->request, &why) : 0;
    if (code == 0)
        code =
            contact_call(contact, what->method, what->request, &response, &why);
    if (code == 0) {
        if (json)
            output_message(response);
        else
            what->show(response, what->request);
        message_free(response);
    }
    contact_close(contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}

int ask(struct words *words, const struct ask *what)
{
    return ask_in_words(words, what, NULL);
}
