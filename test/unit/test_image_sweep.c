/* What is removed from a store, by age, need or request, and what never is. */
#include "base/clock.h"
#include "base/fd.h"
#include "image_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

enum { USED_MAX = 8 };

/* What the world's pods use; each_used() tells it. */
static char used_layers[USED_MAX][LAYER_STORE_PATH_MAX];
static size_t used_count;
static bool used_fails;

static int each_used(void *data, image_used_cb *used, void *to,
                     struct error *why)
{
    (void)data;
    if (used_fails)
        return error_set(why, ERROR_INTERNAL, "nobody knows");
    for (size_t i = 0; i < used_count; i++)
        used(to, used_layers[i], i + 1 == used_count);
    return 0;
}

static int open_world(void **state)
{
    used_count = 0;
    used_fails = false;
    if (image_world_open(state) != 0)
        return 1;
    ((struct image_world *)*state)->each_used = each_used;
    image_world_close_store(*state);
    image_world_open_store(*state);
    return 0;
}

/* A pod runs the image that `waiter` got. */
static void use(const struct image_waiter *waiter)
{
    for (size_t i = 0; i < waiter->image->n_layers; i++)
        snprintf(used_layers[used_count++], LAYER_STORE_PATH_MAX, "%s",
                 waiter->image->layers[i]);
}

/* ---- asking -------------------------------------------------------------- */

struct sweeper_waiter {
    struct image_sweep sweep;
    bool done;
    struct error why;
};

static void waiter_on_swept(struct image_sweep *sweep, const struct error *why)
{
    struct sweeper_waiter *waiter =
        container_of(sweep, struct sweeper_waiter, sweep);

    waiter->done = true;
    waiter->why = *why;
}

static struct sweeper_waiter sweep(struct image_world *world,
                                   const char *reference, uint64_t unused_ms)
{
    struct sweeper_waiter waiter = {
        .sweep = {.sweep = {.reference = reference, .unused_ms = unused_ms},
                  .done = waiter_on_swept}};

    image_sweep_start(world->store, &waiter.sweep);
    assert_false(waiter.done);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_true(waiter.done);
    assert_int_equal(image_world_count(world, "old"), 0);
    return waiter;
}

/* Sweep; so many references go. */
static void sweeps(struct image_world *world, const char *reference,
                   uint64_t unused_ms, size_t removed)
{
    struct sweeper_waiter waiter = sweep(world, reference, unused_ms);

    if (waiter.why.code)
        fail_msg("%s", waiter.why.message);
    assert_int_equal(waiter.sweep.sweep.removed_count, removed);
    sweep_fini(&waiter.sweep.sweep);
}

static void refuses(struct image_world *world, const char *reference, int code)
{
    struct sweeper_waiter waiter = sweep(world, reference, 0);

    assert_int_equal(waiter.why.code, code);
    assert_non_null(strstr(waiter.why.message, reference));
    sweep_fini(&waiter.sweep.sweep);
}

/* So many layers, images and references are there. */
static void holds(const struct image_world *world, int layers, int images,
                  int references)
{
    assert_int_equal(image_world_count(world, "layers/sha256"), layers);
    assert_int_equal(image_world_count(world, "implied"), layers);
    assert_int_equal(image_world_count(world, "sizes"), layers);
    assert_int_equal(image_world_count(world, "images/sha256"), images);
    assert_int_equal(image_world_count(world, "refs"), references);
}

/* Serve app:2: the layers of app:1 and one more. */
static void serve_second(struct image_world *world)
{
    struct fake_route route;

    test_image_add_file_layer(&world->image, "more", 3);
    test_image_seal(&world->image);
    image_world_serve(world);
    route = image_manifest_route("2", MANIFEST_TYPE, world->image.manifest);
    fake_registry_serve(&world->registry, &route);
}

/* ---- by request ---------------------------------------------------------- */

static void what_is_unused_goes_and_comes_again(void **state)
{
    struct image_world *world = *state;

    image_world_pulls(world, "app:1");
    holds(world, 2, 1, 1);
    sweeps(world, NULL, 0, 1);
    holds(world, 0, 0, 0);
    image_world_pulls(world, "app:1");
    holds(world, 2, 1, 1);
}

