/* Whole pulls from a registry that is broken, busy or wants credentials. */
#include "base/clock.h"
#include "image_world.h"
#include "node/image/auth.h"
#include "node/image/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- broken connections -------------------------------------------------- */

static void a_broken_download_is_resumed(void **state)
{
    struct image_world *world = *state;
    struct fake_route route = image_layer_route(world, 0);

    route.cut_times = 2;
    route.cut_bytes = 100000;
    fake_registry_serve(&world->registry, &route);
    image_world_pulls(world, "app:1");
    assert_int_equal(fake_registry_count(&world->registry, "range=bytes="), 2);
    assert_int_equal(
        fake_registry_count(&world->registry, "range=bytes=200000-"), 1);
}

static void a_server_without_ranges_sends_it_again(void **state)
{
    struct image_world *world = *state;
    struct fake_route route = image_layer_route(world, 0);

    route.cut_times = 1;
    route.cut_bytes = 100000;
    route.no_ranges = true;
    fake_registry_serve(&world->registry, &route);
    image_world_pulls(world, "app:1");
}

static void a_download_that_gets_nowhere_is_given_up(void **state)
{
    struct image_world *world = *state;
    struct fake_route route = image_layer_route(world, 0);

    route.cut_times = 1000;
    route.cut_bytes = 0;
    fake_registry_serve(&world->registry, &route);
    image_world_refuses(world, "app:1", ERROR_UNAVAILABLE,
                        world->image.digests[0].text);
    assert_int_equal(
        fake_registry_count(&world->registry, world->image.digests[0].text), 5);
}

static void a_busy_registry_is_asked_again(void **state)
{
    struct image_world *world = *state;
    struct fake_route route =
        image_manifest_route("1", MANIFEST_TYPE, world->image.manifest);

    route.fail_times = 2;
    fake_registry_serve(&world->registry, &route);
    route = image_layer_route(world, 1);
    route.fail_times = 1;
    fake_registry_serve(&world->registry, &route);
    image_world_pulls(world, "app:1");
}

/* Both a manifest and a layer; the pause is theirs, not ours. */
static void a_registry_is_left_alone_for_as_long_as_it_asks(void **state)
{
    struct image_world *world = *state;
    struct fake_route route =
        image_manifest_route("1", MANIFEST_TYPE, world->image.manifest);
    uint64_t asked_ms = clock_monotonic_ms();

    route.fail_times = 1;
    route.fail_status = 429;
    route.fail_header = "Retry-After: 1\r\n";
    fake_registry_serve(&world->registry, &route);
    route = image_layer_route(world, 1);
    route.fail_times = 1;
    route.fail_status = 429;
    route.fail_header = "Retry-After: 1\r\n";
    fake_registry_serve(&world->registry, &route);
    image_world_pulls(world, "app:1");
    assert_in_range(clock_monotonic_ms() - asked_ms, 2000, 20000);
}

static void a_registry_that_asks_for_too_long_is_told_of(void **state)
{
    struct image_world *world = *state;
    struct fake_route route =
        image_manifest_route("1", MANIFEST_TYPE, world->image.manifest);

    route.fail_times = 1;
    route.fail_status = 429;
    route.fail_header = "Retry-After: 3600\r\n";
    fake_registry_serve(&world->registry, &route);
    image_world_refuses(world, "app:1", ERROR_UNAVAILABLE,
                        "to be asked again in 3600 s");
    assert_int_equal(fake_registry_count(&world->registry, "/manifests/"), 1);
}

/* ---- credentials --------------------------------------------------------- */

static void write_credentials(const struct image_world *world)
{
    char *basic = auth_basic("me:secret");
    char *json = memory_format("{\"auths\":{\"%s\":{\"auth\":\"%s\"}}}",
                               world->host, basic + strlen("Basic "));

    image_world_put_file(world->folder, "auth.json", json, strlen(json));
    free(json);
    free(basic);
}

/* Everything of the image needs `authorization`. */
static void protect(struct image_world *world, const char *authorization,
                    const char *challenge)
{
    struct fake_registry *registry = &world->registry;

    for (size_t i = 0; i < registry->route_count; i++) {
        registry->routes[i].authorization = authorization;
        registry->routes[i].challenge = challenge;
    }
}

