/* test_routing.c -- what routers did, counted: tables of a routing made by hand, measures whose values are
 * known, lists, limits, JSON. */
#include "harness/harness.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "moira/routing.h"
#include "train/routing_count.h"
#include "train/routing_json.h"

/* ---- measures ---- */

static void test_information(void **state)
{
    (void)state;
    double bits, corrected;
    const int64_t independent[] = {2, 4, 3, 6};
    mo_mutual_information(independent, 2, 2, &bits, &corrected);
    MO_CHECK_NEAR(bits, 0, 1e-15);
    MO_CHECK_NEAR(corrected, -1 / (30 * log(2)), 1e-15);
    int64_t same[16] = {0};
    for (int i = 0; i < 4; i++) same[5 * i] = 4;
    mo_mutual_information(same, 4, 4, &bits, &corrected);
    MO_CHECK_NEAR(bits, 2, 1e-15);
    MO_CHECK_NEAR(corrected, 2 + 3 / (32 * log(2)), 1e-15);
    const int64_t holes[] = {3, 0, 1, 0, 0, 0}; /* an empty row, and an empty column */
    mo_mutual_information(holes, 2, 3, &bits, &corrected);
    MO_CHECK_NEAR(bits, 0, 1e-15);
    MO_CHECK_NEAR(corrected, 0, 1e-15);
    const int64_t some[] = {10, 2, 3, 5}; /* by numpy, sum p log2(p / (p_i p_j)) */
    mo_mutual_information(some, 2, 2, &bits, &corrected);
    MO_CHECK_NEAR(bits, 0.16228100121649242, 1e-14);
    mo_mutual_information((int64_t[]){0, 0}, 1, 2, &bits, &corrected);
    assert_true(isnan(bits) && isnan(corrected));
    MO_CHECK_NEAR(mo_entropy_bits((int64_t[]){1, 1, 2, 0}, 4), 1.5, 1e-15);
    assert_true(isnan(mo_entropy_bits((int64_t[]){0, 0}, 2)));
}

/* What is a product already stays; any other table keeps its experts' sums. */
static void test_independent_pairs(void **state)
{
    (void)state;
    const double t[] = {10, 20, 30, 40};
    int64_t pairs[36] = {0};
    double m[36];
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++)
            pairs[4 * a + b] = (int64_t)(t[a] * t[b]); /* the diagonal is not looked at */
    MO_CHECK_OK(mo_independent_pairs(pairs, 4, m));
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) MO_CHECK_NEAR(m[4 * a + b], a == b ? 0 : t[a] * t[b], 1e-7);

    memset(pairs, 0, sizeof pairs);
    for (int a = 0; a < 5; a++) /* the sixth expert gets nothing */
        for (int b = a + 1; b < 5; b++) pairs[6 * a + b] = pairs[6 * b + a] = (7 * a + 3 * b * b) % 11 + 1;
    MO_CHECK_OK(mo_independent_pairs(pairs, 6, m));
    for (int a = 0; a < 6; a++) {
        double wanted = 0, got = 0;
        for (int b = 0; b < 6; b++) {
            wanted += (double)pairs[6 * a + b];
            got += m[6 * a + b];
            assert_true(m[6 * a + b] == m[6 * b + a]);
        }
        MO_CHECK_NEAR(got, wanted, 1e-8 * (1 + wanted));
    }
    MO_CHECK_NEAR(m[1] * m[6 * 2 + 3], m[2] * m[6 * 1 + 3], 1e-6); /* a product: m01 m23 = m02 m13 */
    int64_t none[] = {5};
    MO_CHECK_OK(mo_independent_pairs(none, 1, m));
    assert_true(m[0] == 0);
}

/* ---- a routing made by hand: two layers with experts of three, 3 experts, 2 for each token ---- */

enum { E = 3, K = 2, N = 8 };
static const int32_t tokens[N] = {7, 7, 9, 4, 7, 9, -1, -1};
static const int32_t domains[N] = {0, 0, 1, 1, 0, 1, -1, -1};
static int32_t choices[2][N * K] = {
    {0, 1, 1, 0, 2, 1, 2, -1, 0, 2, -1, -1, -1, -1, -1, -1}, /* with holes */
    {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, -1, -1, -1, -1},
};
static double stats[2][32];

typedef struct by_hand {
    mo_model model;
    mo_tensor ids[2], stats[2];
    mo_layer_routing routing[2];
    mo_model_graph graph;
    mo_batch *batch;
} by_hand;

