/* test_routing_sum.c -- router statistics of several runs as reports, and the reports through metrics.jsonl.
 */
#include <math.h>
#include <string.h>

#include "harness/harness.h"

#include "train/train_internal.h"

enum { E = 4, LAYERS = 2, WIDTH = E + MO_ROUTER_SUMS };

static char *dir;
static const double none = (double)NAN;

/* A graph whose runs left these statistics, numbered 1 and 3. */
typedef struct by_hand {
    mo_model model;
    double stats[LAYERS][WIDTH];
    mo_tensor tensors[LAYERS];
    mo_layer_routing routing[LAYERS];
    mo_model_graph graph;
} by_hand;

static void make(by_hand *h, int router)
{
    *h = (by_hand){.model.config = {.num_hidden_layers = LAYERS + 1,
                                    .first_k_dense_replace = 1,
                                    .moe_layer_freq = 1,
                                    .num_local_experts = E,
                                    .num_experts_per_tok = 2,
                                    .router = router}};
    for (int l = 0; l < LAYERS; l++) {
        h->tensors[l] = (mo_tensor){.dtype = MO_F64, .ndim = 1, .dim = {WIDTH}, .data = h->stats[l]};
        h->routing[l] = (mo_layer_routing){.layer = 2 * l + 1, .stats = &h->tensors[l]};
    }
    h->graph = (mo_model_graph){.model = &h->model, .routing = h->routing, .n_routing = LAYERS};
}

static void set(double *stats, const double load[E], const double sums[MO_ROUTER_SUMS])
{
    memcpy(stats, load, E * sizeof *load);
    memcpy(stats + E, sums, MO_ROUTER_SUMS * sizeof *sums);
}

/* Two microbatches of 5 and 3 tokens; of 16 choices experts 0 .. 3 get 10, 5, 1 and 0. */
static void add_two(by_hand *h, mo__routing_sum *s)
{
    mo__routing_sum_clear(s);
    for (int l = 0; l < LAYERS; l++)
        set(h->stats[l], (double[]){6, 3, 1, 0}, (double[]){5, 2.5, 4, 3.5, 20, 10, 9, 1});
    mo__routing_sum_add(s, &h->graph);
    for (int l = 0; l < LAYERS; l++)
        set(h->stats[l], (double[]){4, 2, 0, 0}, (double[]){3, 1.5, 2, 2.5, 4, 6, 5, 1});
    mo__routing_sum_add(s, &h->graph);
    mo__routing_sum_report(s, &h->graph);
}

static void sums_become_means(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_sum s;
    make(&h, MO_ROUTER_TOPK);
    MO_CHECK_OK(mo__routing_sum_create(&h.model, &s));
    assert_int_equal(s.n_layers, LAYERS);
    for (int round = 0; round < 2; round++) { /* what was before is forgotten */
        add_two(&h, &s);
        for (int l = 0; l < LAYERS; l++) {
            const mo_layer_report *r = &s.reports[l];
            assert_true(r->layer == 2 * l + 1 && r->experts == E && r->dead == 1);
            assert_true(r->load[0] == 10.0 / 16 && r->load[1] == 5.0 / 16 && r->load[3] == 0);
            assert_true(r->max_vio == 1.5 && r->entropy == 0.5 && r->top1 == 0.75);
            assert_true(r->top1_weight == 0.75 && r->dropped == 0.125 && r->z == 3);
            MO_CHECK_NEAR(r->cv, sqrt((36 + 1 + 9 + 16) / 4.0) / 4, 1e-15);
        }
    }
    assert_true(mo__routing_sum_counts(&s, 1)[0] == 10);
    mo__routing_sum_free(&s);
}

/* Where experts choose, a token that none took is what is dropped; an expert at a tenth of its share lives.
 */
static void what_a_router_has(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_sum s;
    make(&h, MO_ROUTER_EXPERT_CHOICE);
    MO_CHECK_OK(mo__routing_sum_create(&h.model, &s));
    add_two(&h, &s);
    assert_true(s.reports[0].dropped == 2.0 / 8);
    mo__routing_sum_clear(&s);
    set(h.stats[0], (double[]){1, 19, 10, 10}, (double[]){20, none, none, 10, none, 40, 40, 0});
    set(h.stats[1], (double[E]){0}, (double[MO_ROUTER_SUMS]){0}); /* padding alone */
    mo__routing_sum_add(&s, &h.graph);
    mo__routing_sum_report(&s, &h.graph);
    const mo_layer_report *r = s.reports;
    assert_true(isnan(r->entropy) && isnan(r->top1) && isnan(r->z));
    assert_true(r->top1_weight == 0.5 && r->dead == 0 && r->dropped == 0);
    r++;
    assert_true(r->load[0] == 0 && r->max_vio == 0 && r->cv == 0 && r->dead == 0 && r->entropy == 0);
    mo__routing_sum_free(&s);
}

