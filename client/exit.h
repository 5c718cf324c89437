/* exit.h - how a command ends: what is said, and what the shell is told. */
#pragma once

#include "base/exit.h"

/* "kctl: <message>" on stderr; returns exit_code_of(why->code). */
int exit_report(const struct error *why);