static void by_hand_make(by_hand *h)
{
    *h = (by_hand){.model.config = {.num_hidden_layers = 3,
                                    .first_k_dense_replace = 1,
                                    .moe_layer_freq = 1,
                                    .num_local_experts = E,
                                    .num_experts_per_tok = K,
                                    .vocab_size = 16}};
    for (int l = 0; l < 2; l++) {
        memset(stats[l], 0, sizeof stats[l]);
        for (int i = 0; i < N * K; i++)
            if (choices[l][i] >= 0) stats[l][choices[l][i]]++;
        stats[l][E + MO_SUM_TOKENS] = 6;
        h->ids[l] = (mo_tensor){.dtype = MO_I32, .ndim = 2, .dim = {N, K}, .data = choices[l]};
        h->stats[l] = (mo_tensor){.dtype = MO_F64, .ndim = 1, .dim = {E + MO_ROUTER_SUMS}, .data = stats[l]};
        h->routing[l] = (mo_layer_routing){.layer = l + 1, .stats = &h->stats[l], .ids_NK = &h->ids[l]};
    }
    h->graph = (mo_model_graph){
        .model = &h->model, .batch_size = 2, .sequence_length = N / 2, .routing = h->routing, .n_routing = 2};
    MO_CHECK_OK(mo_batch_create(2, N / 2, &h->batch));
    memcpy(h->batch->tokens, tokens, sizeof tokens);
    memcpy(h->batch->domains, domains, sizeof domains);
    h->batch->valid = 6;
}

static const char *const names[] = {"prose", "code"};
static uint8_t stored[] = {7, 7, 9, 4, 7, 9, 1};
static const mo_tokens split = {.count = 7, .width = 1, .data = stored};

static mo_status count(by_hand *h, const mo_routing_options *options, int n_domains, mo__routing_count *c)
{
    MO_TRY(mo__routing_count_create(&h->graph, options, names, n_domains, c));
    mo_status status = mo__routing_count_listed(c, &split, 6, 16);
    if (status == MO_OK) {
        mo__routing_count_add(c, &h->graph, h->batch, 0);
        status = mo__routing_count_finish(c, &h->graph);
    }
    if (status != MO_OK) mo__routing_count_free(c);
    return status;
}

static void check_counts(const int64_t *got, const int64_t *wanted, int n)
{
    for (int i = 0; i < n; i++) assert_int_equal(got[i], wanted[i]);
}

static void test_by_hand(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_count c;
    by_hand_make(&h);
    MO_CHECK_OK(count(&h, &(mo_routing_options){0}, 2, &c));
    const mo_routing *r = &c.out;
    assert_int_equal(r->n_layers, 2);
    assert_int_equal(r->tokens, 6);
    assert_int_equal(r->pairs_left_out, 0);
    const mo_layer_choices *first = &r->layers[0], *second = &r->layers[1];
    assert_int_equal(first->report.layer, 1);
    assert_int_equal(first->total, 9);
    check_counts(first->choices, (int64_t[]){3, 2, 1, 0, 1, 2}, 6);
    check_counts(first->pairs, (int64_t[]){3, 2, 1, 2, 3, 1, 1, 1, 3}, 9);
    check_counts(second->choices, (int64_t[]){3, 3, 0, 3, 3, 0}, 6);
    check_counts(second->pairs, (int64_t[]){6, 6, 0, 6, 6, 0, 0, 0, 0}, 9);
    MO_CHECK_NEAR(first->report.load[1], 1.0 / 3, 1e-15);
    MO_CHECK_NEAR(first->report.cv, 0, 1e-15);
    MO_CHECK_NEAR(second->report.cv, sqrt(0.5), 1e-15); /* 1/2 1/2 0 */
    assert_int_equal(first->report.dead, 0);
    assert_int_equal(second->report.dead, 1);
    MO_CHECK_NEAR(second->mutual_information, 0, 1e-15);
    MO_CHECK_NEAR(first->domain_entropy, log2(9) - (6 * log2(6) + 3 * log2(3)) / 9, 1e-14);
    MO_CHECK_NEAR(first->mutual_information, 0.3060986113514965, 1e-14); /* by numpy */
    MO_CHECK_NEAR(first->corrected, first->mutual_information - 1 / (18 * log(2)), 1e-14);
    MO_CHECK_NEAR(second->expected[1], 6, 1e-9);
    assert_true(second->expected[2] == 0 && second->expected[0] == 0);
    assert_null(first->tokens);

    /* A second batch of the same: twice the counts; after clear none. */
    mo__routing_count_clear(&c);
    mo__routing_count_add(&c, &h.graph, h.batch, 0);
    mo__routing_count_add(&c, &h.graph, h.batch, 0);
    MO_CHECK_OK(mo__routing_count_finish(&c, &h.graph));
    check_counts(first->pairs, (int64_t[]){6, 4, 2, 4, 6, 2, 2, 2, 6}, 9);
    check_counts(first->choices, (int64_t[]){6, 4, 2, 0, 2, 4}, 6);
    mo__routing_count_free(&c);
    mo_batch_free(h.batch);
}

