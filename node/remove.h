/* remove.h - `knode remove`: nothing of a node is left on this machine. */
#pragma once

/* Returns the exit code. argv[0] and argv[1] are "knode" and "remove". */
int remove_main(int argc, char **argv);
