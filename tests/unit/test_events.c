/* test_events.c -- TensorBoard event files: what is in them, and what a resume makes of what it finds. */
#include "harness/harness.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "harness/events.h"
#include "train/train_internal.h"

static char *dir;

static int setup(void **state)
{
    (void)state;
    dir = temp_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(dir);
    return 0;
}

static const char *file(void)
{
    return temp_path(dir, "events.out.tfevents.moira");
}

static const double load0[] = {0.25, 0, 0.75}, load1[] = {0, 1, 0};

/* A report of a step whose losses are made of the step's number. */
static mo_step_report report_of(int64_t step, mo_layer_report layers[2])
{
    layers[0] = (mo_layer_report){
        .layer = 0, .load = load0, .experts = 3, .max_vio = 1.25, .entropy = 0.5, .dead = 1};
    layers[1] = (mo_layer_report){.layer = 1,
                                  .load = load1,
                                  .experts = 3,
                                  .cv = 1.5,
                                  .entropy = (double)NAN,
                                  .top1 = (double)NAN,
                                  .top1_weight = 0.875,
                                  .dropped = 0.125,
                                  .z = (double)NAN,
                                  .dead = 2};
    mo_step_report r = {.step = step,
                        .train_loss = 1 + (double)step / 8,
                        .balance_loss = 0.0625,
                        .learning_rate = 1e-3,
                        .grad_norm = 2,
                        .tokens_per_second = 1000,
                        .gflops = 1.5,
                        .layers = layers,
                        .n_layers = 2};
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) r.balance[k] = (double)NAN;
    for (int k = 0; k < MO_BALANCE_LOSSES; k++)
        if (!strcmp(mo_balance_names[k], "switch")) r.balance[k] = 1.125;
    return r;
}

static mo_status open_events(int64_t step, mo__events *e)
{
    return mo__events_open(dir, step, "run: {}\n", e);
}

static mo_status write_step(mo__events *e, int64_t step)
{
    mo_layer_report layers[2];
    mo_step_report r = report_of(step, layers);
    return mo__events_step(e, &r);
}

/* A file anew with steps 5, 10 and 15, and a sample at 10. */
static void make_file(void)
{
    mo__events e;
    MO_CHECK_OK(open_events(0, &e));
    MO_CHECK_OK(write_step(&e, 5));
    MO_CHECK_OK(write_step(&e, 10));
    MO_CHECK_OK(mo__events_text(&e, 10, "samples", "text", 4));
    MO_CHECK_OK(write_step(&e, 15));
    MO_CHECK_OK(mo__events_close(&e));
}

static void check_list(const char *expected)
{
    char *list = events_list(file(), NULL, 0, NULL);
    assert_string_equal(list, expected);
    free(list);
}

#define BEGINNING "0 version brain.Event:2\n0 text config ```\nrun: {}\n\n```\n"

static void a_step_is_one_record_of_all_its_values(void **state)
{
    (void)state;
    mo__events e;
    mo_layer_report layers[2];
    mo_step_report r = report_of(4, layers);
    r.evaluated = true;
    r.validation_loss = 1.75;
    r.bits_per_byte = 2.5;
    MO_CHECK_OK(open_events(0, &e));
    MO_CHECK_OK(mo__events_step(&e, &r));
    check_list(BEGINNING "4 scalar loss/train 1.5\n"
                         "4 scalar loss/validation 1.75\n"
                         "4 scalar loss/bits_per_byte 2.5\n"
                         "4 scalar loss/balance 0.0625\n"
                         "4 scalar balance/switch 1.125\n"
                         "4 scalar optimizer/learning_rate 0.00100000005\n"
                         "4 scalar optimizer/grad_norm 2\n"
                         "4 scalar speed/tokens_per_second 1000\n"
                         "4 scalar speed/gflops 1.5\n"
                         "4 histogram routing/layer_0/load -0.5:0.5:0.25 0.5:1.5:0 1.5:2.5:0.75\n"
                         "4 scalar routing/layer_0/max_vio 1.25\n"
                         "4 scalar routing/layer_0/cv 0\n"
                         "4 scalar routing/layer_0/entropy 0.5\n"
                         "4 scalar routing/layer_0/top1 0\n"
                         "4 scalar routing/layer_0/top1_weight 0\n"
                         "4 scalar routing/layer_0/dropped 0\n"
                         "4 scalar routing/layer_0/z 0\n"
                         "4 scalar routing/layer_0/dead 1\n"
                         "4 histogram routing/layer_1/load -0.5:0.5:0 0.5:1.5:1 1.5:2.5:0\n"
                         "4 scalar routing/layer_1/max_vio 0\n"
                         "4 scalar routing/layer_1/cv 1.5\n"
                         "4 scalar routing/layer_1/top1_weight 0.875\n"
                         "4 scalar routing/layer_1/dropped 0.125\n"
                         "4 scalar routing/layer_1/dead 2\n");
    MO_CHECK_OK(mo__events_close(&e));
    size_t count = 0;
    free(events_list(file(), NULL, 0, &count));
    assert_int_equal(count, 3);
}

