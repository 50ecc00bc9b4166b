/* balance.h -- what the balancing losses share: sums over the tokens of a group, the product f.P of the
 * Switch family, the squared coefficient of variation of Shazeer's two.
 *
 * Padding is what tokens_N says (negative); an id of -1 is a choice that sends the token nowhere. N tokens
 * fall into groups of `group` in a row; a group's loss is weighed by its valid tokens, so that the op's value
 * over all valid tokens is a mean. Sums are in double, over blocks of rows that depend on shapes alone. */
#ifndef MOIRA_OPS_BALANCE_H
#define MOIRA_OPS_BALANCE_H

#include "ops/kernels.h"

/* Adds rows [first, last) of `from` to sum[width]. */
typedef void mo__add_rows(double *sum, const void *from, int64_t first, int64_t last);
/* Sums per group, [N / group, width], at the head of scratch, which has mo__group_scratch bytes. */
double *mo__group_sums(void *scratch, int64_t N, int64_t group, int64_t width, mo__add_rows *add,
                       const void *from);
size_t mo__group_scratch(int64_t N, int64_t group, int64_t width);
/* MO_OK, or the error of a group that does not divide N. */
mo_status mo__group_check(const char *op, int64_t N, int64_t group);
/* MO_OK, or the error of anything but int32 [N, K] with K <= E, and int32 [N]. */
mo_status mo__ids_check(const char *op, const mo_tensor *ids, int64_t N, int64_t E);
mo_status mo__tokens_check(const char *op, const mo_tensor *tokens, int64_t N);
/* MO_OK, or the error of z, h, sigma, ids that are not three [N, E] and int32 [N, K]. */
mo_status mo__load_check(const char *op, mo_tensor *const in[4]);

/* sum over groups of valid * scale * sum_e f_e P_e. The node's inputs are p_NE of L layers, ids_NK of as
 * many, tokens_N; f_e = assignments to e by the first `choices` choices / tokens, P_e = mean of p_ne, over
 * the valid tokens of all layers. */
typedef struct mo__share {
    int64_t group, choices;
    double scale;
} mo__share;
mo_status mo__share_check(const char *op, const mo_node *node, int64_t group);
double mo__share_loss(const mo_node *node, const mo__share *share);
/* dp_ne = dloss * valid * scale * f_e / tokens, for every p that has a gradient. Reads ids and tokens. */
void mo__share_loss_bwd(const mo_node *node, const mo__share *share);
size_t mo__share_loss_scratch(const mo_node *node, int64_t group);
mo_cost mo__share_loss_cost(const mo_node *node, mo_phase phase);

/* x is [groups, 1 + E]: valid tokens, then x_e. sum over groups of valid * CV^2(x), CV^2 = var / mean^2 with
 * population variance; 0 where the mean is 0. */
double mo__cv2(const double *x, int64_t groups, int64_t E);
/* Replaces every x_e by dloss * valid * dCV^2/dx_e = dloss * valid * 2/(E mean^2) (x_e - mean - var/mean). */
void mo__cv2_bwd(double *x, double dloss, int64_t groups, int64_t E);

#endif
