/* model_parts.c -- parameters by what they are for: how many, how many train, and the bytes of both. */
#include <string.h>

#include "moira/model.h"

/* The first that fits counts: a norm of queries is a norm. */
enum { NORMS, EMBEDDINGS, ATTENTION, ROUTERS, EXPERTS, HEAD, DENSE, KINDS, ROWS = 2 * KINDS };
static const struct {
    const char *name, *match; /* see mo_optim_matches */
} parts[KINDS] = {[NORMS] = {"norms", "norms"},
                  [EMBEDDINGS] = {"embeddings", "model.embed_*"},
                  [ATTENTION] = {"attention", "attention"},
                  [ROUTERS] = {"routers", "router"},
                  [EXPERTS] = {"experts", "experts"},
                  [HEAD] = {"head", "lm_head.*"},
                  [DENSE] = {"feed-forward", "*"}};

/* As a token meets them. */
static const int order[KINDS] = {EMBEDDINGS, ATTENTION, DENSE, ROUTERS, EXPERTS, NORMS, HEAD};

static const char *const adapter_names[KINDS] = {[ATTENTION] = "adapters of attention",
                                                 [EXPERTS] = "adapters of experts",
                                                 [DENSE] = "adapters of feed-forward"};

static int kind_of(const char *name)
{
    int k = 0;
    while (k < KINDS - 1 && !mo_optim_matches(parts[k].match, name)) k++;
    return k;
}

static void add(mo_model_part *row, const mo_param *p)
{
    uint64_t bytes = (uint64_t)p->count * sizeof(mo_real);
    row->parameters += p->count;
    if (p->stored)
        row->mapped_bytes += (uint64_t)p->count * mo_dtype_size(p->stored->dtype);
    else
        row->value_bytes += bytes;
    if (!mo_param_trains(p)) return;
    row->trained += p->count;
    row->gradient_bytes += bytes;
    row->moment_bytes += 2 * bytes;
}

int mo_model_parts(const mo_model *m, mo_model_part out[MO_MODEL_PARTS])
{
    _Static_assert((int)MO_MODEL_PARTS >= (int)ROWS, "a row for each part and for its adapters");
    mo_model_part rows[ROWS] = {{0}};
    int n = 0;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (p->buffer) continue;
        int k = kind_of(p->name), adapter = strstr(p->name, ".lora_") != NULL;
        rows[k + adapter * KINDS].name = adapter ? adapter_names[k] : parts[k].name;
        add(&rows[k + adapter * KINDS], p);
    }
    for (int r = 0; r < ROWS; r++) {
        const mo_model_part *row = &rows[order[r % KINDS] + r / KINDS * KINDS];
        if (row->parameters > 0) out[n++] = *row;
    }
    return n;
}