static void a_dense_model_routes_nothing(void **state)
{
    (void)state;
    mo__events e;
    mo_layer_report layers[2];
    mo_step_report r = report_of(4, layers);
    r.n_layers = 0;
    MO_CHECK_OK(open_events(0, &e));
    MO_CHECK_OK(mo__events_step(&e, &r));
    MO_CHECK_OK(mo__events_close(&e));
    check_list(BEGINNING "4 scalar loss/train 1.5\n"
                         "4 scalar optimizer/learning_rate 0.00100000005\n"
                         "4 scalar optimizer/grad_norm 2\n"
                         "4 scalar speed/tokens_per_second 1000\n"
                         "4 scalar speed/gflops 1.5\n");
}

/* Of a mixture each source has its losses, where it has any. */
static void sources_have_losses_of_their_own(void **state)
{
    (void)state;
    mo__events e;
    mo_layer_report layers[2];
    mo_step_report r = report_of(4, layers);
    const mo_source_report sources[] = {
        {.name = "books", .share = 0.75, .train_loss = 1.5, .validation_loss = 2.5},
        {.name = "data/a.h5", .share = 0.25, .train_loss = (double)NAN, .validation_loss = 3.5},
        {.name = "code", .train_loss = 4.5, .validation_loss = (double)NAN}};
    r.n_layers = 0;
    r.sources = sources;
    r.n_sources = 3;
    MO_CHECK_OK(open_events(0, &e));
    MO_CHECK_OK(mo__events_step(&e, &r));
    r.step = 5;
    r.evaluated = true;
    r.validation_loss = 3;
    r.bits_per_byte = (double)NAN; /* bytes of text are not known */
    MO_CHECK_OK(mo__events_step(&e, &r));
    MO_CHECK_OK(mo__events_close(&e));
    char *list = events_list(file(), NULL, 0, NULL);
    assert_string_equal(strstr(list, "4 scalar sources/"), "4 scalar sources/books/share 0.75\n"
                                                           "4 scalar sources/books/train 1.5\n"
                                                           "4 scalar sources/data/a.h5/share 0.25\n"
                                                           "4 scalar sources/code/share 0\n"
                                                           "4 scalar sources/code/train 4.5\n"
                                                           "5 scalar loss/train 1.5\n"
                                                           "5 scalar loss/validation 3\n"
                                                           "5 scalar optimizer/learning_rate 0.00100000005\n"
                                                           "5 scalar optimizer/grad_norm 2\n"
                                                           "5 scalar speed/tokens_per_second 1000\n"
                                                           "5 scalar speed/gflops 1.5\n"
                                                           "5 scalar sources/books/share 0.75\n"
                                                           "5 scalar sources/books/train 1.5\n"
                                                           "5 scalar sources/books/validation 2.5\n"
                                                           "5 scalar sources/data/a.h5/share 0.25\n"
                                                           "5 scalar sources/data/a.h5/validation 3.5\n"
                                                           "5 scalar sources/code/share 0\n"
                                                           "5 scalar sources/code/train 4.5\n");
    free(list);
}

/* No text can end the block that shows it, and none is left that TensorBoard could not decode. */
static void text_is_shown_as_it_is(void **state)
{
    (void)state;
    mo__events e;
    static const char odd[] = "a ```` b\n\xC3\xA9 \xFF\x1B[0m\0.";
    MO_CHECK_OK(open_events(0, &e));
    MO_CHECK_OK(mo__events_text(&e, 7, "samples", odd, sizeof odd - 1));
    MO_CHECK_OK(mo__events_close(&e));
    check_list(BEGINNING
               "7 text samples `````\na ```` b\n\xC3\xA9 \xEF\xBF\xBD\xEF\xBF\xBD[0m\xEF\xBF\xBD.\n`````\n");
}

