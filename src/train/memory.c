/* memory.c -- what a run will take, from plans alone.
 *
 * The slabs and the arenas are exact. The runtime share is what a Moira process takes beside them, measured
 * once: program and libraries, and per thread the panel of a product and a stack. */
#include <string.h>

#include "moira/pretrained.h"
#include "train/base_choices.h"
#include "train/routing_log.h"

enum { MIB = 1 << 20 };
enum { BATCHES = 5, TOKEN_BYTES = 24 }; /* the loader's ring and that of an evaluation; of a token in one */
static const uint64_t RUNTIME_BASE = 22 * MIB, RUNTIME_PER_THREAD = 1 * MIB;

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
    int64_t width = k->num_key_value_heads * k->head_dim, longest = k->max_position_embeddings;
    int64_t text = (int64_t)strlen(c->sample.prompt) + 2 + c->sample.tokens; /* a token is a byte or more */
    return (uint64_t)(k->num_hidden_layers * 2 * (text < longest ? text : longest) * width) * sizeof(mo_real);
}

static uint64_t mapped_bytes(const mo_model *m)
{
    uint64_t bytes = 0;
    for (int i = 0; i < m->n_params; i++) {
        const mo_stored *s = m->params[i].stored;
        if (s) bytes += (uint64_t)m->params[i].count * mo_dtype_size(s->dtype);
    }
    return bytes;
}

static mo_status estimate(const mo_run_config *c, const mo_model *m, uint64_t data_bytes, mo_run_memory *out)
{
    mo_model_graph_options train = mo_run_graph_options(c, MO_GRAPH_TRAIN);
    mo_model_graph_options eval = mo_run_graph_options(c, MO_GRAPH_LOSS);
    mo_graph_memory a, b;
    MO_TRY(arena_of(m, &train, &a));
    MO_TRY(arena_of(m, &eval, &b));
    uint64_t slab = (uint64_t)m->elements * sizeof(mo_real),
             trains = (uint64_t)m->trainable * sizeof(mo_real);
    int64_t threads = c->run.threads > 0 ? c->run.threads : mo_cores();
    int64_t batch_tokens = c->train.batch_size * c->train.sequence_length;
    *out = (mo_run_memory){.parameters = slab,
                           .gradients = trains,
                           .optimizer = 2 * trains,
                           .activations = a.arena > b.arena ? a.arena : b.arena,
                           .kept = a.kept,
                           .scratch = a.scratch,
                           .data = data_bytes + (uint64_t)batch_tokens * BATCHES * TOKEN_BYTES +
                                   mo__routing_log_bytes(c, &m->config) +
                                   mo__base_choices_bytes(c, &m->config, data_bytes),
                           .snapshot = c->checkpoint.background ? mo__saved_bytes(m, *c->init.from) : 0,
                           .checkpoint = save_bytes(threads, c->checkpoint.compression) + decode_bytes(c, m),
                           .runtime = RUNTIME_BASE + RUNTIME_PER_THREAD * (uint64_t)threads,
                           .mapped = mapped_bytes(m)};
    out->total = out->parameters + out->gradients + out->optimizer + out->activations + out->data +
                 out->snapshot + out->checkpoint + out->runtime;
    return MO_OK;
}

/* Of a checkpoint nothing is mapped, so there is no need to look at one. */
static mo_status map_base(const mo_run_config *c, mo_model *m, mo_pretrained **base)
{
    if (!mo_tuning_given(&c->tuning) || !mo_path_is_dir(c->init.from)) return MO_OK;
    mo_status status = mo_pretrained_open(c->init.from, NULL, NULL, base);
    if (status == MO_OK) status = mo_pretrained_map(*base, m);
    return status == MO_OK ? MO_OK : mo_error_context(status, "init.from");
}

mo_status mo_run_memory_estimate(const mo_run_config *c, uint64_t data_bytes, mo_run_memory *out)
{
    mo_model *m = NULL;
    mo_pretrained *base = NULL;
    MO_TRY(mo_model_create_tuned(&c->model, &c->tuning, &m));
    mo_status status = map_base(c, m, &base);
    if (status == MO_OK) status = estimate(c, m, data_bytes, out);
    mo_model_free(m);
    mo_pretrained_close(base);
    return status;
}
