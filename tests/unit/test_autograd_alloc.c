/* test_autograd_alloc.c -- running a graph takes no memory from the heap.
 *
 * This program's malloc, calloc and realloc count; everything that it links or opens goes through them, the
 * OpenMP runtime and OpenBLAS too. */
#include <stdatomic.h>
#include <stdlib.h>

#include "harness/harness.h"
#include "moira/model.h"

/* Sanitizers and valgrind bring their own malloc. */
#if defined(__SANITIZE_ADDRESS__) || defined(MO_BLAS_REFERENCE) || !defined(__GLIBC__)
#define COUNTED 0
#else
#define COUNTED 1
#endif

static _Atomic bool counting;
static _Atomic int64_t calls;

#if COUNTED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static void count_call(void)
{
    if (atomic_load_explicit(&counting, memory_order_relaxed)) atomic_fetch_add(&calls, 1);
}

void *malloc(size_t size)
{
    count_call();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_call();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    count_call();
    return __libc_realloc(old, size);
}
#endif

/* Every op of a model: noisy routing and all balancing losses. */
static const mo_model_config config = {.vocab_size = 50,
                                       .hidden_size = 32,
                                       .intermediate_size = 48,
                                       .num_hidden_layers = 2,
                                       .num_attention_heads = 4,
                                       .num_key_value_heads = 2,
                                       .max_position_embeddings = 80,
                                       .num_local_experts = 4,
                                       .num_experts_per_tok = 2,
                                       .router = MO_ROUTER_NOISY_TOPK,
                                       .norm_topk_prob = true,
                                       .noise_floor = 0.01,
                                       .rope_theta = 10000,
                                       .rms_norm_eps = 1e-5,
                                       .initializer_range = 0.1};

static void fill(const mo_model_graph *t)
{
    int64_t tokens = t->batch_size * t->sequence_length;
    for (int64_t n = 0; n < tokens; n++) {
        ((int32_t *)t->tokens->data)[n] = (int32_t)(n * 7 % 50);
        ((int32_t *)t->targets->data)[n] = (int32_t)((n + 1) * 7 % 50);
        ((int32_t *)t->positions->data)[n] = (int32_t)(n % t->sequence_length);
        ((int32_t *)t->starts->data)[n] = 0;
    }
}

static void check_runs(mo_model *m, mo_recompute recompute)
{
    mo_model_graph *t;
    mo_model_graph_options options = {.kind = MO_GRAPH_TRAIN,
                                      .batch_size = 2,
                                      .sequence_length = 80,
                                      .balance = {.switch_loss = 1e-2,
                                                  .mixtral = 1e-2,
                                                  .gshard = 1e-2,
                                                  .sequence = 1e-2,
                                                  .importance = 1e-2,
                                                  .load = 1e-2,
                                                  .z_loss = 1e-3,
                                                  .scope = MO_SCOPE_SEQUENCE},
                                      .recompute = recompute};
    mo_run run = {.seed = 1, .training = true};
    mo_optim_config adamw = {.learning_rate = 1e-3,
                             .weight_decay = 0.1,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .epsilon = 1e-8,
                             .max_grad_norm = 1};
    mo_slabs slabs = mo_model_slabs(m);
    MO_CHECK_OK(mo_model_graph_create(m, &options, &t));
    MO_CHECK_OK(mo_graph_bind(t->graph, NULL));
    mo_model_graph_attach(t);
    fill(t);
    mo_model_graph_scale(t, 160, 160);
    atomic_store(&calls, 0);
    for (; run.step < 4; run.step++) {
        if (run.step == 1) atomic_store(&counting, true); /* the first starts threads and their buffers */
        mo_graph_forward(t->graph, &run);
        mo_graph_backward(t->graph, &run);
        mo_graph_train(t->graph, &run);
        mo_adamw_step(&slabs, &adamw, 1e-3, mo_grad_norm(&slabs), run.step);
    }
    atomic_store(&counting, false);
    int64_t after = atomic_load(&calls);
    if (after) fail_msg("%lld allocations while running, recompute policy %d", (long long)after, recompute);
    mo_model_graph_free(t);
}

static void test_running_allocates_nothing(void **state)
{
    (void)state;
    mo_model *m;
    if (!COUNTED) skip();
    atomic_store(&counting, true);
    mo_free(mo_malloc(16));
    atomic_store(&counting, false);
    assert_true(atomic_load(&calls) > 0);
    MO_CHECK_OK(mo_blas_init());
    MO_CHECK_OK(mo_model_create(&config, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    mo_model_init(m, 1);
    for (int policy = MO_RECOMPUTE_NONE; policy <= MO_RECOMPUTE_FULL; policy++)
        check_runs(m, (mo_recompute)policy);
    mo_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_running_allocates_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