/* Without labels all tokens are one row, and there is nothing to say of domains. */
static void test_no_domains(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_count c;
    by_hand_make(&h);
    for (int n = 0; n < N; n++) h.batch->domains[n] = -1;
    MO_CHECK_OK(count(&h, &(mo_routing_options){0}, 0, &c));
    check_counts(c.out.layers[0].choices, (int64_t[]){3, 3, 3}, 3);
    assert_true(isnan(c.out.layers[0].mutual_information) && isnan(c.out.layers[0].domain_entropy));
    mo__routing_count_free(&c);
    mo_batch_free(h.batch);
}

static void check_token(const mo_routed_token *t, int32_t id, int64_t n, int64_t all, double lift)
{
    assert_int_equal(t->id, id);
    assert_int_equal(t->count, n);
    assert_int_equal(t->all, all);
    MO_CHECK_NEAR(t->lift, lift, 1e-14);
}

/* Layer 1: token 7 visits experts 0 three times, 1 twice, 2 once; 9: 1 and 2; 4: 2. */
static void test_tokens(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_count c;
    by_hand_make(&h);
    MO_CHECK_OK(count(&h, &(mo_routing_options){.listed = 2, .least = 1}, 2, &c));
    const mo_expert_tokens *t = c.out.layers[0].tokens;
    assert_int_equal(t[0].n_frequent, 1);
    check_token(&t[0].frequent[0], 7, 3, 6, 1.5);
    assert_int_equal(t[0].n_own, 1);
    check_token(&t[0].own[0], 7, 3, 6, 1.5);
    assert_int_equal(t[1].n_frequent, 2);
    check_token(&t[1].frequent[0], 7, 2, 6, 1);
    check_token(&t[1].frequent[1], 9, 1, 2, 1.5);
    assert_int_equal(t[1].n_own, 1); /* a lift of 1 is nobody's own */
    check_token(&t[1].own[0], 9, 1, 2, 1.5);
    assert_int_equal(t[2].n_frequent, 2); /* of three equals the two lowest ids */
    check_token(&t[2].frequent[0], 4, 1, 1, 3);
    check_token(&t[2].frequent[1], 7, 1, 6, 0.5);
    assert_int_equal(t[2].n_own, 2);
    check_token(&t[2].own[0], 4, 1, 1, 3);
    check_token(&t[2].own[1], 9, 1, 2, 1.5);
    assert_int_equal(c.out.layers[1].tokens[2].n_frequent, 0);
    mo__routing_count_free(&c);

    MO_CHECK_OK(count(&h, &(mo_routing_options){.listed = 9, .least = 2}, 2, &c));
    t = c.out.layers[0].tokens;
    assert_int_equal(t[2].n_frequent, 3);
    assert_int_equal(t[2].n_own, 0);
    assert_int_equal(t[0].n_own, 1);
    mo__routing_count_free(&c);
    mo_batch_free(h.batch);
}

/* Own is what adds most, not what is rarest: of expert 0's choices six are token 7's, of its seven, and one
 * is all that token 9 makes. */