static void a_dense_model_has_none(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_sum s;
    make(&h, MO_ROUTER_TOPK);
    h.model.config.num_local_experts = 0;
    MO_CHECK_OK(mo__routing_sum_create(&h.model, &s));
    assert_int_equal(s.n_layers, 0);
    mo__routing_sum_clear(&s);
    mo__routing_sum_add(&s, &h.graph);
    mo__routing_sum_report(&s, &h.graph);
    mo__routing_sum_free(&s);
}

/* ---- metrics.jsonl ---- */

static void write_line(const char *text)
{
    char *path = mo_path_join(dir, "metrics.jsonl");
    MO_CHECK_OK(mo_write_file(path, text, strlen(text)));
    mo_free(path);
}

static bool same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b;
}

static void a_line_reads_back(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_sum s, back;
    mo__source_sum sources = {0};
    mo__metrics m;
    make(&h, MO_ROUTER_TOPK);
    MO_CHECK_OK(mo__routing_sum_create(&h.model, &s));
    MO_CHECK_OK(mo__routing_sum_create(&h.model, &back));
    add_two(&h, &s);
    mo__load_measure(&s.reports[1]);
    s.reports[1].entropy = s.reports[1].top1 = s.reports[1].z = none;
    mo_step_report r = {.step = 3, .train_loss = 2.5, .layers = s.reports, .n_layers = LAYERS}, got;
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) r.balance[k] = none;
    write_line("");
    MO_CHECK_OK(mo__metrics_open(dir, 0, &m));
    MO_CHECK_OK(mo__metrics_write(&m, &r));
    MO_CHECK_OK(mo__metrics_close(&m));
    MO_CHECK_OK(mo__metrics_read(dir, 3, &got, &back, &sources));
    assert_true(got.train_loss == 2.5);
    for (int l = 0; l < LAYERS; l++) {
        const mo_layer_report *a = &s.reports[l], *b = &back.reports[l];
        assert_memory_equal(a->load, b->load, E * sizeof *a->load);
        assert_true(a->layer == b->layer && a->max_vio == b->max_vio && a->cv == b->cv && a->dead == b->dead);
        assert_true(same(a->entropy, b->entropy) && same(a->top1, b->top1) && same(a->z, b->z));
        assert_true(a->top1_weight == b->top1_weight && a->dropped == b->dropped);
    }
    mo__routing_sum_free(&s);
    mo__routing_sum_free(&back);
}

#define LINE(layer)                                                                                       \
    "{\"version\":1,\"step\":7,\"train_loss\":1.5,\"balance_loss\":0,\"balance\":{},\"learning_rate\":0," \
    "\"grad_norm\":1,\"tokens_per_second\":9,\"layers\":[" layer "]}\n"

/* As they were written before there were cv, top1_weight and dead. */
static void older_lines_are_read(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_sum s;
    mo__source_sum sources = {0};
    mo_step_report got;
    make(&h, MO_ROUTER_TOPK);
    h.model.config.num_hidden_layers = 2;
    MO_CHECK_OK(mo__routing_sum_create(&h.model, &s));
    write_line(LINE("{\"layer\":1,\"load\":[0.5,0.5,0,0],\"max_vio\":1,\"entropy\":0.25,\"top1\":0.5,"
                    "\"dropped\":0,\"z\":2}"));
    MO_CHECK_OK(mo__metrics_read(dir, 7, &got, &s, &sources));
    const mo_layer_report *r = s.reports;
    assert_true(r->layer == 1 && r->max_vio == 1 && r->entropy == 0.25 && r->top1 == 0.5 && r->z == 2);
    assert_true(r->cv == 1 && r->dead == 2 && isnan(r->top1_weight));
    write_line(LINE("{\"layer\":1,\"load\":[0.5,0.5,0],\"max_vio\":1,\"dropped\":0}"));
    MO_CHECK_STATUS(mo__metrics_read(dir, 7, &got, &s, &sources), MO_E_FORMAT);
    write_line(LINE("{\"layer\":1,\"load\":[0.5,0.5,0,0],\"dropped\":0}"));
    MO_CHECK_STATUS(mo__metrics_read(dir, 7, &got, &s, &sources), MO_E_FORMAT);
    mo__routing_sum_free(&s);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_become_means), cmocka_unit_test(what_a_router_has),
        cmocka_unit_test(a_dense_model_has_none), cmocka_unit_test(a_line_reads_back),
        cmocka_unit_test(older_lines_are_read)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
