/* service_methods.h - the methods of the Cluster service, one file a theme. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "master/master.h"

void service_schedule(struct call *call, const ProtobufCMessage *request);
void service_scale(struct call *call, const ProtobufCMessage *request);
void service_stop(struct call *call, const ProtobufCMessage *request);
void service_cordon(struct call *call, const ProtobufCMessage *request);
void service_label_node(struct call *call, const ProtobufCMessage *request);
void service_register_node(struct call *call, const ProtobufCMessage *request);
void service_get_pod(struct call *call, const ProtobufCMessage *request);
void service_list_pods(struct call *call, const ProtobufCMessage *request);
void service_get_node(struct call *call, const ProtobufCMessage *request);
void service_list_nodes(struct call *call, const ProtobufCMessage *request);
void service_plan(struct call *call, const ProtobufCMessage *request);
void service_drain(struct call *call, const ProtobufCMessage *request);
void service_rebalance(struct call *call, const ProtobufCMessage *request);
void service_why(struct call *call, const ProtobufCMessage *request);
void service_watch(struct call *call, const ProtobufCMessage *request);
void service_logs(struct call *call, const ProtobufCMessage *request);
void service_ask_node(struct call *call, const ProtobufCMessage *request);
void service_exec(struct call *call);
void service_masters(struct call *call, const ProtobufCMessage *request);
void service_add_master(struct call *call, const ProtobufCMessage *request);
void service_remove_master(struct call *call, const ProtobufCMessage *request);
void service_transfer_leadership(struct call *call,
                                 const ProtobufCMessage *request);
void service_backup(struct call *call, const ProtobufCMessage *request);

/* What Rebalance would do. */
struct plan;
void service_plan_rebalance(struct plan *plan,
                            const Kontor__V1__RebalanceRequest *request);

/* How many pods Schedule is asked for. INVALID_ARGUMENT: too many. */
uint32_t service_pods_asked(const Kontor__V1__ScheduleRequest *request);
int service_check_replicas(const Kontor__V1__ScheduleRequest *request,
                           struct error *why);

/* Of a checked spec. FAILED_PRECONDITION: a gang that would not fit if it had
 * all nodes to itself never will. */
int service_check_gang(const struct master *master,
                       const Kontor__V1__PodSpec *spec, uint32_t pods,
                       struct error *why);

/* Place what has arrived, together, for some ms; when we lead no longer it goes
 * to who does. True: there is more. */
bool service_place_step(struct master *master);

/* Judge the changes of the masters that a quorum has let through. */
void service_members_step(struct master *master);

/* Who leads may have changed: answer those who asked for it. */
void service_transfers_step(struct master *master);
