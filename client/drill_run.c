/* drill_run.c - the course of a drill.
 *
 *   what runs is noted, clients begin
 *   each round: all masters whole -> fault -> first acknowledgement -> undo
 *   clients end -> what they were told is compared with what is there -> their
 *   pods are stopped
 *
 * From `fault` on the victim is undone and started again whatever happens. */
#include "client/drill_run.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "client/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WHOLE_MS = 30000, LOOK_MS = 20, FIRST_MS = 5000 };
/* Between two faults, so that they meet elections and heartbeats at any
 * moment. */
enum { REST_MS = 150, REST_JITTER_MS = 300 };
/* A fault lasts this long at least, and this much longer than the gap. */
enum { HOLD_MS = 400, HOLD_LONGER_MS = 100 };
/* So long before the fault and after the gap clients hardly rest: what they
 * rest would count as silence. */
enum { HURRY_MS = 50 };
/* What is over the budget is waited for this much longer, then undone. */
enum { PATIENCE_MS = 4000 };

enum { NOBODY = DEV_MASTERS_MAX };

void drill_fini(struct drill *drill)
{
    for (unsigned i = 0; i < DEV_MASTERS_MAX; i++)
        dev_words_fini(&drill->words[i]);
    drill_history_fini(&drill->history);
    free(drill->rounds);
}

/* ---- waiting --------------------------------------------------------------
 */

static int rest(struct contact *contact, uint64_t until_ms, struct error *why)
{
    int code;

    while ((code = contact_wait(contact, until_ms, why)) == 0)
        ;
    return code == ERROR_DEADLINE_EXCEEDED ? 0 : code;
}

/* What the masters say of each other. */
struct look {
    unsigned leader; /* NOBODY: none, or none that all know */
    bool whole;      /* all are up, and have applied `goal` */
    uint64_t last_index;
};

static unsigned find_master(const struct dev *dev, const char *name)
{
    for (unsigned i = 0; i < dev->master_count; i++)
        if (strcmp(dev->masters[i].name, name) == 0)
            return i;
    return NOBODY;
}

static int look_at_masters(const struct drill *drill, struct contact *contact,
                           uint64_t goal, struct look *look, struct error *why)
{
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;
    const Kontor__V1__MastersResponse *response;
    ProtobufCMessage *message;

    if (contact_call(contact, "Masters", &request.base, &message, why) != 0)
        return (int)why->code;
    response = (const Kontor__V1__MastersResponse *)message;
    *look = (struct look){.leader = NOBODY, .whole = true};
    for (size_t i = 0; i < response->n_masters; i++) {
        const Kontor__V1__Master *master = response->masters[i];
        bool leads = strcmp(master->role, "leader") == 0;

        if (leads && look->leader == NOBODY) {
            look->leader = find_master(&drill->dev, master->name);
            look->last_index = master->last_index;
        } else if (strcmp(master->role, "follower") != 0) {
            look->whole = false; /* down, a candidate, or a second leader */
        }
        if (master->applied_index < goal)
            look->whole = false;
    }
    if (look->leader == NOBODY)
        look->whole = false;
    message_free(message);
    return 0;
}

/* Until one master leads and the others follow it, with all that it had when
 * this began. `victim` is started when it has ended; NULL: none is. */
static int await_whole(struct drill *drill, struct contact *contact,
                       struct drill_victim *victim, unsigned *leader,
                       struct error *why)
{
    uint64_t deadline_ms = clock_monotonic_ms() + WHOLE_MS;
    struct look look = {.leader = NOBODY};
    uint64_t goal = 0;

    do {
        int code;

        if (victim && drill_revive(victim, why) != 0)
            return (int)why->code;
        code = look_at_masters(drill, contact, goal, &look, why);
        if (code == ERROR_CANCELLED)
            return code;
        if (code == 0 && look.whole && goal > 0) {
            *leader = look.leader;
            return 0;
        }
        if (code == 0 && goal == 0)
            goal = look.last_index;
        if (rest(contact, clock_monotonic_ms() + LOOK_MS, why) != 0)
            return (int)why->code;
    } while (!contact_expired(deadline_ms));
    return error_set(why, ERROR_DEADLINE_EXCEEDED,
                     "the masters were not whole again after %d s",
                     WHOLE_MS / 1000);
}

/* Until a write that began after `fault_ns` is acknowledged, or it is time. */
static int look_for_recovery(const struct drill *drill, struct contact *contact,
                             uint64_t fault_ns, uint64_t deadline_ms,
                             struct error *why)
{
    int code = 0;

