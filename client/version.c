#include "client/output.h"
#include "client/verbs.h"

#include <jansson.h>

static int run(struct words *words)
{
    const char *format = NULL;
    const struct option options[] = {OUTPUT_OPTION(&format), {0}};
    bool json;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (json)
        output_json(json_pack("{s:s}", "version", KONTOR_VERSION));
    else
        printf("kctl %s\n", KONTOR_VERSION);
    return words->exit_code;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "Say which kctl this is",
    .example = "kctl version",
    .synopsis = "kctl version [-o json]",
    .run = run,
};
