/* verbs.h - the verbs by name; each is in the file of its name. */
#pragma once

#include "client/verb.h"

extern const struct verb verb_schedule;
extern const struct verb verb_get_pods;
extern const struct verb verb_get_nodes;
extern const struct verb verb_describe_pod;
extern const struct verb verb_describe_node;
extern const struct verb verb_why;
extern const struct verb verb_plan_schedule;
extern const struct verb verb_plan_drain;
extern const struct verb verb_plan_lose;
extern const struct verb verb_plan_add;
extern const struct verb verb_logs;
extern const struct verb verb_exec;
extern const struct verb verb_top_pods;
extern const struct verb verb_top_nodes;
extern const struct verb verb_events;
extern const struct verb verb_scale;
extern const struct verb verb_stop;
extern const struct verb verb_node_cordon;
extern const struct verb verb_node_uncordon;
extern const struct verb verb_node_label;
extern const struct verb verb_node_taint;
extern const struct verb verb_node_drain;
extern const struct verb verb_rebalance;
extern const struct verb verb_image_ls;
extern const struct verb verb_image_pull;
extern const struct verb verb_image_rm;
extern const struct verb verb_image_prune;
extern const struct verb verb_df;
extern const struct verb verb_masters;
extern const struct verb verb_masters_add;
extern const struct verb verb_masters_rm;
extern const struct verb verb_masters_transfer;
extern const struct verb verb_backup_save;
extern const struct verb verb_backup_inspect;
extern const struct verb verb_pki_init;
extern const struct verb verb_dev_up;
extern const struct verb verb_dev_down;
extern const struct verb verb_dev_relay;
extern const struct verb verb_drill_leader;
extern const struct verb verb_drill_pause;
extern const struct verb verb_drill_partition;
extern const struct verb verb_drill_disk;
extern const struct verb verb_drill_transfer;
extern const struct verb verb_version;
