/* bias.c -- balancing without a loss (Wang et al. 2024, arXiv:2408.15664, algorithm 1; DeepSeek-V3, section
 * 2.1.2): after an optimizer step an expert with less than the mean load of that step is selected more
 * easily, one with more less easily
 *   b_e += rate * (s_e - mean_i s_i)      s_e = sign(mean_i load_i - load_e)
 * Selection hangs on differences of b alone. The paper's step is rate * s_e; without the mean, which
 * torchtitan takes off too (its issue 1506), b would drift away from 0 as a whole and lose digits. */
#include <stdio.h>

#include "model/build.h"

/* Of mean - load, by way of E * mean: loads are counts, and this is exact. */
static int sign_of(double total, int64_t E, double load)
{
    double below = total - (double)E * load;
    return (below > 0) - (below < 0);
}

void mo_model_move_bias(mo_model *m, int64_t layer, const double *load_E, double rate)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%lld." MO__BIAS_NAME, (long long)layer);
    const mo_param *p = mo_model_find(m, name);
    MO_ASSERT(p);
    if (p->frozen) return;
    int64_t E = p->count, signs = 0;
    double total = 0;
    for (int64_t e = 0; e < E; e++) total += load_E[e];
    for (int64_t e = 0; e < E; e++) signs += sign_of(total, E, load_E[e]);
    for (int64_t e = 0; e < E; e++) {
        double step = sign_of(total, E, load_E[e]) - (double)signs / (double)E;
        m->value[p->offset + e] += (mo_real)(rate * step);
    }
}
