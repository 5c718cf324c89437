/* test_pod_bundle.c - what an order and an image become. */
#include "base/memory.h"
#include "node/pod/bundle.h"
#include "node/pod/profile.h"
#include "node/pod/signals.h"
#include "test/unit/pod_spec.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CAPABILITIES_ALL ((UINT64_C(1) << 41) - 1)

/* ---- signals ------------------------------------------------------------- */

static const struct {
    const char *text;
    int number; /* 0: refused */
} signals[] = {
    {"", SIGTERM},
    {"SIGTERM", SIGTERM},
    {"term", SIGTERM},
    {"SIGQUIT", SIGQUIT},
    {"sigwinch", SIGWINCH},
    {"9", 9},
    {"3", SIGQUIT},
    {"64", 64},
    {"0", 0},
    {"65", 0},
    {"100", 0},
    {"-1", 0},
    {"SIG", 0},
    {"SIGNOPE", 0},
    {"SIGTERM ", 0},
    {"SIGRTMIN+100", 0},
    {"SIGRTMIN-1", 0},
    {"RTMAX+1", 0},
    {"SIGRTMIN+", 0},
    {"15x", 0},
};

static void signals_have_names_and_numbers(void **state)
{
    struct error why;
    uint32_t number;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        bool good = signal_parse(signals[i].text, &number, &why) == 0;

        if (good != (signals[i].number != 0) ||
            (good && (int)number != signals[i].number))
            fail_msg("\"%s\" became %d", signals[i].text,
                     good ? (int)number : 0);
    }
    assert_int_equal(signal_parse("SIGRTMIN+3", &number, &why), 0);
    assert_int_equal(number, SIGRTMIN + 3);
    assert_int_equal(signal_parse("rtmax-1", &number, &why), 0);
    assert_int_equal(number, SIGRTMAX - 1);
}

/* ---- merging ------------------------------------------------------------- */

enum { WORDS_MAX = 4 };

/* Lists are written as words; NULL ends them. */
struct merge {
    const char *rule;
    const char *entrypoint[WORDS_MAX];
    const char *command[WORDS_MAX];
    const char *asked[WORDS_MAX];
    const char *argv; /* joined by spaces; NULL: refused */
};

static const struct merge merges[] = {
    {"the image's program", {"/e"}, {"c", "d"}, {NULL}, "/e c d"},
    {"an entrypoint alone", {"/e"}, {NULL}, {NULL}, "/e"},
    {"a command alone", {NULL}, {"/c"}, {NULL}, "/c"},
    {"what is asked for replaces both", {"/e"}, {"c"}, {"/a", "b"}, "/a b"},
    {"an image without a program", {NULL}, {NULL}, {"/a"}, "/a"},
    {"no program at all", {NULL}, {NULL}, {NULL}, NULL},
    {"a program without a name", {"/e"}, {NULL}, {"", "b"}, NULL},
};

static size_t count_words(const char *const *words)
{
    size_t count = 0;

    while (count < WORDS_MAX && words[count])
        count++;
    return count;
}

static void set_words(size_t *count, char ***list, const char *const *words)
{
    *count = count_words(words);
    *list = without_const(words);
}

static void join(char *const *words, size_t count, char out[256])
{
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        snprintf(out + strlen(out), 256 - strlen(out), "%s%s", i ? " " : "",
                 words[i]);
}

struct parts {
    Kontor__V1__PodOrder order;
    Kontor__V1__PodSpec spec;
    Kontor__V1__ContainerSpec container;
    Kontor__V1__ContainerSpec *containers[2];
    Kontor__V1__Image image;
    char *layers[2];
};

