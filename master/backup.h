/* backup.h - the state in a file that outlives the cluster: what it is, and
 * the commands that make a cluster of it, or of the one master that is left.
 *
 * See proto/kontor/v1/backup.proto for the file. */
#pragma once

#include "base/exit.h"
#include "base/options.h"
#include "raft/recover.h"

#define BACKUP_KIND "kontor-backup 1\n"

/* kmaster restore FILE, kmaster recover: parse argv[1..], do it to the folder
 * of a master that does not run, say on stdout what was done. Return the exit
 * code, having reported what went wrong. */
int backup_restore_main(int argc, char **argv);
int backup_recover_main(int argc, char **argv);

/* ---- what the two share ---- */

/* argv[1..]. False: `code` is the exit code, help was shown or what is wrong
 * with an option was reported. `operands` borrow from `argv`. */
bool backup_parse(const struct option *options, const char *usage, int argc,
                  char **argv, struct operands *operands, int *code);
/* On stderr; returns the exit code. */
int backup_report(const struct error *why);
/* INVALID_ARGUMENT: an option that must be given was not. */
int backup_need(const char *value, const char *option, struct error *why);
void backup_print_members(const struct recover_log *log);
