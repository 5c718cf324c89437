#include "base/fd.h"
#include "client/backup_file.h"
#include "client/exit.h"
#include "client/json.h"
#include "client/output.h"
#include "client/show.h"
#include "client/verbs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

json_t *backup_content_json(const struct backup_content *content)
{
    json_t *json = json_of_message(&content->header->base);
    json_t *pods = json_object();

    for (int phase = 0; phase < BACKUP_PHASES; phase++) {
        char name[JSON_ENUM_MAX];

        json_enum_name(name, &kontor__v1__pod_phase__descriptor, phase);
        json_object_set_new(pods, name,
                            json_integer((json_int_t)content->pods[phase]));
    }
    json_object_set_new(json, "state_bytes",
                        json_integer((json_int_t)content->bytes));
    json_object_set_new(json, "nodes",
                        json_integer((json_int_t)content->nodes));
    json_object_set_new(json, "pods", pods);
    json_object_set_new(json, "requests",
                        json_integer((json_int_t)content->requests));
    json_object_set_new(json, "events",
                        json_integer((json_int_t)content->events));
    return json;
}

/* "1000: 990 Running, 10 Pending" */
static void print_pods(const struct backup_content *content)
{
    uint64_t total = 0;
    const char *before = ": ";

    for (int phase = 0; phase < BACKUP_PHASES; phase++)
        total += content->pods[phase];
    printf("pods      %" PRIu64, total);
    for (int phase = 0; phase < BACKUP_PHASES; phase++) {
        if (content->pods[phase] == 0)
            continue;
        printf("%s%" PRIu64 " %s", before, content->pods[phase],
               show_phase((Kontor__V1__PodPhase)phase));
        before = ", ";
    }
    printf("\n");
}

static void print(const struct backup_content *content)
{
    const Kontor__V1__BackupHeader *header = content->header;
    char time[SHOW_TEXT_MAX];
    char size[QUANTITY_TEXT_MAX];

    output_line(stdout, "taken     %s by kontor %s",
                show_time(time, header->time_ms), header->version);
    printf("index     %" PRIu64 ", term %" PRIu64 "\n", header->index,
           header->term);
    for (size_t i = 0; i < header->members->n_members; i++)
        output_line(stdout, "%s%s %s", i == 0 ? "masters   " : "          ",
                    header->members->members[i]->name,
                    header->members->members[i]->address);
    printf("nodes     %" PRIu64 "\n", content->nodes);
    print_pods(content);
    printf("requests  %" PRIu64 " remembered\n", content->requests);
    printf("events    %" PRIu64 "\n", content->events);
    printf("state     %s, whole\n",
           quantity_format_bytes(size, content->bytes));
}

static int run(struct words *words)
{
    const char *format = NULL;
    const struct option options[] = {OUTPUT_OPTION(&format), {0}};
    CLEANUP(fd_close) int fd = -1;
    struct backup_content content;
    const char *path;
    struct error why;
    bool json;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    path = words->operands.values[0];
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_errno(&why, "open %s", path);
        return exit_report(&why);
    }
    if (backup_file_read(fd, &content, &why) != 0) {
        error_wrap(&why, "%s", path);
        return exit_report(&why);
    }
    if (json)
        output_json(backup_content_json(&content));
    else
        print(&content);
    backup_content_fini(&content);
    return EXIT_CODE_DONE;
}

const struct verb verb_backup_inspect = {
    .name = "backup inspect",
    .summary = "Check a backup and say what it holds",
    .example = "kctl backup inspect kontor.backup",
    .synopsis = "kctl backup inspect FILE [-o json]",
    .details = "Reads the file alone: no cluster is asked. One that is cut or "
               "damaged is refused (exit code 1).",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
