/* quantity.h - amounts as people write them.
 *
 *   cpu      2, 0.5, 500m                      thousandths of a core
 *   bytes    1G = 1Gi = 2^30, 1GB = 10^9       K M G T P likewise
 *   net      100M = 100Mbit = 10^8 bits/s      decimal, as network links are
 *   duration 500ms, 10s, 5m, 2h                milliseconds
 *
 * Parsers return INVALID_ARGUMENT with a message that names the text and what
 * would be right; numbers with a fraction are exact decimal, never floats. */
#pragma once

#include "base/error.h"

#include <stdint.h>

int quantity_parse_cpu(const char *text, uint32_t *cpu_milli,
                       struct error *why);
int quantity_parse_bytes(const char *text, uint64_t *bytes, struct error *why);
int quantity_parse_net(const char *text, uint64_t *bits, struct error *why);
int quantity_parse_duration(const char *text, uint64_t *ms, struct error *why);

enum { QUANTITY_TEXT_MAX = 32 };

/* Each writes into `text` and returns it: "2", "0.5"; "1.0Gi", "412Mi";
 * "100M"; "3 ms", "1.9 s", "4m", "3h", "2d". */
char *quantity_format_cpu(char text[QUANTITY_TEXT_MAX], uint64_t cpu_milli);
char *quantity_format_bytes(char text[QUANTITY_TEXT_MAX], uint64_t bytes);
char *quantity_format_net(char text[QUANTITY_TEXT_MAX], uint64_t bits);
char *quantity_format_duration(char text[QUANTITY_TEXT_MAX], uint64_t ms);