static void what_a_pod_uses_stays(void **state)
{
    struct image_world *world = *state;
    struct image_waiter waiter;
    char *name = memory_format("%s/app:2", world->host);

    image_world_pulls(world, "app:1");
    serve_second(world);
    image_world_pull(world, &waiter, "app:2");
    use(&waiter);
    image_waiter_fini(&waiter);
    holds(world, 3, 2, 2);
    refuses(world, name, ERROR_FAILED_PRECONDITION);
    sweeps(world, NULL, 0, 1); /* app:1, but none of its layers */
    holds(world, 3, 1, 1);
    used_count = 0;
    sweeps(world, name, 0, 1);
    holds(world, 0, 0, 0);
    free(name);
}

static void shared_layers_go_with_the_last_image(void **state)
{
    struct image_world *world = *state;
    char *first = memory_format("%s/app:1", world->host);
    char *second = memory_format("%s/app:2", world->host);

    image_world_pulls(world, "app:1");
    serve_second(world);
    image_world_pulls(world, "app:2");
    sweeps(world, second, 0, 1);
    holds(world, 2, 1, 1);
    sweeps(world, first, 0, 1);
    holds(world, 0, 0, 0);
    refuses(world, first, ERROR_NOT_FOUND);
    refuses(world, "sha256:zz", ERROR_NOT_FOUND);
    free(first);
    free(second);
}

static void one_of_two_names_goes_and_the_image_stays(void **state)
{
    struct image_world *world = *state;
    char *name = memory_format("%s/app:latest", world->host);

    image_world_pulls(world, "app:1");
    image_world_pulls(world, "app");
    holds(world, 2, 1, 2);
    sweeps(world, name, 0, 1);
    holds(world, 2, 1, 1);
    image_world_pulls(world, "app");
    sweeps(world, world->image.manifest_digest.text, 0, 2);
    holds(world, 0, 0, 0);
    free(name);
}

static void nothing_goes_when_it_is_not_known_what_is_used(void **state)
{
    struct image_world *world = *state;
    struct sweeper_waiter waiter;

    image_world_pulls(world, "app:1");
    used_fails = true;
    waiter = sweep(world, NULL, 0);
    assert_int_equal(waiter.why.code, ERROR_INTERNAL);
    holds(world, 2, 1, 1);
}

/* ---- by age -------------------------------------------------------------- */

static void set_age(const struct image_world *world, const char *folder,
                    const char *name, time_t seconds)
{
    char *path = memory_format("%s/%s/%s", world->store_folder, folder, name);
    struct timespec then = {(time_t)(clock_wall_ms() / 1000) - seconds, 0};
    const struct timespec times[] = {then, then};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

static void image_is_old(const struct image_world *world, time_t seconds)
{
    char *name =
        memory_format("%s.pb", digest_hex(&world->image.manifest_digest));

    set_age(world, "images/sha256", name, seconds);
    free(name);
}

static void the_old_go_by_their_last_use(void **state)
{
    struct image_world *world = *state;

    image_world_pulls(world, "app:1");
    image_is_old(world, 100);
    sweeps(world, NULL, 101000, 0);
    image_world_pulls(world, "app:1"); /* it is used again */
    sweeps(world, NULL, 50000, 0);
    image_is_old(world, 100);
    sweeps(world, NULL, 100000, 1);
    holds(world, 0, 0, 0);
}

/* A running pod's image does not age; from when it ended it does. */
static void a_pods_image_is_young(void **state)
{
    struct image_world *world = *state;
    struct image_waiter waiter;

    image_world_pull(world, &waiter, "app:1");
    use(&waiter);
    image_waiter_fini(&waiter);
    image_is_old(world, 100);
    sweeps(world, NULL, 100000, 0);
    used_count = 0;
    sweeps(world, NULL, 100000, 0);
    holds(world, 2, 1, 1);
}

/* Of a pull that failed after its first layer. */
static void layers_of_no_image_go_when_they_are_old(void **state)
{
    struct image_world *world = *state;
    const struct test_image *image = &world->image;

    image->blobs[0][image->lengths[0] / 2] ^= 1;
    image_world_refuses(world, "app:1", ERROR_DATA_LOSS, "layer");
    if (image_world_count(world, "layers/sha256") == 0)
        return; /* the other one was not done yet */
    sweeps(world, NULL, 100000, 0);
    holds(world, 1, 0, 0);
    set_age(world, "implied", digest_hex(&image->diff_ids[1]), 100);
    sweeps(world, NULL, 100000, 0);
    holds(world, 0, 0, 0);
}

/* ---- by need ------------------------------------------------------------- */

static const struct {
    uint64_t size, available, excess;
} disks[] = {
    {1000, 1000, 0}, {1000, 150, 0}, {1000, 149, 51},
    {1000, 0, 200},  {0, 0, 0},      {UINT64_MAX, UINT64_MAX, 0},
    {99, 0, 99},
};

static void excess_is_from_high_to_low(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(disks); i++)
        assert_int_equal(sweep_excess(disks[i].size, disks[i].available),
                         disks[i].excess);
}