static void test_own(void **state)
{
    (void)state;
    enum { MANY = 14 };
    static const int32_t ids_of[MANY] = {7, 7, 7, 7, 7, 7, 7, 9, 4, 4, 4, 4, 4, -1};
    static int32_t chosen[MANY] = {0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 2};
    by_hand h;
    mo__routing_count c;
    by_hand_make(&h);
    mo_batch_free(h.batch);
    MO_CHECK_OK(mo_batch_create(1, MANY, &h.batch));
    memcpy(h.batch->tokens, ids_of, sizeof ids_of);
    memset(h.batch->domains, 0xFF, sizeof ids_of);
    h.batch->valid = MANY - 1;
    h.graph.n_routing = 1;
    h.model.config.num_hidden_layers = 2;
    h.ids[0] = (mo_tensor){.dtype = MO_I32, .ndim = 2, .dim = {MANY, 1}, .data = chosen};
    MO_CHECK_OK(count(&h, &(mo_routing_options){.listed = 2, .least = 1}, 0, &c));
    const mo_expert_tokens *t = c.out.layers[0].tokens;
    assert_int_equal(t[0].n_own, 2);
    check_token(&t[0].own[0], 7, 6, 7, 6.0 * 13 / (7 * 7));
    check_token(&t[0].own[1], 9, 1, 1, 13.0 / 7);
    mo__routing_count_free(&c);
    mo_batch_free(h.batch);
}

/* Room for the choices alone; for the pairs; for one layer's lists (3 ids of 3 experts, 4 bytes each). */
static void test_limit(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_count c;
    const uint64_t rows = 2 * 2 * E * 8, pairs = 2 * E * E * 16, list = 3 * E * 4;
    by_hand_make(&h);
    assert_int_equal(mo__routing_count_bytes(&h.model.config, &(mo_routing_options){0}, 2), rows + pairs);
    assert_int_equal(mo__routing_count_bytes(&h.model.config, &(mo_routing_options){.limit = pairs - 1}, 2),
                     rows);
    MO_CHECK_OK(count(&h, &(mo_routing_options){.listed = 1, .limit = 1}, 2, &c));
    assert_int_equal(c.out.pairs_left_out, pairs);
    assert_null(c.out.layers[0].pairs);
    assert_int_equal(c.out.listed_layers, 0);
    assert_null(c.out.layers[0].tokens);
    assert_int_equal(c.out.layers[0].total, 9);
    mo__routing_count_free(&c);
    MO_CHECK_OK(count(&h, &(mo_routing_options){.listed = 1, .limit = rows + pairs + 2 * list - 1}, 2, &c));
    assert_non_null(c.out.layers[0].pairs);
    assert_int_equal(c.out.listed_layers, 1);
    assert_int_equal(c.out.listed_bytes, list);
    assert_non_null(c.out.layers[0].tokens);
    assert_null(c.out.layers[1].tokens);
    mo__routing_count_free(&c);
    mo_batch_free(h.batch);
}

static void test_single(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_count c;
    by_hand_make(&h);
    MO_CHECK_OK(count(&h, &(mo_routing_options){.single = true, .layer = 2, .listed = 3}, 2, &c));
    assert_int_equal(c.out.n_layers, 1);
    assert_int_equal(c.out.layers[0].report.layer, 2);
    check_counts(c.out.layers[0].pairs, (int64_t[]){6, 6, 0, 6, 6, 0, 0, 0, 0}, 9);
    mo__routing_count_free(&c);
    MO_CHECK_STATUS(count(&h, &(mo_routing_options){.single = true, .layer = 0}, 2, &c), MO_E_RANGE);
    MO_CHECK_MESSAGE("layer 0 has no experts; the first that has is layer 1");
    MO_CHECK_STATUS(count(&h, &(mo_routing_options){.single = true, .layer = 3}, 2, &c), MO_E_RANGE);
    MO_CHECK_MESSAGE("layer 3 is none; the model has layers 0 to 2");
    h.graph.n_routing = 0;
    MO_CHECK_STATUS(count(&h, &(mo_routing_options){.single = true, .layer = 1}, 2, &c), MO_E_RANGE);
    MO_CHECK_MESSAGE("layer 1 has no experts; the model is dense");
    mo_batch_free(h.batch);
}

/* One expert for each token, on average where experts choose: then a token may still have two. */
static void test_one_expert(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_count c;
    by_hand_make(&h);
    h.model.config.num_experts_per_tok = 1;
    MO_CHECK_OK(count(&h, &(mo_routing_options){0}, 0, &c));
    assert_null(c.out.layers[0].pairs);
    mo__routing_count_free(&c);
    h.model.config.router = MO_ROUTER_EXPERT_CHOICE;
    MO_CHECK_OK(count(&h, &(mo_routing_options){0}, 0, &c));
    check_counts(c.out.layers[0].pairs, (int64_t[]){3, 2, 1, 2, 3, 1, 1, 1, 3}, 9);
    assert_int_equal(c.bytes, mo__routing_count_bytes(&h.model.config, &(mo_routing_options){0}, 0));
    mo__routing_count_free(&c);
    mo_batch_free(h.batch);
}

