#include "master_world.h"

#include "base/fd.h"
#include "base/memory.h"
#include "master/service.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PATIENCE_MS = 10000, HEARTBEAT_MS = 30 };

struct world world;

/* ---- the loop ---- */

static void on_patience_end(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void world_until(bool (*holds)(void *data), void *data, const char *what)
{
    uv_timer_t *patience = memory_new(sizeof *patience);
    bool over = false;

    uv_timer_init(&world.loop, patience);
    patience->data = &over;
    uv_timer_start(patience, on_patience_end, PATIENCE_MS, 0);
    while (!holds(data) && !over)
        uv_run(&world.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)patience, (uv_close_cb)free);
    if (over)
        fail_msg("waited in vain for %s", what);
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static bool is_set(void *data)
{
    return *(bool *)data;
}

static struct tls_context *identity_new(const char *name)
{
    struct tls_context *tls = NULL;
    struct error why;

    if (tls_context_new(&tls, world.pki.folder, name, &why) != 0)
        fail_msg("%s", why.message);
    return tls;
}

/* ---- nodes ---- */

struct fake_node *world_node_start(unsigned i)
{
    struct world_node *node = &world.nodes[i];
    struct error why;

    if (!node->tls) {
        snprintf(node->name, sizeof node->name, "n%u", i + 1);
        free_address(node->address);
        pki_fixture_issue(&world.pki, node->name, "node");
        node->tls = identity_new(node->name);
        node->fake.loop = &world.loop;
        node->fake.heartbeat_ms = HEARTBEAT_MS;
    }
    if (server_open(&node->fake.server, &world.loop, node->address, node->tls,
                    &(struct server_limits){0}, &why) != 0)
        fail_msg("%s", why.message);
    server_add(node->fake.server, &fake_node_service, &node->fake);
    return &node->fake;
}

void world_node_stop(unsigned i)
{
    bool closed = false;

    server_close(world.nodes[i].fake.server, 0, on_closed, &closed);
    world_until(is_set, &closed, "a node to close");
    world.nodes[i].fake.server = NULL;
}

void world_node_register(unsigned i, unsigned master)
{
    struct world_node *node = &world.nodes[i];
    Kontor__V1__RegisterNodeRequest request =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;
    Kontor__V1__Resources capacity = KONTOR__V1__RESOURCES__INIT;
    ProtobufCMessage *answer;
    struct error why;

    capacity.cpu_milli = 4000;
    capacity.memory_bytes = UINT64_C(4) << 30;
    request.name = node->name;
    request.address = node->address;
    request.capacity = &capacity;
    request.routes_apart = true;
    answer = world_call(world_channel(master, node->name), "RegisterNode",
                        &request.base, &why);
    if (!answer)
        fail_msg("%s", why.message);
    protobuf_c_message_free_unpacked(answer, NULL);
}

/* ---- masters ---- */

static void make_master(unsigned i)
{
    struct world_master *master = &world.masters[i];

    snprintf(master->name, sizeof master->name, "m%u", i + 1);
    free_address(master->address);
    snprintf(master->folder, sizeof master->folder, "%s/m%u", world.folder,
             i + 1);
    pki_fixture_issue(&world.pki, master->name, "master");
    master->tls = identity_new(master->name);
    world.members[i] = (struct replica_member){
        .name = master->name,
        .address = master->address,
    };
}

void world_master_start(unsigned i)
{
    struct world_master *master = &world.masters[i];
    struct master_config config = {
        .name = master->name,
        .listen = master->address,
        .folder = master->folder,
        .members = world.members,
        .member_count = world.master_count,
        .tls = master->tls,
        .election_timeout_ms = 150,
        .heartbeat_ms = 50,
        .suspect_after_ms = 500,
        .lost_after_ms = WORLD_LOST_AFTER_MS,
    };
    struct error why;

    if (pod_network_parse("10.42.0.0/16", &config.pod_network, &why) != 0 ||
        folder_make(master->folder, 0700, &why) != 0 ||
        master_open(&master->master, &world.loop, &config, &why) != 0)
        fail_msg("%s", why.message);
}

static bool someone_leads(void *data)
{
    (void)data;
    for (unsigned i = 0; i < world.master_count; i++) {
        if (world.masters[i].master && master_leads(world.masters[i].master))
            return true;
    }
    return false;
}

unsigned world_leader(void)
{
    unsigned i = 0;

    world_until(someone_leads, NULL, "a leader");
    while (!world.masters[i].master || !master_leads(world.masters[i].master))
        i++;
    return i;
}

static bool all_have_the_format(void *data)
{
    (void)data;
    for (unsigned i = 0; i < world.master_count; i++)
        if (world.masters[i].master->cluster->format < cluster_format_known())
            return false;
    return true;
}

void world_start(unsigned members, unsigned running)
{
    memset(&world, 0, sizeof world);
    uv_loop_init(&world.loop);
    pki_fixture_init(&world.pki);
    pki_fixture_issue(&world.pki, "admin", "admin");
    pki_fixture_issue(&world.pki, "viewer", "viewer");
    snprintf(world.folder, sizeof world.folder, "/tmp/kontor-world-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    world.master_count = members;
    for (unsigned i = 0; i < members; i++)
        make_master(i);
    for (unsigned i = 0; i < running; i++)
        world_master_start(i);
    if (running * 2 > members)
        world_leader();
    if (running == members)
        world_until(all_have_the_format, NULL, "the newest format");
}

/* ---- the end ---- */

static void close_channel(unsigned i)
{
    bool closed = false;

    channel_close(world.channels[i], on_closed, &closed);
    world_until(is_set, &closed, "a channel to close");
    tls_context_free(world.client_tls[i]);
}

void world_master_stop(unsigned i)
{
    bool closed = false;

    master_close(world.masters[i].master, 0, on_closed, &closed);
    world_until(is_set, &closed, "a master to close");
    world.masters[i].master = NULL;
}

int world_tear_down(void **state)
{
    struct error why;

    (void)state;
    for (unsigned i = 0; i < world.channel_count; i++)
        close_channel(i);
    for (unsigned i = 0; i < world.master_count; i++)
        if (world.masters[i].master)
            world_master_stop(i);
    for (unsigned i = 0; i < WORLD_NODES_MAX; i++) {
        if (world.nodes[i].fake.server)
            world_node_stop(i);
        tls_context_free(world.nodes[i].tls);
    }
    for (unsigned i = 0; i < world.master_count; i++)
        tls_context_free(world.masters[i].tls);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    pki_fixture_fini(&world.pki);
    return uv_loop_close(&world.loop) != 0 ||
           folder_remove(AT_FDCWD, world.folder, &why) != 0;
}

/* ---- clients ---- */

struct channel *world_channel(unsigned i, const char *identity)
{
    unsigned at = world.channel_count;
    struct channel_config config = {.address = world.masters[i].address,
                                    .role = RPC_ROLE_MASTER};

    assert_true(at < WORLD_CHANNELS_MAX);
    config.context = world.client_tls[at] = identity_new(identity);
    world.channels[at] = channel_open(&world.loop, &config);
    world.channel_count++;
    return world.channels[at];
}

static void on_answer(struct call *call, const ProtobufCMessage *message)
{
    struct world_asked *asked = call_data(call);
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = memory_new(length + 1);

    if (asked->answer)
        protobuf_c_message_free_unpacked(asked->answer, NULL);
    protobuf_c_message_pack(message, bytes);
    asked->answer =
        protobuf_c_message_unpack(message->descriptor, NULL, length, bytes);
    free(bytes);
}

static void on_ended(struct call *call, const struct error *why)
{
    struct world_asked *asked = call_data(call);

    asked->why = *why;
    asked->ended = true;
}

void world_ask(struct world_asked *asked, struct channel *channel,
               const char *method, const ProtobufCMessage *request)
{
    static const struct call_events events = {.message = on_answer,
                                              .ended = on_ended};
    const struct method *row = cluster_service.methods;

    while (strcmp(row->name, method) != 0)
        row++;
    *asked = (struct world_asked){.answer = NULL};
    snprintf(asked->path, sizeof asked->path, "/kontor.v1.Cluster/%s", method);
    channel_call_unary(channel,
                       &(struct call_request){.path = asked->path,
                                              .response = row->response,
                                              .timeout_ms = PATIENCE_MS / 2,
                                              .events = &events,
                                              .data = asked},
                       request);
}

bool world_is_answered(void *asked)
{
    return ((struct world_asked *)asked)->ended;
}

void *world_call(struct channel *channel, const char *method,
                 const ProtobufCMessage *request, struct error *why)
{
    struct world_asked asked;

    world_ask(&asked, channel, method, request);
    world_until(world_is_answered, &asked, method);
    *why = asked.why;
    return asked.answer;
}
