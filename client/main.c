/* kctl - the command line of Kontor. */
#include "client/verb.h"

#include <signal.h>

int main(int argc, char **argv)
{
    /* A reader that went away is an error of write(2), not the end. */
    signal(SIGPIPE, SIG_IGN);
    return verb_dispatch(argc, argv);
}