    while (code == 0 &&
           drill_history_recovered_ns(&drill->history, fault_ns) == 0)
        code = contact_wait(contact, deadline_ms, why);
    return code == ERROR_DEADLINE_EXCEEDED ? 0 : code;
}

static int await_recovery(const struct drill *drill, struct contact *contact,
                          uint64_t fault_ns, struct error *why)
{
    if (look_for_recovery(drill, contact, fault_ns,
                          clock_monotonic_ms() + WHOLE_MS, why) != 0)
        return (int)why->code;
    if (drill_history_recovered_ns(&drill->history, fault_ns) == 0)
        return error_set(why, ERROR_DEADLINE_EXCEEDED,
                         "no write was acknowledged for %d s, though the "
                         "masters are whole",
                         WHOLE_MS / 1000);
    return 0;
}

/* ---- a round --------------------------------------------------------------
 */

/* As if nothing had been done to it. */
static int restore(struct drill_victim *victim, struct error *why)
{
    struct error reviving;
    int code = drill_undo(victim, why);

    if (drill_revive(victim, &reviving) != 0 && code == 0) {
        *why = reviving;
        code = (int)why->code;
    }
    return code;
}

/* When the fault began, and when clients were calm again. */
struct span {
    uint64_t fault_ns;
    uint64_t calm_ns;
};

/* The fault, and what follows until it is to be undone. */
static int suffer(struct drill *drill, struct contact *contact,
                  struct drill_clients *clients,
                  const struct drill_victim *victim, struct span *span,
                  struct error *why)
{
    uint64_t begun_ms = clock_monotonic_ms() + HURRY_MS;
    int code;

    drill_clients_hurry(clients);
    if (rest(contact, begun_ms, why) != 0)
        return (int)why->code;
    span->fault_ns = clock_monotonic_ns();
    if (drill->fault->inflict(victim, why) != 0)
        return (int)why->code;
    drill_clients_hurry(clients); /* who rests just now, too */
    code = look_for_recovery(drill, contact, span->fault_ns,
                             begun_ms + drill->budget_ms + PATIENCE_MS, why);
    if (code == 0)
        code = rest(contact, clock_monotonic_ms() + HURRY_MS, why);
    drill_clients_calm(clients);
    span->calm_ns = clock_monotonic_ns();
    if (code == 0)
        code = rest(contact, clock_monotonic_ms() + HOLD_LONGER_MS, why);
    return code ? code : rest(contact, begun_ms + HOLD_MS, why);
}

static int check_ended(const struct drill *drill,
                       const struct drill_victim *victim, struct error *why)
{
    if (victim->started == 0 || drill->fault->ends)
        return 0;
    return error_set(why, ERROR_INTERNAL, "%s ended, having been %s",
                     drill->dev.masters[victim->master].name,
                     drill->fault->done);
}

static void note_round(struct drill *drill, unsigned master,
                       const struct span *span)
{
    struct drill_round *round = &drill->rounds[drill->done++];
    uint64_t recovered_ns =
        drill_history_recovered_ns(&drill->history, span->fault_ns);

    *round = (struct drill_round){
        .master = master,
        .gap_ns = recovered_ns - span->fault_ns,
        .silent_ns = drill_history_silence_ns(
            &drill->history, span->fault_ns,
            recovered_ns > span->calm_ns ? recovered_ns : span->calm_ns),
    };
    fprintf(stderr, "%*u/%u  %s %s  gap %.1f ms\n", 4, drill->done,
            (unsigned)drill->count, drill->dev.masters[master].name,
            drill->fault->done, (double)round->gap_ns / 1e6);
}

static int play_round(struct drill *drill, struct contact *contact,
                      struct drill_clients *clients, struct random *random,
                      struct error *why)
{
    struct drill_victim victim = {
        .dev = &drill->dev, .contact = contact, .words = drill->words};
    uint64_t rest_ms = REST_MS + random_below(random, REST_JITTER_MS);
    struct span span = {0};
    struct error restoring;
    unsigned leader;
    int code;