/* The store on a file system of its own; false: this machine has none. */
static bool on_a_small_disk(struct image_world *world, const char *size)
{
    image_world_close_store(world);
    if (mount("small", world->store_folder, "tmpfs", 0, size) != 0)
        return false;
    image_world_open_store(world);
    return true;
}

static void leave_the_disk(struct image_world *world)
{
    image_world_close_store(world);
    assert_int_equal(umount(world->store_folder), 0);
}

/* Serve app:2: no layer of app:1's, and as large. */
static void serve_another(struct image_world *world)
{
    struct fake_route route;

    test_image_free(&world->image);
    test_image_add_file_layer(&world->image, "other", 701);
    test_image_seal(&world->image);
    image_world_serve(world);
    route = image_manifest_route("2", MANIFEST_TYPE, world->image.manifest);
    fake_registry_serve(&world->registry, &route);
}

/* A pull that found no room makes some for the next one. */
static void a_full_disk_makes_room(void **state)
{
    struct image_world *world = *state;

    if (!on_a_small_disk(world, "size=1200k"))
        skip();
    image_world_pulls(world, "app:1");
    serve_another(world);
    image_world_refuses(world, "app:2", ERROR_RESOURCE_EXHAUSTED,
                        "No space left");
    holds(world, 0, 0, 0);
    image_world_pulls(world, "app:2");
    holds(world, 1, 1, 1);
    leave_the_disk(world);
}

/* Somebody else's file makes the disk so full. */
static void fill(const struct image_world *world, unsigned percent)
{
    char *path = memory_format("%s/ballast", world->store_folder);
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct statvfs disk;
    struct stat file;
    uint64_t others;

    free(path);
    assert_int_equal(fstatvfs(fd, &disk), 0);
    assert_int_equal(fstat(fd, &file), 0);
    others = (disk.f_blocks - disk.f_bavail) * disk.f_frsize -
             (uint64_t)file.st_blocks * 512;
    assert_int_equal(
        posix_fallocate(
            fd, 0,
            (off_t)(disk.f_blocks * disk.f_frsize / 100 * percent - others)),
        0);
}

/* As from time to time: so many images go, by need alone. */
static void is_pressed(struct image_world *world, size_t removed)
{
    struct sweeper_waiter waiter = {
        .sweep = {.sweep = {.unused_ms = UINT64_MAX, .pressure = true},
                  .done = waiter_on_swept}};

    image_sweep_start(world->store, &waiter.sweep);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(waiter.why.code, 0);
    assert_int_equal(waiter.sweep.sweep.removed_count, removed);
    sweep_fini(&waiter.sweep.sweep);
}

