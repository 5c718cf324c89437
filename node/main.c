/* knode - the agent of a node. See node/README.md. */
#include "base/exit.h"
#include "node/agent.h"
#include "node/remove.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int run_agent(int argc, char **argv)
{
    static struct node_options options;
    struct error why;
    bool help;
    int code;

    if (node_options_parse(&options, argc, argv, &help, &why) != 0) {
        fprintf(stderr, "knode: %s\n`knode --help` shows an example\n",
                why.message);
        return EXIT_CODE_USAGE;
    }
    if (help)
        return EXIT_CODE_DONE;
    umask(022); /* the code says who may read what; some of it is for pods */
    code = agent_run(&options, &why);
    if (code != 0)
        fprintf(stderr, "knode: %s\n", why.message);
    node_options_fini(&options);
    return exit_code_of(code);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "remove") == 0)
        return remove_main(argc, argv);
    return run_agent(argc, argv);
}
