/* spike.c -- a robust watch over the training loss: a median and a spread that a spike itself hardly moves,
 * and the pieces of documents that put the step above the median. */
#include <math.h>
#include <string.h>

#include "train/spike.h"

enum { N = MO_RECENT_LOSSES };

/* Sorts x. */
static double median_of(double x[N])
{
    for (int i = 1; i < N; i++) {
        double value = x[i];
        int at = i;
        for (; at > 0 && x[at - 1] > value; at--) x[at] = x[at - 1];
        x[at] = value;
    }
    return 0.5 * (x[N / 2 - 1] + x[N / 2]);
}

void mo__spike_begin(mo__spike_watch *w, const mo_checkpoint_state *state, double threshold)
{
    *w = (mo__spike_watch){.on = threshold > 0 && state->n_recent_losses == N};
    if (!w->on) return;
    double x[N];
    memcpy(x, state->recent_losses, sizeof x);
    w->median = median_of(x);
    for (int i = 0; i < N; i++) x[i] = fabs(x[i] - w->median);
    w->mad = median_of(x);
}

double mo__piece_excess(const mo__piece *piece, double median)
{
    return piece->loss - median * (double)piece->predicted;
}

/* Among equals the first stays first; padding, and documents that are only read, are no pieces. */
static void consider(mo__spike_watch *w, const mo__piece *piece)
{
    if (piece->predicted == 0) return;
    double excess = mo__piece_excess(piece, w->median);
    int at = w->n_worst;
    while (at > 0 && excess > mo__piece_excess(&w->worst[at - 1], w->median)) at--;
    if (at == MO__WORST) return;
    if (w->n_worst < MO__WORST) w->n_worst++;
    for (int i = w->n_worst - 1; i > at; i--) w->worst[i] = w->worst[i - 1];
    w->worst[at] = *piece;
}

void mo__spike_add(mo__spike_watch *w, const mo_model_graph *t, const mo_batch *batch)
{
    if (!w->on) return;
    const double *loss = t->row_loss->data;
    int64_t T = batch->sequence_length;
    for (int64_t row = 0; row < batch->batch_size; row++) {
        mo__piece piece = {0};
        for (int64_t i = 0; i < T; i++) {
            int64_t n = row * T + i;
            if (i == batch->starts[n]) { /* a document begins, or the row, or padding */
                if (i > 0) consider(w, &piece);
                piece = (mo__piece){.source = batch->source[row], .at = batch->at[n]};
            }
            piece.tokens++;
            piece.predicted += batch->targets[n] >= 0;
            piece.loss += loss[n];
        }
        consider(w, &piece);
    }
}

double mo__spike_height(const mo__spike_watch *w, double loss)
{
    double deviation = fmax(1.4826 * w->mad, 1e-3 * fmax(w->median, 1));
    return w->on ? (loss - w->median) / deviation : 0;
}

void mo__spike_remember(mo_checkpoint_state *state, double loss)
{
    double *x = state->recent_losses;
    if (state->n_recent_losses == N)
        memmove(x, x + 1, (N - 1) * sizeof *x);
    else
        state->n_recent_losses++;
    x[state->n_recent_losses - 1] = loss;
}
