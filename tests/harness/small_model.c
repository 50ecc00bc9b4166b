/* small_model.c -- see small_model.h. */
#include "harness/small_model.h"

#include <math.h>

mo_model *small_model_make(mo_model_config config)
{
    mo_model *m;
    MO_CHECK_OK(mo_model_create(&config, &m));
    MO_CHECK_OK(mo_model_allocate(m, MO_ALLOCATE_TRAINING));
    mo_model_init(m, 1);
    for (int i = 0; i < m->n_params; i++)
        for (int64_t j = 0; m->params[i].init == MO_INIT_ZERO && j < m->params[i].count; j++)
            m->value[m->params[i].offset + j] =
                (mo_real)(0.5 * mo_rng_normal(4, MO_RNG_TEST, 0, (uint32_t)i, (uint64_t)j));
    return m;
}

mo_model_graph *small_model_graph(const mo_model *m, mo_model_graph_options options)
{
    mo_model_graph *t;
    MO_CHECK_OK(mo_model_graph_create(m, &options, &t));
    MO_CHECK_OK(mo_graph_bind(t->graph, NULL));
    mo_model_graph_attach(t);
    return t;
}

double small_model_difference(const mo_real *a, const mo_real *b, int64_t count)
{
    double most = 0, largest = 1e-20;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d; /* a NaN stays */
        largest = fmax(largest, fabs((double)a[i]));
    }
    return most / largest;
}
