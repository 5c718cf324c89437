#include "master/backup.h"

#include "base/exit.h"

#include <stdio.h>

bool backup_parse(const struct option *options, const char *usage, int argc,
                  char **argv, struct operands *operands, int *code)
{
    struct error why;
    bool help = false;

    if (options_parse(options, argc, argv, operands, &help, &why) != 0) {
        *code = backup_report(&why);
        return false;
    }
    if (help) {
        fputs(usage, stdout);
        options_print(options, stdout);
        *code = EXIT_CODE_DONE;
    }
    return !help;
}

int backup_report(const struct error *why)
{
    fprintf(stderr, "kmaster: %s\n", why->message);
    return exit_code_of((int)why->code);
}

int backup_need(const char *value, const char *option, struct error *why)
{
    if (value)
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT, "--%s is missing", option);
}

void backup_print_members(const struct recover_log *log)
{
    for (size_t i = 0; i < log->members->n_members; i++)
        printf("%s%s %s", i ? ", " : "", log->members->members[i]->name,
               log->members->members[i]->address);
    printf("\n");
}
