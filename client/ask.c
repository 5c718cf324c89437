#include "client/ask.h"

#include "client/exit.h"

int ask(const struct contact_options *to, const struct ask *what)
{
    struct contact *contact;
    ProtobufCMessage *response;
    struct error why = {0};

    if (contact_open(&contact, to, &why) != 0)
        return exit_report(&why);
    if (contact_call(contact, what->method, what->request, &response, &why) ==
        0) {
        if (what->json)
            output_message(response);
        else
            what->show(response, what->data);
        message_free(response);
    }
    contact_close(contact);
    return why.code ? exit_report(&why) : output_finish(EXIT_CODE_DONE);
}
