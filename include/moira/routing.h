/* routing.h -- what a model's routers do with a corpus, counted during an evaluation, and how far the routers
 * of two models are from each other.
 *
 *     mo_routing_options wanted = {.listed = 10};
 *     mo_eval_options o = {.file = file, .split = MO_SPLIT_VALIDATION, ..., .routing = &wanted};
 *     MO_TRY(mo_evaluate(model, &o, &result));    result.routing->layers[l], each a layer with experts
 *     mo_eval_result_free(&result);
 *
 * A choice is an expert of a token as its router wants it, before capacity drops any. Padding counts nowhere.
 */
#ifndef MOIRA_ROUTING_H
#define MOIRA_ROUTING_H

#include "moira/train.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mo_routing_options {
    bool single; /* count `layer`, by its number in the model, alone. MO_E_RANGE if it has no experts */
    int layer;
    int64_t listed; /* token ids listed for each expert, of either kind; 0 = none are counted */
    int64_t least;  /* choices that put a token among an expert's own; 0 = 5 */
    uint64_t limit; /* bytes of counts at most; 0 = 1 GiB */
};

/* Token `id` at an expert e: n_ev of the n_v choices that the id makes of any expert.
 *   lift = (n_ev / n_v) / (n_e / n), how much likelier than any token it is to choose e */
typedef struct mo_routed_token {
    int32_t id;
    int64_t count, all; /* n_ev, n_v */
    double lift;
} mo_routed_token;

/* Longest first: `frequent` by n_ev; `own` by n_ev log2 lift, what the token adds to the information between
 * expert and token, of those with lift above 1 and n_ev of at least `least`. Lowest id among equals. */
typedef struct mo_expert_tokens {
    const mo_routed_token *frequent, *own;
    int n_frequent, n_own;
} mo_expert_tokens;

typedef struct mo_layer_choices {
    mo_layer_report report; /* of this evaluation; its load is owned by the mo_routing */
    int64_t total;          /* choices */
    const int64_t *choices; /* [max(1, n_domains)][E] */
    /* Of expert and domain, in bits; NaN without domains. 0 where the expert says nothing of the domain, and
     * at most the smaller of log2 E and domain_entropy. `corrected` takes off what chance alone gives, after
     * Miller and Madow: see mo_mutual_information. */
    double mutual_information, corrected, domain_entropy;
    /* [E][E] tokens that visit both experts; on the diagonal, those that visit the one. NULL where a token
     * has only one expert, and where `limit` leaves no room. */
    const int64_t *pairs;
    /* [E][E], with pairs: those that there would be if a token's experts had nothing to do with each other
     * but that they are different ones: see mo_independent_pairs. 0 on the diagonal. */
    const double *expected;
    const mo_expert_tokens *tokens; /* [E]; NULL if not asked for, or `limit` leaves no room */
} mo_layer_choices;

struct mo_routing {
    int n_layers; /* that are counted */
    int64_t experts, experts_per_token;
    int64_t tokens;                  /* valid ones */
    int n_domains;                   /* 0 without labels */
    const char *const *domain_names; /* borrowed */
    mo_layer_choices *layers;
    int listed_layers;       /* the first so many have token lists */
    uint64_t listed_bytes;   /* that the counts behind the lists of one layer take */
    uint64_t pairs_left_out; /* bytes that the pairs would take, if there was no room for them */
};

/* Of counts n_ij [rows][columns], in bits, with p_ij = n_ij / n:
 *   I = sum_ij p_ij log2 (p_ij / (p_i p_j))
 *   corrected = I - (m_ij - m_i - m_j + 1) / (2 n ln 2),    m: how many counts and sums are not 0
 * (Miller 1955; Roulston 1999, Physica D 125), the mean of I over samples of n independent pairs of
 * independent variables being near (m_ij - m_i - m_j + 1) / (2 n ln 2). A token's K choices and neighbouring
 * tokens are not independent, so what chance gives may be some times that. NaN without counts. */
void mo_mutual_information(const int64_t *counts, int64_t rows, int64_t columns, double *bits,
                           double *corrected);
double mo_entropy_bits(const int64_t *counts, int64_t n);

/* Quasi-independence (Goodman 1968, JASA 63): m_ab = t_a t_b for a != b, with the t for which every expert
 * has as many pairs as it has: sum_b m_ab = sum_b n_ab, b != a. n_ab / m_ab is the lift of a pair: 1 says
 * that the two go together as often as their loads alone make them. Of a symmetric pairs [E][E] with any
 * diagonal; expected [E][E]. MO_E_MEMORY. */
mo_status mo_independent_pairs(const int64_t *pairs, int64_t E, double *expected);

/* ---- two models ---- */

/* How a layer of a model routes the same tokens against a reference, say the model before it was fine-tuned.
 * With A and B the experts of a token, before capacity: */
typedef struct mo_layer_drift {
    int layer;
    double changed;       /* mean over tokens of 1 - |A and B| / max(|A|, |B|); 0 where both are empty */
    double first_changed; /* share of tokens whose expert of largest weight is another one, or is no more */
    double kl; /* mean over tokens of sum_e p_e ln (p_e / q_e), nats, p of the reference, q of the model; both
                  are taken to be at least 1e-37. NaN where one of the routers has no probabilities */
    double js; /* Jensen-Shannon: mean of KL(p, m) / 2 + KL(q, m) / 2, m = (p + q) / 2; at most ln 2 */
    /* ||W - W_ref|| / ||W_ref|| of the router's matrices, without its noise's. NaN if it has none, or they
     * are all zero in the reference alone. */
    double weights_moved;
    /* sum_e |load_e - reference_load_e| / 2: the share of the choices that went elsewhere. */
    double load_moved;
    const double *load, *reference_load; /* [E] */
} mo_layer_drift;

typedef struct mo_drift {
    int n_layers;
    int64_t experts, tokens;
    mo_layer_drift *layers;
    double *loads; /* storage of theirs */
} mo_drift;

/* Runs both models over the same batches, of which options say what mo_evaluate's say (all but routing). A
 * model against itself: exactly 0. MO_E_MISMATCH names what keeps the two from being compared: one is dense,
 * other vocabularies, numbers of experts, layers with experts. MO_E_RANGE and the like as mo_evaluate. */
mo_status mo_routing_drift(const mo_model *reference, const mo_model *model, const mo_eval_options *options,
                           mo_drift *out);
void mo_drift_free(mo_drift *drift);

#ifdef __cplusplus
}
#endif
#endif