/* No more than is needed, and nothing that a pod uses. */
static void a_crowded_disk_loses_the_longest_unused(void **state)
{
    struct image_world *world = *state;
    struct image_waiter waiter;

    if (!on_a_small_disk(world, "size=4m"))
        skip();
    image_world_pulls(world, "app:1");
    image_is_old(world, 100);
    serve_another(world);
    image_world_pulls(world, "app:2");
    fill(world, SWEEP_HIGH_PERCENT - 1);
    is_pressed(world, 0);
    holds(world, 3, 2, 2);
    fill(world, SWEEP_HIGH_PERCENT + 1);
    is_pressed(world, 1);
    holds(world, 1, 1, 1);
    image_world_pull(world, &waiter, "app:2");
    assert_int_equal(
        fake_registry_count(&world->registry, world->image.digests[0].text),
        1); /* it was there */
    use(&waiter);
    image_waiter_fini(&waiter);
    fill(world, SWEEP_HIGH_PERCENT + 5);
    is_pressed(world, 0);
    used_count = 0;
    is_pressed(world, 1);
    holds(world, 0, 0, 0);
    leave_the_disk(world);
}

/* ---- beside pulls -------------------------------------------------------- */

/* The layer that is there is used by a pull that waits for another one. */
static void what_a_pull_under_way_uses_stays(void **state)
{
    struct image_world *world = *state;
    struct sweeper_waiter waiter = {.sweep = {.done = waiter_on_swept}};
    struct fake_route route;
    struct image_waiter pull;
    char *name = memory_format("%s/app:2", world->host);

    image_world_pulls(world, "app:1");
    serve_second(world);
    route = image_layer_route(world, 2);
    route.cut_times = 1;
    route.cut_bytes = 100;
    route.stalls = true;
    fake_registry_serve(&world->registry, &route);
    image_waiter_start(world, &pull, name);
    while (fake_registry_count(&world->registry,
                               world->image.digests[2].text) == 0)
        uv_run(&world->loop, UV_RUN_NOWAIT);
    image_sweep_start(world->store, &waiter.sweep);
    while (!waiter.done)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_int_equal(waiter.why.code, 0);
    assert_int_equal(waiter.sweep.sweep.removed_count, 1);
    assert_int_equal(waiter.sweep.sweep.freed_bytes, 0);
    sweep_fini(&waiter.sweep.sweep);
    assert_int_equal(image_world_count(world, "layers/sha256"), 2);
    image_pull_cancel(&pull.pull);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(pull.why.code, ERROR_CANCELLED);
    free(name);
}

/* What a pull is told to be here is here, also when it comes while the store is
 * swept. */
static void pulls_look_after_a_sweep(void **state)
{
    struct image_world *world = *state;
    char *name = memory_format("%s/app:1", world->host);

    for (int i = 0; i < 20; i++) {
        struct sweeper_waiter waiter = {.sweep = {.done = waiter_on_swept}};
        struct image_waiter pull;

        image_world_pulls(world, "app:1");
        image_sweep_start(world->store, &waiter.sweep);
        image_waiter_start(world, &pull, name);
        uv_run(&world->loop, UV_RUN_DEFAULT);
        assert_true(waiter.done);
        assert_int_equal(waiter.sweep.sweep.removed_count, 1);
        assert_int_equal(pull.why.code, 0);
        holds(world, 2, 1, 1);
        sweep_fini(&waiter.sweep.sweep);
        image_waiter_fini(&pull);
    }
    free(name);
}

/* Pulls that come while the store is to be swept find it as it is then. */
static void pulls_wait_for_a_sweep(void **state)
{
    struct image_world *world = *state;
    struct sweeper_waiter sweeps[2];
    struct image_waiter pulls[4];
    char *name = memory_format("%s/app:1", world->host);

    image_world_pulls(world, "app:1");
    for (int i = 0; i < 4; i++) {
        image_waiter_start(world, &pulls[i], name);
        if (i < 2) {
            sweeps[i] =
                (struct sweeper_waiter){.sweep = {.done = waiter_on_swept}};
            image_sweep_start(world->store, &sweeps[i].sweep);
        }
    }
    uv_run(&world->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 2; i++) {
        assert_true(sweeps[i].done);
        sweep_fini(&sweeps[i].sweep.sweep);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pulls[i].why.code, 0);
        assert_int_equal(pulls[i].done_count, 1);
        image_waiter_fini(&pulls[i]);
    }
    free(name);
}