static void what_is_off_writes_nothing(void **state)
{
    (void)state;
    mo__events e = {.on = false};
    MO_CHECK_OK(write_step(&e, 5));
    MO_CHECK_OK(mo__events_text(&e, 7, "samples", "x", 1));
    MO_CHECK_OK(mo__events_close(&e));
}

/* ---- what a resume cuts ---- */

enum { RECORDS = 6 }; /* of make_file: version, config, 5, 10, sample of 10, 15 */

typedef struct content {
    char *bytes, *list;
    size_t size, ends[RECORDS];
} content;

static content read_made(void)
{
    content c = {0};
    size_t count = 0;
    make_file();
    c.list = events_list(file(), c.ends, RECORDS, &count);
    assert_int_equal(count, RECORDS);
    MO_CHECK_OK(mo_read_file(file(), 1 << 20, &c.bytes, &c.size));
    return c;
}

static void free_content(content *c)
{
    mo_free(c->bytes);
    free(c->list);
}

/* mo_write_file without its syncs, of which there would be thousands here. */
static void put_file(const char *bytes, size_t size)
{
    FILE *f = fopen(file(), "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* Opens at `step`; the first `size` bytes must be left, and be what they were. */
static void check_left(const content *c, int64_t step, size_t size)
{
    mo__events e;
    char *left = NULL;
    size_t there = 0;
    MO_CHECK_OK(open_events(step, &e));
    MO_CHECK_OK(mo__events_close(&e));
    MO_CHECK_OK(mo_read_file(file(), 1 << 20, &left, &there));
    assert_int_equal(there, size);
    assert_memory_equal(left, c->bytes, size);
    mo_free(left);
}

static void later_steps_are_cut_off_and_made_again(void **state)
{
    (void)state;
    content c = read_made();
    check_left(&c, 99, c.size);
    check_left(&c, 15, c.size);
    check_left(&c, 14, c.ends[4]);
    mo__events e;
    MO_CHECK_OK(open_events(7, &e));
    MO_CHECK_OK(write_step(&e, 10));
    MO_CHECK_OK(mo__events_text(&e, 10, "samples", "text", 4));
    MO_CHECK_OK(write_step(&e, 15));
    MO_CHECK_OK(mo__events_close(&e));
    check_list(c.list);
    check_left(&c, 9, c.ends[2]);
    MO_CHECK_OK(
        mo__events_open(dir, -1, "run: {name: b}\n", &e)); /* from the beginning: with its own config */
    MO_CHECK_OK(mo__events_close(&e));
    check_list("0 version brain.Event:2\n0 text config ```\nrun: {name: b}\n\n```\n");
    free_content(&c);
}

/* Wherever the file is cut short, it goes on from the last whole record. */
static void a_torn_record_is_cut_off(void **state)
{
    (void)state;
    content c = read_made();
    for (size_t size = 0; size < c.size; size++) {
        size_t whole = 0;
        for (int i = 0; i < RECORDS; i++)
            if (c.ends[i] <= size) whole = c.ends[i];
        put_file(c.bytes, size);
        if (whole > 0) {
            check_left(&c, 99, whole);
        } else {
            mo__events e;
            MO_CHECK_OK(open_events(99, &e));
            MO_CHECK_OK(mo__events_close(&e));
            check_list(BEGINNING);
        }
    }
    free_content(&c);
}

/* One bit changed anywhere behind the first record is found, and what is behind it goes. */
static void a_damaged_record_is_cut_off(void **state)
{
    (void)state;
    content c = read_made();
    for (size_t at = c.ends[0]; at < c.size; at++) {
        size_t whole = 0;
        for (int i = 0; i < RECORDS; i++)
            if (c.ends[i] <= at) whole = c.ends[i];
        c.bytes[at] ^= (char)(1 << at % 8);
        put_file(c.bytes, c.size);
        check_left(&c, 99, whole);
        c.bytes[at] ^= (char)(1 << at % 8);
    }
    free_content(&c);
}

static void check_refused(const char *bytes, size_t size)
{
    mo__events e;
    char *left = NULL;
    size_t there = 0;
    put_file(bytes, size);
    for (int64_t step = 0; step < 10; step += 9) {
        MO_CHECK_STATUS(open_events(step, &e), MO_E_FORMAT);
        MO_CHECK_MESSAGE("events.out.tfevents.moira: is not a TensorBoard event file");
        assert_false(e.on);
    }
    MO_CHECK_OK(mo_read_file(file(), 1 << 20, &left, &there));
    assert_int_equal(there, size);
    assert_memory_equal(left, bytes, size);
    mo_free(left);
}

/* A whole record of the right length that holds no version: an empty value of step -1. */
static void make_versionless(void)
{
    mo__event_file f;
    MoTb__Event event;
    MoTb__Summary summary;
    MoTb__Summary__Value value, *values[] = {&value};
    bool empty = false;
    mo_tb__event__init(&event);
    mo_tb__summary__init(&summary);
    mo_tb__summary__value__init(&value);
    event.step = -1;
    event.what_case = MO_TB__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    summary.n_value = 1;
    summary.value = values;
    put_file("", 0);
    MO_CHECK_OK(mo__event_file_open(file(), 0, &empty, &f));
    assert_true(empty);
    MO_CHECK_OK(mo__event_file_append(&f, &event));
    MO_CHECK_OK(mo__event_file_close(&f));
}

static void another_file_is_refused_and_left(void **state)
{
    (void)state;
    content c = read_made();
    check_refused("x", 1);
    check_refused("{\"step\": 5}\n", 12);
    char *zeros = mo_calloc(1000, 1);
    check_refused(zeros, 1000);
    mo_free(zeros);
    check_refused(c.bytes + c.ends[0], c.size - c.ends[0]); /* records, but no version first */
    c.bytes[5] ^= 1;
    check_refused(c.bytes, c.size);
    free_content(&c);
    make_versionless();
    MO_CHECK_OK(mo_read_file(file(), 1 << 20, &c.bytes, &c.size));
    assert_int_equal(c.size, 12 + 24 + 4);
    check_refused(c.bytes, c.size);
    mo_free(c.bytes);
    remove(file());
    assert_int_equal(mkdir(file(), 0777), 0);
    mo__events e;
    MO_CHECK_STATUS(open_events(9, &e), MO_E_IO);
    MO_CHECK_MESSAGE("events.out.tfevents.moira: cannot open");
    assert_int_equal(remove(file()), 0);
}

/* ---- failures ---- */

static mo_status open_and_close(int64_t step)
{
    mo__events e;
    MO_TRY(open_events(step, &e));
    return mo__events_close(&e);
}

/* A failure to allocate is not taken for the end of the file. */
static void no_memory(void **state)
{
    (void)state;
    content c = read_made();
    mo__events e;
    int failed = 0;
    MO_CHECK_EACH_ALLOCATION(failed, open_and_close(99));
    assert_true(failed > 10);
    check_list(c.list);
    MO_CHECK_OK(open_events(99, &e));
    MO_CHECK_EACH_ALLOCATION(failed, write_step(&e, 20));
    assert_true(failed > 10);
    MO_CHECK_EACH_ALLOCATION(failed, mo__events_text(&e, 20, "samples", "x", 1));
    assert_true(failed > 4);
    MO_CHECK_OK(mo__events_close(&e));
    size_t count = 0;
    free(events_list(file(), NULL, 0, &count));
    assert_int_equal(count, RECORDS + 2);
    free_content(&c);
}

/* The disk is full in the middle of a record: an error that names the file; the next resume heals it. */
static void a_full_disk(void **state)
{
    (void)state;
    content c = read_made();
    mo__events e;
    struct rlimit before, tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = (struct rlimit){.rlim_cur = c.size + 10, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    MO_CHECK_OK(open_events(15, &e));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    MO_CHECK_STATUS(write_step(&e, 20), MO_E_IO);
    MO_CHECK_MESSAGE("events.out.tfevents.moira: cannot write (File too large)");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    MO_CHECK_OK(mo__events_close(&e));
    struct stat info;
    assert_int_equal(stat(file(), &info), 0);
    assert_int_equal(info.st_size, c.size + 10);
    check_left(&c, 99, c.size);
    free_content(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_is_one_record_of_all_its_values),
                                       cmocka_unit_test(a_dense_model_routes_nothing),
                                       cmocka_unit_test(sources_have_losses_of_their_own),
                                       cmocka_unit_test(text_is_shown_as_it_is),
                                       cmocka_unit_test(what_is_off_writes_nothing),
                                       cmocka_unit_test(later_steps_are_cut_off_and_made_again),
                                       cmocka_unit_test(a_torn_record_is_cut_off),
                                       cmocka_unit_test(a_damaged_record_is_cut_off),
                                       cmocka_unit_test(another_file_is_refused_and_left),
                                       cmocka_unit_test(no_memory),
                                       cmocka_unit_test(a_full_disk)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
