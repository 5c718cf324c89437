/* standard_input.h - what is typed, piped or redirected into kctl, read on a
 * loop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>
#include <uv.h>

struct standard_input {
    /* Some bytes; `length` 0: its end. False: standard_input_resume() says
     * when to go on. Set before it is opened. */
    bool (*take)(void *data, const uint8_t *bytes, size_t length);
    void *data;
    bool open;
    bool raw;          /* `before` is to be restored */
    bool always_ready; /* a file: it is read in every turn of the loop */
    uv_poll_t poll;    /* of anything else */
    uv_idle_t idle;
    struct termios before;
};

/* Begin to read. `raw`: a terminal whose keys all go to take(). */
void standard_input_open(struct standard_input *input, uv_loop_t *loop,
                         bool raw);
void standard_input_resume(struct standard_input *input);

/* Leave the terminal as it was. May be called when it was never opened; the
 * loop must turn once more. */
void standard_input_close(struct standard_input *input);
