#include "client/verbs.h"

const struct verb *const verbs[] = {
    &verb_schedule,     &verb_get_pods,       &verb_get_nodes,
    &verb_describe_pod, &verb_describe_node,  &verb_why,
    &verb_logs,         &verb_events,         &verb_stop,
    &verb_cordon,       &verb_uncordon,       &verb_masters,
    &verb_masters_add,  &verb_masters_rm,     &verb_masters_transfer,
    &verb_backup_save,  &verb_backup_inspect, &verb_pki_init,
    &verb_dev_up,       &verb_dev_down,       &verb_dev_relay,
    &verb_drill_leader, &verb_drill_pause,    &verb_drill_partition,
    &verb_drill_disk,   &verb_version,        NULL,
};