    if (await_whole(drill, contact, NULL, &victim.master, why) != 0 ||
        rest(contact, clock_monotonic_ms() + rest_ms, why) != 0 ||
        await_whole(drill, contact, NULL, &victim.master, why) != 0)
        return (int)why->code;
    code = suffer(drill, contact, clients, &victim, &span, why);
    if (restore(&victim, &restoring) != 0) {
        *why = restoring;
        return (int)why->code;
    }
    if (code != 0 || await_whole(drill, contact, &victim, &leader, why) != 0 ||
        await_recovery(drill, contact, span.fault_ns, why) != 0)
        return (int)why->code;
    note_round(drill, victim.master, &span);
    return check_ended(drill, &victim, why);
}

/* ---- all ------------------------------------------------------------------
 */

/* Every master; before a drill, what one that was killed may have left. */
static int restore_all(struct drill *drill, struct error *why)
{
    struct drill_victim victim = {.dev = &drill->dev, .words = drill->words};

    for (; victim.master < drill->dev.master_count; victim.master++)
        if (restore(&victim, why) != 0)
            return (int)why->code;
    return 0;
}

/* Nothing is harmed before a write was acknowledged. */
static int await_writes(const struct drill *drill, struct contact *contact,
                        const struct drill_clients *clients, struct error *why)
{
    const struct error *trouble = drill_clients_trouble(clients);
    uint64_t deadline_ms = clock_monotonic_ms() + FIRST_MS;
    int code = 0;

    while (code == 0 && trouble->code == 0 &&
           drill_history_recovered_ns(&drill->history, 0) == 0)
        code = contact_wait(contact, deadline_ms, why);
    if (code == 0 && trouble->code == 0)
        return 0;
    if (code == 0)
        *why = *trouble;
    return error_wrap(why, "no write is acknowledged, so nothing is harmed");
}

static int play(struct drill *drill, struct contact *contact,
                struct drill_clients *clients, struct error *why)
{
    struct random random;
    int code = await_writes(drill, contact, clients, why);

    random_bytes(&random.state, sizeof random.state);
    drill->rounds = memory_array(drill->count, sizeof *drill->rounds);
    while (code == 0 && drill->done < drill->count)
        code = play_round(drill, contact, clients, &random, why);
    return code;
}

/* What the clients were told, and what is there. */
static int compare(struct drill *drill, struct contact *contact,
                   const struct drill_pods *before, struct error *why)
{
    struct drill_pods after;

    if (drill_count_nodes(&drill->counts, contact, why) != 0 ||
        drill_pods_list(&after, contact, why) != 0)
        return (int)why->code;
    drill_count_writes(&drill->counts, &drill->history, &after);
    drill_count_pods(&drill->counts, before, &after);
    drill_pods_fini(&after);
    return 0;
}

/* With a contact of its own: the first may know of Ctrl-C, and then asks
 * nobody any more. */
static int settle(struct drill *drill, const struct contact_options *to,
                  const struct drill_pods *before, struct error *why)
{
    struct contact *contact;
    struct error first = *why;
    int code;

    if (contact_open(&contact, to, why) != 0)
        return (int)why->code;
    code = first.code ? 0 : compare(drill, contact, before, why);
    if (code == 0)
        code = drill_pods_stop(contact, why);
    contact_close(contact);
    if (first.code == 0)
        return code;
    if (code != 0)
        output_line(stderr, "kctl: %s", why->message);
    *why = first;
    return (int)why->code;
}

int drill_run(struct drill *drill, const struct contact_options *to,
              struct error *why)
{
    struct drill_clients *clients = NULL;
    struct drill_pods before = {0};
    struct contact *contact;
    struct error restoring;
    int code;

    if (restore_all(drill, why) != 0 || contact_open(&contact, to, why) != 0)
        return (int)why->code;
    code = drill_pods_stop(contact, why); /* of a drill that was killed */
    if (code == 0)
        code = drill_pods_list(&before, contact, why);
    if (code == 0) {
        clients = drill_clients_open(contact, &drill->history);
        code = play(drill, contact, clients, why);
        drill_clients_finish(clients);
        if (code == 0)
            error_clear(why);
        code = settle(drill, to, &before, why);
        drill->counts.duplicated += drill_clients_repeated(clients);
        drill_clients_close(clients);
    }
    if (code == ERROR_CANCELLED)
        error_set(why, ERROR_CANCELLED,
                  "interrupted after %u of %" PRIu64
                  "; the cluster is as it was",
                  drill->done, drill->count);
    if (restore_all(drill, &restoring) != 0) {
        *why = restoring;
        code = (int)why->code;
    }
    contact_close(contact);
    drill_pods_fini(&before);
    return code;
}