static void make_parts(struct parts *parts)
{
    kontor__v1__pod_order__init(&parts->order);
    kontor__v1__pod_spec__init(&parts->spec);
    kontor__v1__container_spec__init(&parts->container);
    kontor__v1__image__init(&parts->image);
    parts->order.name = without_const("web-1");
    parts->order.pod_id = 7;
    parts->order.generation = 2;
    parts->order.spec = &parts->spec;
    parts->spec.containers = parts->containers;
    parts->spec.n_containers = 1;
    parts->containers[0] = &parts->container;
    parts->containers[1] = &parts->container;
    parts->container.image = without_const("r/web:1");
    parts->image.reference = parts->container.image;
    parts->layers[0] = without_const("layers/sha256/aa");
    parts->layers[1] = without_const("layers/sha256/bb");
    parts->image.layers = parts->layers;
    parts->image.n_layers = 2;
}

static int add(Kontor__V1__Bundle *bundle, struct parts *parts,
               struct error *why)
{
    struct bundle_source source = {&parts->container, &parts->image, "/images",
                                   4096};

    return bundle_add(bundle, &source, why);
}

static void commands_replace_as_with_docker(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(merges); i++) {
        const struct merge *merge = &merges[i];
        Kontor__V1__Bundle *bundle;
        struct parts parts;
        struct error why;
        char argv[256];

        make_parts(&parts);
        set_words(&parts.image.n_entrypoint, &parts.image.entrypoint,
                  merge->entrypoint);
        set_words(&parts.image.n_command, &parts.image.command, merge->command);
        set_words(&parts.container.n_command, &parts.container.command,
                  merge->asked);
        bundle = bundle_new(&parts.order);
        if (add(bundle, &parts, &why) != 0) {
            if (merge->argv)
                fail_msg("%s: %s", merge->rule, why.message);
            assert_int_equal(bundle->n_containers, 0);
        } else {
            join(bundle->containers[0]->argv, bundle->containers[0]->n_argv,
                 argv);
            if (!merge->argv || strcmp(argv, merge->argv) != 0)
                fail_msg("%s: %s", merge->rule, argv);
        }
        kontor__v1__bundle__free_unpacked(bundle, NULL);
    }
}

static const char *env_of(const Kontor__V1__BundleContainer *container,
                          const char *key)
{
    const char *found = NULL;

    for (size_t i = 0; i < container->n_env; i++)
        if (strncmp(container->env[i], key, strlen(key)) == 0) {
            assert_null(found);
            found = container->env[i];
        }
    return found;
}

static void the_orders_environment_goes_over_the_images(void **state)
{
    static const char *const of_image[] = {"A=1", "B=2", "PATH=/i"};
    static const char *const asked[] = {"B=3", "AB=4", "C="};
    static const char *const program[] = {"/a"};
    const Kontor__V1__BundleContainer *container;
    Kontor__V1__Bundle *bundle;
    struct parts parts;
    struct error why;

    (void)state;
    make_parts(&parts);
    parts.image.env = without_const(of_image);
    parts.image.n_env = 3;
    parts.container.env = without_const(asked);
    parts.container.n_env = 3;
    parts.container.command = without_const(program);
    parts.container.n_command = 1;
    parts.image.stop_signal = without_const("SIGQUIT");
    parts.image.user = without_const("www:www");
    bundle = bundle_new(&parts.order);
    assert_int_equal(add(bundle, &parts, &why), 0);
    bundle_place(bundle, "kontor/n1/pod-7", "10.42.2.7", "");
    bundle_place(bundle, "kontor/n1/pod-7", "10.42.2.8", "nameserver 1.1.1.1");
    container = bundle->containers[0];
    assert_string_equal(env_of(container, "A="), "A=1");
    assert_string_equal(env_of(container, "B="), "B=3");
    assert_string_equal(env_of(container, "AB="), "AB=4");
    assert_string_equal(env_of(container, "C="), "C=");
    assert_string_equal(env_of(container, "PATH="), "PATH=/i");
    assert_string_equal(env_of(container, "HOSTNAME="), "HOSTNAME=web-1");
    assert_string_equal(container->name, "main");
    assert_string_equal(container->working_dir, "/");
    assert_string_equal(container->user, "www:www");
    assert_int_equal(container->stop_signal, SIGQUIT);
    assert_string_equal(container->layers[1], "/images/layers/sha256/bb");
    assert_string_equal(bundle->address, "10.42.2.8");
    assert_int_equal(bundle->stop_grace_ms, BUNDLE_GRACE_MS);
    assert_int_equal(bundle->generation, 2);
    kontor__v1__bundle__free_unpacked(bundle, NULL);
}

