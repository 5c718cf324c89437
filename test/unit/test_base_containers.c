/* buffer, list, map and series: their invariants through many random steps. */
#include "base/buffer.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "base/series.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What goes in comes out, in order, whatever the pieces. */
static void buffer_keeps_order(void **state)
{
    struct random random = {.state = 1};
    struct error why;
    struct buffer buffer;
    uint8_t in = 0;
    uint8_t out = 0;

    (void)state;
    buffer_init(&buffer, 1000);
    for (int step = 0; step < 20000; step++) {
        size_t count = random_below(&random, 90);
        uint8_t piece[90];

        if (random_below(&random, 2) == 0) {
            for (size_t i = 0; i < count; i++)
                piece[i] = (uint8_t)(in + i);
            if (buffer_append(&buffer, piece, count, &why) == 0)
                in = (uint8_t)(in + count);
            else
                assert_int_equal(why.code, ERROR_RESOURCE_EXHAUSTED);
            continue;
        }
        if (count > buffer_length(&buffer))
            count = buffer_length(&buffer);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(buffer_data(&buffer)[i], out++);
        buffer_consume(&buffer, count);
        assert_true(buffer_length(&buffer) <= 1000);
        if (count % 2 == 0)
            continue;
        buffer_rest(&buffer);
        assert_true(buffer_length(&buffer) > 0 || buffer.capacity == 0);
    }
    buffer_fini(&buffer);
}

static void buffer_refuses_past_its_limit(void **state)
{
    struct buffer buffer;
    struct error why;

    (void)state;
    buffer_init(&buffer, 4);
    assert_int_equal(buffer_append(&buffer, "abc", 3, &why), 0);
    assert_int_equal(buffer_append(&buffer, "de", 2, &why),
                     ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(buffer_length(&buffer), 3);
    assert_null(buffer_reserve(&buffer, SIZE_MAX));
    buffer_fini(&buffer);
}

struct item {
    uint64_t id;
    struct map_link link;
    struct list order;
};

static struct item *find(const struct map *map, uint64_t id)
{
    uint64_t hash = map_hash_id(id);

    for (struct map_link *at = map_chain(map, hash); at; at = at->next) {
        struct item *item = container_of(at, struct item, link);

        if (at->hash == hash && item->id == id)
            return item;
    }
    return NULL;
}

static void map_finds_what_is_in(void **state)
{
    static struct item items[500];
    struct random random = {.state = 2};
    struct map map;
    struct list order;
    size_t listed = 0;

    (void)state;
    map_init(&map);
    list_init(&order);
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        items[i].id = i * 4096;
        list_init(&items[i].order);
    }
    for (int step = 0; step < 20000; step++) {
        struct item *item = &items[random_below(&random, ARRAY_LEN(items))];

        if (find(&map, item->id)) {
            map_remove(&map, &item->link);
            list_remove(&item->order);
        } else {
            map_insert(&map, &item->link, map_hash_id(item->id));
            list_append(&order, &item->order);
        }
    }
    list_for_each(link, next, &order)
    {
        struct item *item = container_of(link, struct item, order);

        assert_ptr_equal(find(&map, item->id), item);
        listed++;
    }
    assert_int_equal(listed, map.count);
    map_fini(&map);
}

enum { SERIES_SPAN = 3000 };

/* The neighbours of `number`, found by looking at each. */
static void check_series(const struct series *series, char *const in,
                         uint64_t number)
{
    uint64_t below = number;
    uint64_t above = number + 1;

    while (below > 0 && !in[below - 1])
        below--;
    while (above < SERIES_SPAN && !in[above])
        above++;
    assert_ptr_equal(series_find(series, number),
                     in[number] ? &in[number] : NULL);
    assert_ptr_equal(series_before(series, number),
                     below > 0 ? &in[below - 1] : NULL);
    assert_ptr_equal(series_after(series, number),
                     above < SERIES_SPAN ? &in[above] : NULL);
}

/* Things come with growing numbers and leave in any order, the first or the
 * last more than others. */
static void series_is_in_order(void **state)
{
    static char in[SERIES_SPAN];
    struct random random = {.state = 3};
    struct series series = {0};
    uint64_t next = 1;

    (void)state;
    while (next + 3 < SERIES_SPAN) {
        uint64_t number = random_below(&random, next + 1);
        const char *thing;
        uint32_t count = 0;

        if (random_below(&random, 4) == 0 && series_after(&series, 0))
            number = (uint64_t)((char *)series_after(&series, 0) - in);
        if (random_below(&random, 2) == 0) {
            next += random_below(&random, 3);
            in[next] = 1;
            series_append(&series, next, &in[next]);
            next++;
        } else if (number < next && in[number]) {
            in[number] = 0;
            series_remove(&series, number);
        }
        check_series(&series, in, random_below(&random, SERIES_SPAN));
        for (uint32_t at = 0; (thing = series_walk(&series, &at)); count++)
            assert_int_equal(*thing, 1);
        assert_int_equal(count, series_count(&series));
        assert_true(series.holes <= count);
    }
    series_fini(&series);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_keeps_order),
        cmocka_unit_test(buffer_refuses_past_its_limit),
        cmocka_unit_test(map_finds_what_is_in),
        cmocka_unit_test(series_is_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
