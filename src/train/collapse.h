/* collapse.h -- a watch over routers that stop to route: experts that hardly get anything, and probabilities
 * that leave nothing to choose.
 *
 * Over a window of steps, c_e: mean share of the choices of expert e, H: mean entropy of a step's routing.
 *   LOAD     some c_e is below MO_DEAD_PART of the fair share 1/E
 *   ENTROPY  H stays below MO__SHARP ln E in every step of the window
 * Routers that give every expert the same (soft, expert_choice) have no LOAD, those without probabilities no
 * ENTROPY. A window is longer than asked for where it would hold fewer than MO__COLLAPSE_LEAST choices for
 * each expert: chance alone then does not make one dead.
 *
 * MO__SHARP: at H = 0.02 ln E the largest probability p is 0.99 (E = 8) or 0.98 (E = 256) on average, so that
 * the softmax passes on p (1 - p), a tenth or less of the gradient that it can: the router hardly learns any
 * more, and of several experts of a token all but one have weights near 0. A router that is sure but learns
 * is far above: those of experiments/routers stay above 0.69 ln E, with ten times the learning rate above
 * 0.07. With one expert per token a sure router may be a good one: it is only told of if its experts are not
 * balanced either (MaxVio of the window above 1). */
#ifndef MOIRA_TRAIN_COLLAPSE_H
#define MOIRA_TRAIN_COLLAPSE_H

#include "moira/train.h"

enum { MO__COLLAPSE_LEAST = 50 };
#define MO__SHARP 0.02

typedef enum mo__collapse_kind { MO__COLLAPSE_LOAD, MO__COLLAPSE_ENTROPY, MO__COLLAPSES } mo__collapse_kind;

typedef struct mo__collapse_layer {
    mo_layer_report mean; /* of the last whole window: load, max_vio, dead, entropy, top1 */
    double entropy, top1; /* sums over the window so far */
    bool sharp;           /* every step so far */
    bool told[MO__COLLAPSES];
} mo__collapse_layer;

typedef struct mo__collapse_watch {
    int64_t window, steps; /* steps of a window, 0 = off; of them so far */
    int n_layers;
    int64_t experts;
    bool even, single; /* every expert gets the same; a token has one expert */
    double *loads;     /* [n_layers][2][experts] sums so far, means */
    mo__collapse_layer *layers;
} mo__collapse_watch;

/* As log.collapse_window says; the model's config must be resolved. */
mo_status mo__collapse_open(const mo_run_config *config, const mo_model_config *model,
                            mo__collapse_watch *out);
void mo__collapse_close(mo__collapse_watch *w);
/* After each step, reports[n_layers]; allocates nothing. Whether a window has ended. */
bool mo__collapse_step(mo__collapse_watch *w, const mo_layer_report *reports);
/* After a window: whether MoE layer l (0 is the first) has collapsed; true once for each layer and kind. */
bool mo__collapse_found(mo__collapse_watch *w, int l, mo__collapse_kind kind);

#endif