static void a_token_is_fetched_and_shown(void **state)
{
    struct image_world *world = *state;
    char *challenge = memory_format(
        "Bearer realm=\"http://%s/token\",service=\"reg\"", world->host);
    const char *answer = "{\"token\":\"abc\"}";
    struct fake_route token = {.path = "/token?service=reg&scope=repository%3A"
                                       "app%3Apull",
                               .body = (const uint8_t *)answer,
                               .length = strlen(answer)};

    protect(world, "Bearer abc", challenge);
    fake_registry_serve(&world->registry, &token);
    image_world_pulls(world, "app:1");
    assert_int_equal(fake_registry_count(&world->registry, "/token"), 1);
    assert_int_equal(fake_registry_count(&world->registry, "auth= "), 2);
    free(challenge);
}

/* With an identity token of the user's there are no other credentials. */
static void an_identity_token_is_posted_for_another(void **state)
{
    struct image_world *world = *state;
    const char *answer = "{\"access_token\":\"abc\"}";
    struct fake_route token = {.path = "/token",
                               .body = (const uint8_t *)answer,
                               .length = strlen(answer)};
    char *challenge = memory_format(
        "Bearer realm=\"http://%s/token\",service=\"reg\"", world->host);
    char *json = memory_format("{\"auths\":{\"%s\":{\"auth\":\"MDA6\","
                               "\"identitytoken\":\"mine\"}}}",
                               world->host);

    image_world_put_file(world->folder, "auth.json", json, strlen(json));
    protect(world, "Bearer abc", challenge);
    image_world_refuses(world, "app:1", ERROR_UNAUTHENTICATED,
                        "takes no identity tokens");
    token.status = 307; /* nobody else gets it */
    token.header = "Location: /v2/other\r\n";
    fake_registry_serve(&world->registry, &token);
    image_world_refuses(world, "app:1", ERROR_FAILED_PRECONDITION, "307");
    assert_int_equal(fake_registry_count(&world->registry, "/v2/other"), 0);
    token.status = 200;
    token.header = NULL;
    fake_registry_serve(&world->registry, &token);
    image_world_pulls(world, "app:1");
    assert_int_equal(
        fake_registry_count(&world->registry,
                            "/token auth= range= form=grant_type=refresh_token&"
                            "client_id=kontor&service=reg&scope=repository%3A"
                            "app%3Apull&refresh_token=mine"),
        3);
    free(json);
    free(challenge);
}

static void basic_credentials_are_shown_when_asked_for(void **state)
{
    struct image_world *world = *state;
    char *basic = auth_basic("me:secret");

    protect(world, basic, "Basic realm=\"r\"");
    image_world_refuses(world, "app:1", ERROR_UNAUTHENTICATED, "credentials");
    write_credentials(world);
    image_world_pulls(world, "app:1");
    free(basic);
}

static void wrong_credentials_are_not_tried_forever(void **state)
{
    struct image_world *world = *state;

    write_credentials(world);
    protect(world, "Basic other", "Basic realm=\"r\"");
    image_world_refuses(world, "app:1", ERROR_UNAUTHENTICATED, "401");
    assert_int_equal(fake_registry_count(&world->registry, "/manifests/"), 2);
}

static void credentials_stay_with_their_registry(void **state)
{
    struct image_world *world = *state;
    struct fake_registry *other = memory_new(sizeof *other);
    struct fake_route route = image_layer_route(world, 0);
    char *basic = auth_basic("me:secret");
    char *header;

    fake_registry_open(other);
    header =
        memory_format("Location: http://127.0.0.1:%d/cdn\r\n", other->port);
    route.status = 307;
    route.header = header;
    fake_registry_serve(&world->registry, &route);
    write_credentials(world);
    protect(world, basic, "Basic realm=\"r\"");
    route = image_layer_route(world, 0);
    snprintf(route.path, sizeof route.path, "/cdn");
    fake_registry_serve(other, &route);
    image_world_pulls(world, "app:1");
    assert_int_equal(fake_registry_count(other, "/cdn auth= "), 1);
    assert_int_equal(fake_registry_count(other, "auth="), 1);
    fake_registry_close(other);
    free(other);
    free(header);
    free(basic);
}