/* ---- orders -------------------------------------------------------------- */

static void bad_orders_are_named(void **state)
{
    static const struct {
        const char *name, *image, *env;
        const char *part; /* of the message; NULL: good */
    } orders[] = {
        {"", "r/web:1", "A=1", NULL},
        {"side-car_1.x", "r/web:1", "A=", NULL},
        {"", "", "A=1", "names no image"},
        {"..", "r/web:1", "A=1", "container name"},
        {"a/b", "r/web:1", "A=1", "container name"},
        {"", "r/web:1", "A", "\"A\" is not KEY=value"},
        {"", "r/web:1", "=1", "is not KEY=value"},
    };
    struct parts parts;
    struct error why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        const char *env[] = {orders[i].env};
        int code;

        make_parts(&parts);
        parts.container.name = without_const(orders[i].name);
        parts.container.image = without_const(orders[i].image);
        parts.container.env = without_const(env);
        parts.container.n_env = 1;
        code = bundle_check_order(&parts.order, &why);
        if ((code == 0) != !orders[i].part ||
            (code && !strstr(why.message, orders[i].part)))
            fail_msg("order %zu: %s", i, code ? why.message : "taken");
    }
    make_parts(&parts);
    parts.spec.n_containers = 2;
    assert_int_equal(bundle_check_order(&parts.order, &why),
                     ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(why.message, "two containers"));
    parts.spec.n_containers = 0;
    assert_int_equal(bundle_check_order(&parts.order, &why),
                     ERROR_INVALID_ARGUMENT);
}

/* ---- resolv.conf --------------------------------------------------------- */

static void name_servers_on_loopback_are_left_out(void **state)
{
    static const struct {
        const char *host, *pod;
        bool usable;
    } files[] = {
        {"", "", false},
        {"nameserver 10.0.0.1\n", "nameserver 10.0.0.1\n", true},
        {"search a b\nnameserver 127.0.0.53\noptions edns0",
         "search a b\noptions edns0\n", false},
        {"nameserver ::1\n nameserver\t9.9.9.9\n", " nameserver\t9.9.9.9\n",
         true},
        {"nameserver ::1234\n", "nameserver ::1234\n", true},
        {"nameservers 127.0.0.1\n", "nameservers 127.0.0.1\n", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        bool usable;
        char *pod = bundle_resolv_conf(files[i].host, &usable);

        assert_string_equal(pod, files[i].pod);
        assert_int_equal(usable, files[i].usable);
        free(pod);
    }
}

/* ---- the profile --------------------------------------------------------- */

static const struct {
    const char *yaml;  /* a container's fields */
    const char *error; /* NULL: fine */
    uint64_t add, drop;
} profiles[] = {
    {"cap_add: [NET_RAW]", NULL, 1 << 13, 0},
    {"cap_add: [cap_net_raw, CHOWN]", NULL, 1 << 13 | 1, 0},
    {"cap_drop: [ALL], cap_add: [CHOWN]", NULL, 1, CAPABILITIES_ALL},
    {"cap_add: [ALL], cap_drop: [CHOWN]", NULL, CAPABILITIES_ALL - 1, 1},
    {"cap_add: [ALL]", NULL, CAPABILITIES_ALL, 0},
    {"cap_add: [CHOWN], cap_drop: [chown]", "both added and dropped", 0, 0},
    {"cap_add: [CAP_]", "there is no capability \"CAP_\"", 0, 0},
    {"cap_add: ['']", "there is no capability \"\"", 0, 0},
    {"cap_add: [NET_RAWX]", "there is no capability \"NET_RAWX\"", 0, 0},
    {"cap_add: ['0']", "there is no capability \"0\"", 0, 0},
    {"rlimits: [{name: nofile, soft: 1, hard: 2}]", NULL, 0, 0},
    {"rlimits: [{name: nofile, soft: 3, hard: 2}]", "above the hard one", 0, 0},
    {"rlimits: [{name: files}]", "there is no limit \"files\"", 0, 0},
    {"tmpfs: [{path: /run}]", NULL, 0, 0},
    {"tmpfs: [{path: run}]", "tmpfs \"run\"", 0, 0},
};

static void profiles_are_applied(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
        char yaml[256];
        Kontor__V1__PodSpec *spec;
        Kontor__V1__BundleContainer *out = memory_new(sizeof *out);
        struct error why = {0};

        snprintf(yaml, sizeof yaml, "containers: [{%s}]", profiles[i].yaml);
        spec = pod_spec_of(yaml);
        kontor__v1__bundle_container__init(out);
        profile_apply(spec->containers[0], out, &why);
        if (profiles[i].error ? !strstr(why.message, profiles[i].error)
                              : why.code != 0)
            fail_msg("%s: %s", profiles[i].yaml, why.message);
        if (why.code == 0) {
            assert_int_equal(out->cap_add, profiles[i].add);
            assert_int_equal(out->cap_drop, profiles[i].drop);
        }
        kontor__v1__bundle_container__free_unpacked(out, NULL);
        kontor__v1__pod_spec__free_unpacked(spec, NULL);
    }
}

