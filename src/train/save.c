/* save.c -- a model as the arrays of a checkpoint. */
#include <string.h>

#include "train/train_internal.h"

static mo_status list(const mo_model *m, bool moments, bool frozen, mo_checkpoint_array **arrays, int *count)
{
    const struct {
        const char *group;
        mo_real *slab;
    } groups[] = {{"model", m->value}, {"optimizer/adamw/m", m->m}, {"optimizer/adamw/v", m->v}};
    int n_groups = moments ? 3 : 1, n = 0;
    mo_checkpoint_array *all = mo_calloc((size_t)(n_groups * m->n_params), sizeof *all);
    if (!all) return MO_E_MEMORY;
    for (int g = 0; g < n_groups; g++)
        for (int i = 0; i < m->n_params; i++) {
            const mo_param *p = &m->params[i];
            if (g > 0 ? !mo_param_trains(p) : p->frozen && !frozen) continue;
            all[n] = (mo_checkpoint_array){.group = groups[g].group,
                                           .name = p->name,
                                           .ndim = p->ndim,
                                           .data = p->stored ? NULL : groups[g].slab + p->offset,
                                           .stored = p->stored};
            memcpy(all[n++].dim, p->dim, sizeof p->dim);
        }
    *arrays = all;
    *count = n;
    return MO_OK;
}

mo_status mo_model_arrays(const mo_model *m, bool moments, mo_checkpoint_array **arrays, int *count)
{
    return list(m, moments, true, arrays, count);
}

mo_status mo_model_arrays_changed(const mo_model *m, bool moments, mo_checkpoint_array **arrays, int *count)
{
    return list(m, moments, false, arrays, count);
}

uint64_t mo__saved_bytes(const mo_model *m, bool changed)
{
    uint64_t elements = 0;
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (!p->stored && !(changed && p->frozen)) elements += (uint64_t)p->count;
        if (mo_param_trains(p)) elements += 2 * (uint64_t)p->count;
    }
    return elements * sizeof(mo_real);
}
