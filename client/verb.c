#include "client/verb.h"

#include "base/nearest.h"
#include "client/exit.h"
#include "client/output.h"

#include <string.h>

static void print_help(const struct verb *verb, const struct option *options)
{
    printf("%s\n\n%s\n\nusage: %s\n", verb->example, verb->summary,
           verb->synopsis);
    if (verb->details)
        printf("\n%s\n", verb->details);
    printf("\noptions:\n");
    options_print(options, stdout);
}

static int check_operands(const struct words *words, struct error *why)
{
    const struct verb *verb = words->verb;
    const struct operands *operands = &words->operands;

    if (operands->count < verb->operands_min)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "something is missing: %s", verb->synopsis);
    if (operands->count > verb->operands_max)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" is one word too many: %s",
                         operands->values[verb->operands_max], verb->synopsis);
    if (operands->rest && !verb->takes_rest)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "nothing may follow --: %s", verb->synopsis);
    return 0;
}

bool verb_parse(struct words *words, const struct option *options)
{
    struct error why;
    bool help;

    words->exit_code = EXIT_CODE_DONE;
    if (options_parse(options, words->argc, words->argv, &words->operands,
                      &help, &why) != 0 ||
        (!help && check_operands(words, &why) != 0)) {
        words->exit_code = exit_report(&why);
        fprintf(stderr, "for example: %.*s\n",
                (int)strcspn(words->verb->example, "\n"), words->verb->example);
        return false;
    }
    if (help)
        print_help(words->verb, options);
    return !help;
}

/* How many of argv[1..] spell the verb's name; 0: they do not. */
static int matches(const struct verb *verb, int argc, char **argv)
{
    const char *name = verb->name;

    for (int at = 1; at < argc; at++) {
        size_t length = strcspn(name, " ");

        if (strlen(argv[at]) != length || strncmp(argv[at], name, length) != 0)
            return 0;
        name += length;
        if (*name++ == '\0')
            return at;
    }
    return 0;
}

/* `word` is the first of two in the verb's name, "get". */
static bool in_group(const struct verb *verb, const char *word)
{
    size_t length = strlen(word);

    return !verb->hidden && strncmp(verb->name, word, length) == 0 &&
           verb->name[length] == ' ';
}

static void print_list(FILE *out, const char *group)
{
    for (const struct verb *const *at = verbs; *at; at++)
        if (group ? in_group(*at, group) : !(*at)->hidden)
            fprintf(out, "  %-16s %s\n", (*at)->name, (*at)->summary);
}

static void print_verbs(FILE *out)
{
    fprintf(out, "kctl schedule registry.local:5000/web:1 --cpu 2 --mem 1G "
                 "--name web\n\n"
                 "kctl runs containers on a Kontor cluster.\n\n"
                 "usage: kctl VERB [OPTIONS]; kctl VERB --help tells more\n\n");
    print_list(out, NULL);
    fprintf(out, "\nThe cluster is the one of --config FILE, of "
                 "KONTOR_CONFIG, or of ~/.kontor/config.json.\n");
}

/* The verb that argv[1..] probably meant: by both its words, else by the
 * first ("shedule web"), else by the last alone ("cordon n2"). */
static const struct verb *nearest_verb(int argc, char **argv)
{
    const struct verb *by_first = NULL;
    const struct verb *by_last = NULL;
    char both[2 * NEAREST_WORD_MAX];

    snprintf(both, sizeof both, "%s %s", argv[1], argc > 2 ? argv[2] : "");
    for (const struct verb *const *at = verbs; *at; at++) {
        const char *name = (*at)->name;
        const char *space = strchr(name, ' ');

        if ((*at)->hidden)
            continue;
        if (nearest_likely(both, name))
            return *at;
        if (!by_first && nearest_likely(argv[1], name))
            by_first = *at;
        if (!by_last && space && strcmp(argv[1], space + 1) == 0)
            by_last = *at;
    }
    return by_first ? by_first : by_last;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ||
           strcmp(word, "help") == 0;
}

static int unknown_verb(int argc, char **argv)
{
    const struct verb *near = nearest_verb(argc, argv);
    struct error why;

    if (argv[1][0] == '-')
        error_set(&why, ERROR_INVALID_ARGUMENT,
                  "%s: the verb comes first, its options after it", argv[1]);
    else if (near)
        error_set(&why, ERROR_INVALID_ARGUMENT,
                  "there is no verb \"%s%s%s\"; did you mean \"%s\"?", argv[1],
                  argc > 2 ? " " : "", argc > 2 ? argv[2] : "", near->name);
    else
        error_set(&why, ERROR_INVALID_ARGUMENT,
                  "there is no verb \"%s\"; kctl --help lists them", argv[1]);
    return exit_report(&why);
}

/* "kctl get", "kctl get --help": what there is of it. */
static bool help_on_group(int argc, char **argv, int *exit_code)
{
    bool asked = argc > 2 && is_help(argv[2]);

    for (const struct verb *const *at = verbs; *at; at++) {
        if (!in_group(*at, argv[1]) || (argc > 2 && !asked))
            continue;
        fprintf(asked ? stdout : stderr, "%s\n\n", (*at)->example);
        print_list(asked ? stdout : stderr, argv[1]);
        *exit_code = asked ? EXIT_CODE_DONE : EXIT_CODE_USAGE;
        return true;
    }
    return false;
}

static int dispatch(int argc, char **argv)
{
    struct words words = {.verb = NULL};
    int most = 0;
    int exit_code;

    /* "masters add" is more than "masters". */
    for (const struct verb *const *at = verbs; *at; at++) {
        int used = matches(*at, argc, argv);

        if (used > most) {
            most = used;
            words = (struct words){
                .verb = *at, .argc = argc - used, .argv = argv + used};
        }
    }
    if (words.verb)
        return words.verb->run(&words);
    return help_on_group(argc, argv, &exit_code) ? exit_code
                                                 : unknown_verb(argc, argv);
}

int verb_dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_verbs(stderr);
        return EXIT_CODE_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("kctl %s\n", KONTOR_VERSION);
        return output_finish(EXIT_CODE_DONE);
    }
    if (is_help(argv[1])) {
        print_verbs(stdout);
        return output_finish(EXIT_CODE_DONE);
    }
    return output_finish(dispatch(argc, argv));
}
