/* save_gate.h - holds up a child that saves a snapshot, and knows it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct save_gate;

/* In memory that a child shares. */
struct save_gate *save_gate_new(void);
void save_gate_free(struct save_gate *gate);

/* The child's, within machine.save: wait until it is opened. */
void save_gate_pass(struct save_gate *gate);

/* The child that waits, or waited, at the gate; 0: none came yet. */
pid_t save_gate_child(const struct save_gate *gate);
/* Wait, ten seconds at most, until one came. False: none did. */
bool save_gate_await(struct save_gate *gate);
void save_gate_open(struct save_gate *gate);
