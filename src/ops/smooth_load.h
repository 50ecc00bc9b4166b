/* smooth_load.h -- what one token adds to the load of the experts of a noisy top-K choice, and the way back
 * (Shazeer et al. 2017, arXiv:1701.06538, eq. 8-10): the probability that the token would choose the expert
 * if the expert's own noise were drawn again
 *   x_e += Phi(t_e)      t_e = (z_e - h_j) / sigma_e
 *   dz_e += q      dh_j -= q      dsigma_e -= q t_e      q = dloss/dx_e phi(t_e) / sigma_e
 * j: the K-th largest of h without e, that is the (K+1)-th of h if e is chosen, else the K-th. Phi and phi
 * are the standard normal's distribution and density; sigma = 0 is the limit, a step. `hard` counts the
 * choices, and has no gradient: where K = E (no threshold) and without noise (evaluation). */
#ifndef MOIRA_OPS_SMOOTH_LOAD_H
#define MOIRA_OPS_SMOOTH_LOAD_H

#include "ops/kernels.h"

typedef struct mo__load_row {
    const mo_real *z, *h, *sigma; /* [E] */
    const int32_t *id;            /* [K], the K largest of h, expert 0 called `base` */
    int64_t E, K;
    int32_t base;
    bool hard;
} mo__load_row;

/* Choices outside base .. base + E - 1 are none; a smooth row without all K adds nothing. */
void mo__load_row_add(double *x_E, const mo__load_row *row);
/* Adds to dz, dh, dsigma [E]; each may be NULL. slope_E: dloss/dx_e. */
void mo__load_row_bwd(mo_real *dz, mo_real *dh, mo_real *dsigma, const mo__load_row *row,
                      const double *slope_E);

#endif
