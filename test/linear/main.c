/* check FILE - is a recorded history (history.h) linearizable?
 *
 * Exit code 0: it is. 1: it is not; the operations are shown that prove it,
 * none of which can be left out. 2: it cannot be read. */
#include "base/lang.h"
#include "test/linear/history.h"

int main(int argc, char **argv)
{
    struct history history;
    const struct history_key *key;
    struct error why;
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;

    if (!file) {
        if (argc == 2)
            perror(argv[1]);
        else
            fprintf(stderr, "usage: check FILE\n");
        return 2;
    }
    if (history_read(&history, file, &why) != 0) {
        fprintf(stderr, "check: %s: %s\n", argv[1], why.message);
        fclose(file);
        return 2;
    }
    fclose(file);
    key = history_check(&history);
    if (!key) {
        printf("linearizable: %zu operations on %zu keys\n", history.operations,
               history.count);
    } else {
        printf("not linearizable: no order explains these operations on %s\n",
               key->name);
        history_print(&history, key, stdout);
    }
    history_fini(&history);
    return key ? 1 : 0;
}
