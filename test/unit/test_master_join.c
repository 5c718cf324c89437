/* Whose word a new master takes for which cluster it is to be part of. */
#include "base/lang.h"
#include "master/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ROWS = 3 };

static const struct {
    const char *rule;
    const char *teller;
    struct {
        const char *name;
        const char *role;
        uint64_t last, applied;
        bool learner;
    } rows[ROWS];
    bool is_told;
} cases[] = {
    {"the leader lists it",
     "m1",
     {{"m1", "leader", 9, 8, 0},
      {"m2", "follower", 9, 9, 0},
      {"m3", "down", 0, 0, 1}},
     true},
    {"so does one that is as far",
     "m2",
     {{"m1", "leader", 9, 8, 0},
      {"m2", "follower", 9, 9, 0},
      {"m3", "down", 0, 0, 1}},
     true},
    {"one that lags may list a member that was removed",
     "m2",
     {{"m1", "leader", 9, 9, 0},
      {"m2", "follower", 9, 8, 0},
      {"m3", "down", 0, 0, 1}},
     false},
    {"one that knows no leader, too",
     "m2",
     {{"m1", "follower", 9, 9, 0},
      {"m2", "follower", 9, 9, 0},
      {"m3", "down", 0, 0, 1}},
     false},
    {"a voter of its name is the one before it",
     "m1",
     {{"m1", "leader", 9, 9, 0},
      {"m2", "follower", 9, 9, 0},
      {"m3", "down", 0, 0, 0}},
     false},
    {"it is not listed",
     "m1",
     {{"m1", "leader", 9, 9, 0},
      {"m2", "follower", 9, 9, 0},
      {"m4", "down", 0, 0, 1}},
     false},
    {"who tells it is no master itself",
     "m5",
     {{"m1", "leader", 9, 9, 0},
      {"m2", "follower", 9, 9, 0},
      {"m3", "down", 0, 0, 1}},
     false},
};

static void told_by_whom(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Kontor__V1__MastersResponse told = KONTOR__V1__MASTERS_RESPONSE__INIT;
        Kontor__V1__Master rows[ROWS];
        Kontor__V1__Master *pointers[ROWS];

        for (size_t j = 0; j < ROWS; j++) {
            kontor__v1__master__init(&rows[j]);
            rows[j].name = without_const(cases[i].rows[j].name);
            rows[j].role = without_const(cases[i].rows[j].role);
            rows[j].last_index = cases[i].rows[j].last;
            rows[j].applied_index = cases[i].rows[j].applied;
            rows[j].learner = cases[i].rows[j].learner;
            pointers[j] = &rows[j];
        }
        told.masters = pointers;
        told.n_masters = ROWS;
        told.answered_by = without_const(cases[i].teller);
        if (join_is_told(&told, "m3") != cases[i].is_told)
            fail_msg("%s", cases[i].rule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(told_by_whom)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
