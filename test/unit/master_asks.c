#include "master_asks.h"

#include "base/memory.h"
#include "master/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct channel *admin;

int set_up_one(void **state)
{
    (void)state;
    world_start(1, 1);
    admin = world_channel(0, "admin");
    return 0;
}

/* ---- requests in one line ---- */

void ask_schedule(struct world_asked *asked, struct channel *channel,
                  struct ask ask)
{
    Kontor__V1__ScheduleRequest request = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    CLEANUP(free_pointer) char *app = memory_string(ask.app ? ask.app : "");
    CLEANUP(free_pointer) char *with = memory_string(ask.with ? ask.with : "");

    container.image = (char[]){"registry.local/web:1"};
    resources.cpu_milli = ask.cpu_milli;
    resources.memory_bytes = ask.memory_bytes;
    spec.containers = containers;
    spec.n_containers = 1;
    spec.resources = &resources;
    spec.app = app;
    spec.with = &with;
    spec.n_with = ask.with != NULL;
    spec.priority = ask.priority;
    spec.userns = ask.userns;
    id.low = ask.id;
    request.request_id = &id;
    request.spec = &spec;
    request.replicas = ask.replicas;
    request.gang = ask.gang;
    world_ask(asked, channel, "Schedule", &request.base);
}

Kontor__V1__ScheduleResponse *schedule_pod(struct channel *channel,
                                           struct ask ask, struct error *why)
{
    struct world_asked asked;

    ask_schedule(&asked, channel, ask);
    world_until(world_is_answered, &asked, "Schedule");
    *why = asked.why;
    return (void *)asked.answer;
}

uint64_t expect_scheduled(struct channel *channel, struct ask ask,
                          const char *name_and_node)
{
    struct error why;
    Kontor__V1__ScheduleResponse *response = schedule_pod(channel, ask, &why);
    char text[80];
    uint64_t index;

    if (!response) {
        fail_msg("%s", why.message);
        return 0;
    }
    snprintf(text, sizeof text, "%s %s", response->pod->name,
             response->pod->node[0] ? response->pod->node : "-");
    assert_string_equal(text, name_and_node);
    assert_true(response->term > 0);
    assert_int_equal(response->index, response->pod->changed_index);
    index = response->index;
    kontor__v1__schedule_response__free_unpacked(response, NULL);
    return index;
}

void schedule_many(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct error why;
        Kontor__V1__ScheduleResponse *response =
            schedule_pod(admin, (struct ask){0}, &why);

        assert_non_null(response);
        kontor__v1__schedule_response__free_unpacked(response, NULL);
    }
}

Kontor__V1__StopResponse *try_stop(const char *pod, struct error *why)
{
    Kontor__V1__StopRequest request = KONTOR__V1__STOP_REQUEST__INIT;
    CLEANUP(free_pointer) char *name = memory_string(pod);

    request.pod = name;
    return world_call(admin, "Stop", &request.base, why);
}

void stop_pod(const char *pod)
{
    struct error why;
    Kontor__V1__StopResponse *response = try_stop(pod, &why);

    if (!response)
        fail_msg("%s", why.message);
    else
        assert_true(response->pod->stop_requested);
    kontor__v1__stop_response__free_unpacked(response, NULL);
}

void expect_refused(struct error why, enum error_code code, const char *part)
{
    assert_int_equal(why.code, code);
    if (!strstr(why.message, part))
        fail_msg("\"%s\" does not say \"%s\"", why.message, part);
}

/* ---- what is waited for ---- */

struct expected_pod {
    const char *name;
    int32_t phase;
};

/* In the leader's state. */
static bool pod_is(void *data)
{
    const struct expected_pod *expected = data;
    const struct master *leader = world.masters[world_leader()].master;
    const struct pod *pod =
        pods_find_name(&leader->cluster->pods, expected->name);

    return pod && pod->facts.phase == expected->phase;
}

void until_pod(const char *name, int32_t phase)
{
    struct expected_pod expected = {name, phase};

    world_until(pod_is, &expected, name);
}

struct expected_count {
    const struct fake_node *node;
    size_t count;
};

static bool node_has(void *data)
{
    const struct expected_count *expected = data;

    return expected->node->pod_count == expected->count;
}

void until_node_has(const struct fake_node *node, size_t count)
{
    struct expected_count expected = {node, count};

    world_until(node_has, &expected, "a node's pods");
}

struct fake_node *node_up(unsigned i)
{
    struct fake_node *node = world_node_start(i);

    world_node_register(i, 0);
    return node;
}

struct fake_node *node_with_a_pod(void)
{
    struct fake_node *node = node_up(0);

    expect_scheduled(admin, (struct ask){0}, "web-1 n1");
    until_node_has(node, 1);
    return node;
}
