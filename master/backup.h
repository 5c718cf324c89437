/* backup.h - the state in a file that outlives the cluster: what it is, and
 * the commands that make a cluster of it, or of one master that is left.
 *
 * See proto/kontor/v1/backup.proto for the file. */
#pragma once

#define BACKUP_KIND "kontor-backup 1\n"

/* kmaster restore FILE, kmaster recover: parse argv[1..], do it, say what was
 * done on stdout. Both work on the folder of a master that does not run.
 * Return the exit code, having reported what went wrong. */
int backup_restore_main(int argc, char **argv);
int backup_recover_main(int argc, char **argv);