/* The token that a request carries may be replaced while it is under way. */
static void a_redirected_request_shows_what_it_was_given(void **state)
{
    struct image_world *world = *state;
    struct fake_route route = {
        .path = "/from", .status = 307, .header = "Location: /to\r\n"};
    struct http http;
    char *url = memory_format("http://%s/from", world->host);
    char authorization[] = "Bearer first";
    struct http_request request = {.url = url,
                                   .authorization = authorization,
                                   .allow_http = true,
                                   .body_max = 100};
    struct error why;

    fake_registry_serve(&world->registry, &route);
    route = (struct fake_route){.path = "/to"};
    fake_registry_serve(&world->registry, &route);
    assert_int_equal(http_init(&http, &why), 0);
    http_request_start(&http, &request);
    memset(authorization, '!', strlen(authorization));
    while (!request.finished)
        assert_int_equal(http_run(&http, NULL, 0, 1000, &why), 0);
    assert_int_equal(request.status, 200);
    assert_int_equal(
        fake_registry_count(&world->registry, "/to auth=Bearer first "), 1);
    http_request_fini(&request);
    http_fini(&http);
    free(url);
}

/* CVE-2020-15157: whoever a registry leads to asks for its credentials. */
static void another_host_that_asks_for_credentials_gets_none(void **state)
{
    struct image_world *world = *state;
    struct fake_registry *other = memory_new(sizeof *other);
    struct fake_route route = image_layer_route(world, 0);
    char *basic = auth_basic("me:secret");
    char *location;
    char *challenge;

    fake_registry_open(other);
    location =
        memory_format("Location: http://127.0.0.1:%d/cdn\r\n", other->port);
    challenge =
        memory_format("Bearer realm=\"http://127.0.0.1:%d/t\"", other->port);
    route.status = 307;
    route.header = location;
    fake_registry_serve(&world->registry, &route);
    write_credentials(world);
    protect(world, basic, "Basic realm=\"r\"");
    route = image_layer_route(world, 0);
    snprintf(route.path, sizeof route.path, "/cdn");
    route.authorization = "Bearer x";
    route.challenge = challenge;
    fake_registry_serve(other, &route);
    image_world_refuses(world, "app:1", ERROR_UNAUTHENTICATED, "another host");
    assert_int_equal(fake_registry_count(other, "/cdn auth= "), 1);
    assert_int_equal(fake_registry_count(other, "auth="), 1);
    fake_registry_close(other);
    free(other);
    free(location);
    free(challenge);
    free(basic);
}

static void endless_redirects_are_given_up(void **state)
{
    struct image_world *world = *state;
    struct fake_route route = image_manifest_route("1", NULL, "");

    route.status = 302;
    route.header = "Location: /v2/app/manifests/1\r\n";
    fake_registry_serve(&world->registry, &route);
    image_world_refuses(world, "app:1", ERROR_UNAVAILABLE, "redirects");
}

#define PULL_TEST(function)                                     \
    cmocka_unit_test_setup_teardown(function, image_world_open, \
                                    image_world_close)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        PULL_TEST(a_broken_download_is_resumed),
        PULL_TEST(a_server_without_ranges_sends_it_again),
        PULL_TEST(a_download_that_gets_nowhere_is_given_up),
        PULL_TEST(a_busy_registry_is_asked_again),
        PULL_TEST(a_registry_is_left_alone_for_as_long_as_it_asks),
        PULL_TEST(a_registry_that_asks_for_too_long_is_told_of),
        PULL_TEST(a_token_is_fetched_and_shown),
        PULL_TEST(an_identity_token_is_posted_for_another),
        PULL_TEST(basic_credentials_are_shown_when_asked_for),
        PULL_TEST(wrong_credentials_are_not_tried_forever),
        PULL_TEST(credentials_stay_with_their_registry),
        PULL_TEST(a_redirected_request_shows_what_it_was_given),
        PULL_TEST(another_host_that_asks_for_credentials_gets_none),
        PULL_TEST(endless_redirects_are_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    return run_all();
}
