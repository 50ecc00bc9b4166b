/* memory.c -- what a run will take, from plans alone.
 *
 * The slabs and the arenas are exact. The runtime share is what a Moira process takes before its slabs,
 * measured once: program and libraries (OpenBLAS, HDF5, C library), and per thread a BLAS packing buffer and
 * a stack. */
#include "train/routing_log.h"

enum { MIB = 1 << 20 };
enum { BATCHES = 5, TOKEN_BYTES = 24 }; /* the loader's ring and that of an evaluation; of a token in one */
static const uint64_t RUNTIME_BASE = 30 * MIB, RUNTIME_PER_THREAD = 3 * MIB;

/* HDF5's own, and what packing takes for each thread (checkpoint.h). */
static uint64_t save_bytes(int64_t threads, int64_t compression)
{
    enum { MOST_PACKING = 16 };
    uint64_t packing = (uint64_t)(threads < MOST_PACKING ? threads : MOST_PACKING);
    return 4 * MIB + packing * (compression > 0 ? 5 : 2) * MIB;
}

mo_model_graph_options mo_run_graph_options(const mo_run_config *config, mo_graph_kind kind)
{
    return (mo_model_graph_options){.kind = kind,
                                    .batch_size = config->train.batch_size,
                                    .sequence_length = config->train.sequence_length,
                                    .balance = config->balance,
                                    .recompute = (mo_recompute)config->train.recompute};
}

static mo_status arena_of(const mo_model *m, const mo_model_graph_options *options, mo_graph_memory *out)
{
    mo_model_graph *t = NULL;
    MO_TRY(mo_model_graph_create(m, options, &t));
    *out = mo_graph_memory_use(t->graph);
    mo_model_graph_free(t);
    return MO_OK;
}

static uint64_t decode_bytes(const mo_run_config *c, const mo_model *m)
{
    if (c->sample.tokens == 0) return 0;
    const mo_model_config *k = &m->config;
    int64_t width = k->num_key_value_heads * k->head_dim;
    return (uint64_t)(k->num_hidden_layers * 2 * k->max_position_embeddings * width) * sizeof(mo_real);
}

mo_status mo_run_memory_estimate(const mo_run_config *c, uint64_t data_bytes, mo_run_memory *out)
{
    mo_model *m = NULL;
    MO_TRY(mo_model_create_tuned(&c->model, &c->tuning, &m));
    mo_model_graph_options train = mo_run_graph_options(c, MO_GRAPH_TRAIN);
    mo_model_graph_options eval = mo_run_graph_options(c, MO_GRAPH_LOSS);
    mo_graph_memory a, b;
    mo_status status = arena_of(m, &train, &a);
    if (status == MO_OK) status = arena_of(m, &eval, &b);
    if (status == MO_OK) {
        uint64_t slab = (uint64_t)m->elements * sizeof(mo_real),
                 trains = (uint64_t)m->trainable * sizeof(mo_real);
        int64_t threads = c->run.threads > 0 ? c->run.threads : mo_cores();
        int64_t batch_tokens = c->train.batch_size * c->train.sequence_length;
        *out =
            (mo_run_memory){.parameters = slab,
                            .gradients = trains,
                            .optimizer = 2 * trains,
                            .activations = a.arena > b.arena ? a.arena : b.arena,
                            .kept = a.kept,
                            .scratch = a.scratch,
                            .data = data_bytes + (uint64_t)batch_tokens * BATCHES * TOKEN_BYTES +
                                    mo__routing_log_bytes(c, &m->config),
                            .snapshot = c->checkpoint.background ? mo__saved_bytes(m, *c->init.from) : 0,
                            .checkpoint = save_bytes(threads, c->checkpoint.compression) + decode_bytes(c, m),
                            .runtime = RUNTIME_BASE + RUNTIME_PER_THREAD * (uint64_t)threads};
        out->total = out->parameters + out->gradients + out->optimizer + out->activations + out->data +
                     out->snapshot + out->checkpoint + out->runtime;
    }
    mo_model_free(m);
    return status;
}
