/* cluster_apply.h - one command being applied; for cluster_*.c only. */
#pragma once

#include "kontor/v1/command.pb-c.h"
#include "master/cluster.h"

enum {
    PLACEMENTS_PER_COMMAND_MAX = 16384, /* with a gang among them */
    REPORTS_PER_COMMAND_MAX = 4096,
    MOVES_PER_COMMAND_MAX = 32768, /* 32 bytes each at most */
};

struct apply {
    struct cluster *cluster;
    uint64_t index;
    uint64_t time_ms;
    struct cluster_result *result;
};

/* The operations. Each fills result->error and subject_id. */
void apply_create_pod(struct apply *apply, const Kontor__V1__CreatePod *in);
void apply_stop_pod(struct apply *apply, const Kontor__V1__StopPod *in);
void apply_place_pods(struct apply *apply, const Kontor__V1__PlacePods *in);
void apply_report_pods(struct apply *apply, const Kontor__V1__ReportPods *in);
void apply_register_node(struct apply *apply,
                         const Kontor__V1__RegisterNode *in);
void apply_set_node_state(struct apply *apply,
                          const Kontor__V1__SetNodeState *in);
void apply_set_cordon(struct apply *apply, const Kontor__V1__SetCordon *in);
void apply_move_pods(struct apply *apply, const Kontor__V1__MovePods *in);

void apply_create_pods(struct apply *apply, const Kontor__V1__CreatePods *in);
void apply_scale_app(struct apply *apply, const Kontor__V1__ScaleApp *in);
void apply_preempt_pods(struct apply *apply, const Kontor__V1__PreemptPods *in);

/* May `count` pods of this spec be made? The first one's number, or 0 and why
 * not. `named`: refused while a pod of the app lives. */
uint32_t pods_admit(const struct pods *pods, const Kontor__V1__PodSpec *spec,
                    bool named, size_t count, struct error *why);
/* A new pod on that node, if it takes it; or pending, for that reason, and then
 * it has yet to pod_wait(). Takes the references to `spec` and `reason`. */
struct pod *pod_make(struct apply *apply, struct spec *spec, uint32_t number,
                     uint64_t node_id, struct text *reason);
/* A new pod waits if it was not placed; with those of `gang`, 0: by itself. */
void pod_wait(struct apply *apply, struct pod *pod, uint32_t gang);
void pod_stop(struct apply *apply, struct pod *pod);

/* Place a gang as the placements from the first on say, if they are all of it
 * and every node takes its share. Returns how many placements were its. */
size_t gang_place(struct apply *apply,
                  Kontor__V1__PlacePods__Placement *const *placements,
                  size_t count);
void apply_label_node(struct apply *apply, const Kontor__V1__LabelNode *in);

/* The node that a command is about, which becomes its subject. NULL: there is
 * none, and the result says so. */
struct node *apply_find_node(struct apply *apply, uint64_t id);

/* The changes a pod goes through, each with its event. */
/* The node is open and, where the spec asks for one, the one. */
bool node_takes(const struct node *node, const struct spec *spec);
/* That, and `count` pods of this spec find room. */
bool node_accepts(const struct node *node, const struct spec *spec,
                  size_t count);
bool pod_try_place(struct apply *apply, struct pod *pod, struct node *node);
/* It is pending again, for that reason, which is taken. */
void pod_unplace(struct apply *apply, struct pod *pod, struct node *node,
                 struct text *reason);
/* Its node is lost or drained, says `how`: one that was to stop has stopped,
 * one that must not run twice has failed, others are pending. */
void pod_give_up(struct apply *apply, struct pod *pod, struct node *node,
                 const char *how);
/* It counts on another node and in another generation now. */
void pod_moved(struct apply *apply, struct pod *pod, struct node *from);
/* Nothing of it is left where it was leaving. */
void pod_departed(struct apply *apply, struct pod *pod);
void pod_end(struct apply *apply, struct pod *pod, int32_t phase);

void node_cordon(struct apply *apply, struct node *node, bool cordoned);

/* Add an event; takes `message`. */
void pod_event(struct apply *apply, struct pod *pod, int32_t kind,
               struct text *message);
void node_event(struct apply *apply, const struct node *node, int32_t kind,
                struct text *message);
