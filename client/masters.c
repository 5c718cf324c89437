#include "client/ask.h"
#include "client/verbs.h"

#include <inttypes.h>
#include <string.h>

static const char *const headings[] = {"NAME", "ADDRESS", "ROLE",
                                       "TERM", "LAST",    "APPLIED",
                                       "LAG",  "FORMAT",  NULL};

static bool is_role(const Kontor__V1__Master *master, const char *role)
{
    return strcmp(master->role, role) == 0;
}

static void add_number(struct table *table, bool known, uint64_t number)
{
    if (known)
        table_cell(table, "%" PRIu64, number);
    else
        table_cell(table, "-");
}

static void add_row(struct table *table, const Kontor__V1__Master *master,
                    const Kontor__V1__Master *leader)
{
    bool up = !is_role(master, "down");
    uint64_t lag = leader && leader->last_index > master->applied_index
                       ? leader->last_index - master->applied_index
                       : 0;

    table_cell(table, "%s", master->name);
    table_cell(table, "%s", master->address);
    table_cell_coloured(table,
                        !up                           ? COLOUR_BAD
                        : is_role(master, "leader")   ? COLOUR_GOOD
                        : is_role(master, "follower") ? COLOUR_NONE
                                                      : COLOUR_WARN,
                        master->role);
    add_number(table, up, master->term);
    add_number(table, up, master->last_index);
    add_number(table, up, master->applied_index);
    add_number(table, up && leader && leader != master, lag);
    add_number(table, up, master->format);
}

/* "quorum 2 of 3; tolerates no further failure". */
static void print_quorum(size_t voters, size_t up)
{
    size_t quorum = voters / 2 + 1;

    printf("quorum %zu of %zu; ", quorum, voters);
    if (up < quorum)
        printf("lost: %zu more must come back\n", quorum - up);
    else if (up == quorum)
        printf("tolerates no further failure\n");
    else
        printf("tolerates %zu further failure%s\n", up - quorum,
               up - quorum == 1 ? "" : "s");
}

static void show(const ProtobufCMessage *message,
                 const ProtobufCMessage *request)
{
    const Kontor__V1__MastersResponse *response =
        (const Kontor__V1__MastersResponse *)message;
    const Kontor__V1__Master *leader = NULL;
    struct table *table = table_new(headings);
    size_t voters = 0;
    size_t up = 0;

    (void)request;
    /* A leader that was replaced may not know it yet: the newest counts. */
    for (size_t i = 0; i < response->n_masters; i++) {
        const Kontor__V1__Master *master = response->masters[i];

        voters += !master->learner;
        up += !master->learner && !is_role(master, "down");
        if (is_role(master, "leader") &&
            (!leader || master->term > leader->term))
            leader = master;
    }
    for (size_t i = 0; i < response->n_masters; i++)
        add_row(table, response->masters[i], leader);
    table_print(table, stdout, output_colours(stdout));
    print_quorum(voters, up);
    if (!leader)
        output_line(stdout, "no leader, says %s", response->answered_by);
    table_free(table);
}

static int run(struct words *words)
{
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;
    const struct ask what = {"Masters", &request.base, {NULL}, show, NULL};

    return ask(words, &what);
}

const struct verb verb_masters = {
    .name = "masters",
    .summary = "Show the masters, their leader and the quorum",
    .example = "kctl masters",
    .synopsis = "kctl masters [-o json]",
    .details = "Any master that lives answers, leader or not.",
    .run = run,
};