static void closing_the_store_ends_its_sweeps(void **state)
{
    struct image_world *world = *state;
    struct sweeper_waiter sweeps[2];
    struct image_waiter pull;
    char *name = memory_format("%s/app:1", world->host);

    for (int i = 0; i < 2; i++) {
        sweeps[i] = (struct sweeper_waiter){.sweep = {.done = waiter_on_swept}};
        image_sweep_start(world->store, &sweeps[i].sweep);
    }
    image_waiter_start(world, &pull, name);
    image_world_close_store(world);
    assert_int_equal(pull.done_count, 1);
    assert_true(sweeps[0].done && sweeps[1].done);
    free(name);
}

/* ---- listing ------------------------------------------------------------- */

struct lister {
    struct image_list list;
    int done_count;
};

/* app:1 and app:2, the second of which a pod uses. */
static void lister_on_done(struct image_list *list,
                           const Kontor__V1__ListImagesResponse *images,
                           const struct error *why)
{
    struct lister *lister = container_of(list, struct lister, list);
    const Kontor__V1__ImageInfo *const *at;

    lister->done_count++;
    if (why->code)
        fail_msg("%s", why->message);
    assert_int_equal(images->n_images, 2);
    at = (const Kontor__V1__ImageInfo *const *)images->images;
    assert_non_null(strstr(at[0]->references[0], "/app:1"));
    assert_non_null(strstr(at[1]->references[0], "/app:2"));
    assert_false(at[0]->in_use);
    assert_true(at[1]->in_use);
    assert_int_equal(at[0]->layers, 2);
    assert_int_equal(at[1]->layers, 3);
    assert_int_equal(at[0]->own_bytes, 0);
    assert_true(at[1]->own_bytes >= 3 * 1024);
    assert_int_equal(at[0]->bytes + at[1]->own_bytes, at[1]->bytes);
    assert_int_equal(images->layers, 3);
    assert_int_equal(images->layer_bytes, at[1]->bytes);
    assert_int_equal(images->unused_bytes, 0);
    assert_true(images->disk_bytes > images->disk_free_bytes);
}

static void shared_layers_are_counted_once(void **state)
{
    struct image_world *world = *state;
    struct lister lister = {.list = {.done = lister_on_done}};
    struct image_waiter waiter;

    image_world_pulls(world, "app:1");
    serve_second(world);
    image_world_pull(world, &waiter, "app:2");
    use(&waiter);
    image_waiter_fini(&waiter);
    image_list_start(world->store, &lister.list);
    assert_int_equal(lister.done_count, 0);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(lister.done_count, 1);
}

#define SWEEP_TEST(function) \
    cmocka_unit_test_setup_teardown(function, open_world, image_world_close)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        SWEEP_TEST(what_is_unused_goes_and_comes_again),
        SWEEP_TEST(what_a_pod_uses_stays),
        SWEEP_TEST(shared_layers_go_with_the_last_image),
        SWEEP_TEST(one_of_two_names_goes_and_the_image_stays),
        SWEEP_TEST(nothing_goes_when_it_is_not_known_what_is_used),
        SWEEP_TEST(the_old_go_by_their_last_use),
        SWEEP_TEST(a_pods_image_is_young),
        SWEEP_TEST(layers_of_no_image_go_when_they_are_old),
        cmocka_unit_test(excess_is_from_high_to_low),
        SWEEP_TEST(a_full_disk_makes_room),
        SWEEP_TEST(a_crowded_disk_loses_the_longest_unused),
        SWEEP_TEST(what_a_pull_under_way_uses_stays),
        SWEEP_TEST(pulls_look_after_a_sweep),
        SWEEP_TEST(pulls_wait_for_a_sweep),
        SWEEP_TEST(closing_the_store_ends_its_sweeps),
        SWEEP_TEST(shared_layers_are_counted_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    return run_all();
}
