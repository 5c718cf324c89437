#include "client/ask.h"

#include "client/exit.h"

int ask(struct words *words, const struct ask *what)
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
    for (int i = 0; i < words->operands.count; i++)
        *what->operands[i] = words->operands.values[i];
    if (contact_open(&contact, &to, &why) != 0)
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