static const struct {
    const char *yaml; /* of two containers */
    uint32_t first_id;
    bool reaches;
} reaching[] = {
    {"{}, {cap_add: [NET_ADMIN, SYS_PTRACE]}", 0, false},
    {"{}, {cap_add: [SYS_ADMIN]}", 0, true},
    {"{cap_add: [MKNOD]}, {}", 0, true},
    {"{}, {cap_add: [ALL]}", 0, true},
    {"{}, {cap_add: [ALL], cap_drop: [SYS_ADMIN, MKNOD]}", 0, false},
    {"{cap_add: [ALL]}, {}", 1 << 20, false},
};

static void devices_are_denied_to_who_reaches_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(reaching); i++) {
        Kontor__V1__Bundle *bundle = memory_new(sizeof *bundle);
        Kontor__V1__PodSpec *spec;
        char yaml[256];
        struct error why;

        snprintf(yaml, sizeof yaml, "containers: [%s]", reaching[i].yaml);
        spec = pod_spec_of(yaml);
        kontor__v1__bundle__init(bundle);
        bundle->first_id = reaching[i].first_id;
        bundle->containers = memory_array(2, sizeof *bundle->containers);
        for (; bundle->n_containers < 2; bundle->n_containers++) {
            Kontor__V1__BundleContainer *out = memory_new(sizeof *out);

            kontor__v1__bundle_container__init(out);
            bundle->containers[bundle->n_containers] = out;
            assert_int_equal(
                profile_apply(spec->containers[bundle->n_containers], out,
                              &why),
                0);
        }
        if (profile_reaches_devices(bundle) != reaching[i].reaches)
            fail_msg("%s", reaching[i].yaml);
        kontor__v1__bundle__free_unpacked(bundle, NULL);
        kontor__v1__pod_spec__free_unpacked(spec, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_have_names_and_numbers),
        cmocka_unit_test(commands_replace_as_with_docker),
        cmocka_unit_test(the_orders_environment_goes_over_the_images),
        cmocka_unit_test(bad_orders_are_named),
        cmocka_unit_test(name_servers_on_loopback_are_left_out),
        cmocka_unit_test(profiles_are_applied),
        cmocka_unit_test(devices_are_denied_to_who_reaches_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
