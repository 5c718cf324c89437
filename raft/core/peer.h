/* peer.h - what a leader knows of the members. For the files of the core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum raft_peer_state {
    RAFT_PEER_PROBE,     /* next_index is a guess: empty appends, one a time */
    RAFT_PEER_REPLICATE, /* next_index is optimistic: pipelined */
    RAFT_PEER_SNAPSHOT,  /* what it lacks is compacted: being streamed */
};

/* An append with entries that is not yet acknowledged. */
struct raft_inflight {
    uint64_t last_index;
    size_t bytes;
};

/* What a leader knows of a member; of itself nothing but id and vote. */
struct raft_peer {
    uint32_t id;
    bool votes;
    enum raft_peer_state state;
    bool probing; /* PROBE: wait for the answer, or for the heartbeat */
    uint64_t next_index;
    uint64_t match_index; /* durable there; below next_index */
    uint64_t heard_ms;
    uint64_t read_context; /* newest that it confirmed */
    uint64_t leader_ms;    /* our clock, newest that it returned */
    uint64_t promised_ms;  /* and until when it votes for nobody else */
    struct raft_inflight *inflight; /* owned; a ring */
    unsigned inflight_first;
    unsigned inflight_count;
    size_t inflight_bytes;
};
