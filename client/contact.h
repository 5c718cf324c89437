/* contact.h - contact with whichever master answers.
 *
 * One is connected to; when it is not there at once, or does not serve, the
 * others are, too, and the first that can is asked. A call that one cannot
 * answer (UNAVAILABLE, ABORTED, silence) goes to another with the same request,
 * so a write keeps its request id, until the timeout ends. A verb reads
 * downward: the loop is private and runs inside of these functions. Ctrl-C
 * makes them return CANCELLED. */
#pragma once

#include "client/config.h"
#include "client/message.h"
#include "client/verb.h"
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"

struct contact;

/* The options of every verb that speaks to the cluster. */
struct contact_options {
    const char *config;
    uint64_t timeout_ms;
};

enum { CONTACT_TIMEOUT_MS = 30000 };

#define CONTACT_OPTIONS(options)                                    \
    {"config", OPTION_STRING, &(options)->config, "FILE",           \
     "which cluster (KONTOR_CONFIG, ~/.kontor/config.json)"},       \
    {                                                               \
        "timeout", OPTION_DURATION, &(options)->timeout_ms, "TIME", \
            "how long to try (30s)"                                 \
    }

/* Reads the configuration and the certificate; connecting goes on behind.
 * INVALID_ARGUMENT: the configuration; UNAUTHENTICATED, PERMISSION_DENIED: our
 * certificate is missing, unreadable or outside its time, or names no role. */
int contact_open(struct contact **out, const struct contact_options *options,
                 struct error *why);
void contact_close(struct contact *contact);

/* Call `method` of Cluster. The response is the caller's, to be freed with
 * message_free(). UNAVAILABLE: no master could be reached or none knows a
 * leader; DEADLINE_EXCEEDED: the same, but one was slow; otherwise what the
 * masters said. */
int contact_call(struct contact *contact, const char *method,
                 const ProtobufCMessage *request, ProtobufCMessage **response,
                 struct error *why);

/* A master that is connected and has not just failed; waits for one.
 * Borrowed until contact_close(). */
int contact_channel(struct contact *contact, uint64_t deadline_ms,
                    struct channel **out, struct error *why);

/* `channel` could not serve: ask others for a moment. */
void contact_avoid(struct contact *contact, const struct channel *channel);

/* Let the loop run until something happened. DEADLINE_EXCEEDED when the
 * monotonic clock passed `deadline_ms`, CANCELLED after Ctrl-C. */
int contact_wait(struct contact *contact, uint64_t deadline_ms,
                 struct error *why);

/* The loop alone, for what must be waited for even after Ctrl-C. */
void contact_turn(struct contact *contact);

/* For calls of one's own beside contact_call(): the loop that turns inside
 * of it, our certificate, who the masters are. Borrowed. */
uv_loop_t *contact_loop(struct contact *contact);
struct tls_context *contact_tls(const struct contact *contact);
const struct config *contact_config(const struct contact *contact);

/* Now plus the timeout, on the monotonic clock. */
uint64_t contact_deadline(const struct contact *contact);

/* The monotonic clock has passed `deadline_ms`. */
bool contact_expired(uint64_t deadline_ms);

/* Is it worth asking another master, or this one again? */
bool contact_may_retry(int code);

/* A random request id. */
Kontor__V1__RequestId contact_request_id(void);

/* A method's response type and path; the path is the caller's to free. */
char *contact_method(const char *method,
                     const ProtobufCMessageDescriptor **response);
