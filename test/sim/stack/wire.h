/* wire.h - virtual TCP connections: frames in order, each way.
 *
 *   end.flying --delay, rate, blocked lanes--> inbox of the peer's process
 *
 * Frames are never lost on a connection that stands: a blocked lane holds
 * them, and when it is free again they all come, late. A connection ends when
 * a side closes it, its process dies (unless the whole machine does), somebody
 * resets it, or it was mute for two keepalives.
 *
 * Ends and wires stay allocated until the run ends: the agenda points to
 * them. */
#pragma once

#include "base/error.h"
#include "test/sim/stack/process.h"

enum frame_kind {
    FRAME_DIAL,  /* client: may I? */
    FRAME_READY, /* server: TLS and SETTINGS are done */
    FRAME_LOST,  /* the connection is over; `text` says why */
    FRAME_GOAWAY,
    FRAME_OPEN, /* a call begins */
    FRAME_MESSAGE,
    FRAME_HALF_CLOSE,
    FRAME_STATUS,
    FRAME_RESET,
    FRAME_WINDOW, /* `length` bytes were taken in */
};

struct end;

struct frame {
    struct parcel parcel;
    struct end *to;
    enum frame_kind kind;
    uint32_t stream;
    uint64_t at_us;      /* when it arrives */
    uint64_t timeout_ms; /* OPEN; UINT64_MAX: none */
    bool behalf_given;   /* OPEN */
    struct rpc_identity behalf;
    enum error_code code; /* STATUS, RESET, LOST */
    char *text;           /* owned, or NULL; OPEN: the path */
    size_t length;
    uint8_t bytes[];
};

enum end_state { END_DIALING, END_OPEN, END_CLOSED };

struct end {
    struct list link; /* of its process */
    struct end *peer;
    struct process *process;
    struct channel *channel; /* client's side; NULL: it has let go */
    struct server *server;   /* server's side, once it has accepted */
    enum end_state state;
    bool draining;
    bool mute; /* its machine vanished: nothing comes from it any more */
    struct list calls; /* struct call */
    uint32_t next_stream;
    uint64_t heard_us; /* when the peer could last be heard */
    /* Outgoing. */
    struct list flying;
    size_t flying_bytes;
    uint64_t arrive_us; /* of the last one */
    uint64_t clear_us;  /* when the line is free */
    bool planned;       /* the first's arrival is on the agenda */
    bool stuck;         /* a blocked lane holds it up */
};

/* What the kernels' buffers take before a sender has to wait. */
enum { SOCKET_BYTES = 256 << 10 };

struct frame *frame_new(enum frame_kind kind, uint32_t stream, size_t length);
void frame_free(struct frame *frame);

/* A connection to `address` is tried; what becomes of it comes as a READY or
 * a LOST frame. */
struct end *wire_dial(struct process *process, const char *address,
                      struct channel *channel);

/* Takes the frame; dropped when the end is closed or its process dead. */
void end_send(struct end *end, struct frame *frame);
/* This side closes: the peer hears of it. */
void end_close(struct end *end);

/* ---- what happens to wires ---- */

/* All connections of a process that died; `silent`: nobody hears of it until
 * its machine is there again. */
void wires_cut(struct process *process, bool silent);
/* The machine is there again, without the connections of before. */
void wires_forgotten(struct host *host);
/* Somebody in between resets one of them. */
void wires_reset_one(void);
/* Lanes have changed: what was held up may go on. */
void wires_release(void);
void wires_start(void);
void wires_free(void);

/* ---- what call.c, channel.c and server.c do with frames ---- */

void channel_frame(struct channel *channel, struct end *end,
                   const struct frame *frame);
void server_frame(struct end *end, const struct frame *frame);
/* OPEN, MESSAGE, HALF_CLOSE, STATUS, RESET, WINDOW; takes the frame. */
void call_frame(struct end *end, struct frame *frame);
/* There is room on the line again. */
void calls_pump(struct end *end);
/* All calls on it end. */
void calls_lose(struct end *end, const struct error *why);