static void test_allocations(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_count c;
    int failed;
    by_hand_make(&h);
    MO_CHECK_EACH_ALLOCATION(failed, count(&h, &(mo_routing_options){.listed = 2}, 2, &c));
    assert_true(failed >= 10);
    mo__routing_count_free(&c);
    mo_batch_free(h.batch);
}

/* ---- JSON ---- */

/* "domains/0/name"; NULL if there is no such thing. */
static const json_t *at(const json_t *j, const char *path)
{
    char part[32];
    for (int used = 0; j && sscanf(path, "%31[^/]%n", part, &used) == 1; path += used + (path[used] == '/'))
        j = json_is_array(j) ? json_array_get(j, (size_t)atoi(part)) : json_object_get(j, part);
    return j;
}

static void test_json(void **state)
{
    (void)state;
    by_hand h;
    mo__routing_count c;
    mo_tokenizer *t;
    by_hand_make(&h);
    MO_CHECK_OK(mo_tokenizer_bytes(&t));
    MO_CHECK_OK(count(&h, &(mo_routing_options){.listed = 2, .least = 1}, 2, &c));
    json_t *j = mo__routing_layer_json(&c.out, 0, t);
    assert_non_null(j);
    assert_int_equal(json_integer_value(json_object_get(j, "layer")), 1);
    assert_int_equal(json_integer_value(json_object_get(j, "choices")), 9);
    assert_string_equal(json_string_value(at(j, "domains/0/name")), "prose");
    assert_int_equal(json_integer_value(at(j, "domains/1/choices/2")), 2);
    MO_CHECK_NEAR(json_real_value(at(j, "domains/0/share/0")), 0.5, 0);
    assert_int_equal(json_integer_value(at(j, "coactivation/0/1")), 2);
    MO_CHECK_NEAR(json_real_value(at(j, "lift/0/1")), 2 / c.out.layers[0].expected[1], 1e-15);
    assert_true(json_is_null(at(j, "lift/1/1")));
    assert_string_equal(json_string_value(at(j, "routed_tokens/0/frequent/0/text")), "\\x07");
    assert_int_equal(json_integer_value(at(j, "routed_tokens/1/own/0/id")), 9);
    json_decref(j);

    c.out.domain_names = (const char *const[]){"a\xFF", "b"};
    j = mo__routing_layer_json(&c.out, 1, NULL);
    assert_string_equal(json_string_value(at(j, "domains/0/name")), "a\xEF\xBF\xBD");
    assert_null(json_object_get(j, "routed_tokens"));
    assert_null(json_object_get(j, "lift"));
    assert_int_equal(json_array_size(json_object_get(j, "dead_experts")), 1);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(j, "dead_experts"), 0)), 2);
    json_decref(j);
    mo__routing_count_free(&c);

    memset(stats[1], 0, sizeof stats[1]); /* no choices at all: nothing to be dead of */
    MO_CHECK_OK(count(&h, &(mo_routing_options){0}, 0, &c));
    j = mo__routing_layer_json(&c.out, 1, NULL);
    assert_int_equal(json_integer_value(json_object_get(j, "dead")), 0);
    assert_int_equal(json_array_size(json_object_get(j, "dead_experts")), 0);
    json_decref(j);
    mo__routing_count_free(&c);

    MO_CHECK_OK(count(&h, &(mo_routing_options){.listed = 2, .limit = 1}, 0, &c));
    j = mo__routing_layer_json(&c.out, 0, t);
    assert_true(json_is_null(json_object_get(j, "coactivation")));
    assert_true(json_is_null(json_object_get(j, "routed_tokens")));
    assert_true(json_is_null(json_object_get(j, "mutual_information")));
    assert_int_equal(json_array_size(json_object_get(j, "domains")), 0);
    json_decref(j);
    mo__routing_count_free(&c);
    mo_tokenizer_free(t);
    mo_batch_free(h.batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_information), cmocka_unit_test(test_independent_pairs),
        cmocka_unit_test(test_by_hand),     cmocka_unit_test(test_no_domains),
        cmocka_unit_test(test_tokens),      cmocka_unit_test(test_own),
        cmocka_unit_test(test_limit),       cmocka_unit_test(test_single),
        cmocka_unit_test(test_one_expert),  cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
