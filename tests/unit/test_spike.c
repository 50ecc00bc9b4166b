/* test_spike.c -- the watch over training losses: the window, the robust spread, who is to blame. */
#include "harness/harness.h"

#include <math.h>
#include <stdlib.h>

#include "train/spike.h"

enum { N = MO_RECENT_LOSSES };

static double noise(uint64_t i)
{
    return mo_rng_normal(5, MO_RNG_TEST, 0, 0, i);
}

static void the_window_holds_the_last_losses(void **state)
{
    (void)state;
    mo_checkpoint_state s = {0};
    for (int i = 0; i < 200; i++) {
        assert_int_equal(s.n_recent_losses, i < N ? i : N);
        if (s.n_recent_losses > 0) {
            assert_true(s.recent_losses[s.n_recent_losses - 1] == i - 1);
            assert_true(s.recent_losses[0] == (i <= N ? 0 : i - N));
        }
        mo__spike_remember(&s, i);
    }
}

/* 64 values in a scrambled order: 1 .. 64, whose median is 32.5 and MAD 16. */
static void median_and_deviation(void **state)
{
    (void)state;
    mo_checkpoint_state s = {0};
    mo__spike_watch w;
    for (int i = 0; i < N - 1; i++) mo__spike_remember(&s, i * 37 % N + 1);
    mo__spike_begin(&w, &s, 8);
    assert_false(w.on); /* one is missing */
    assert_true(mo__spike_height(&w, 1e9) == 0);
    mo__spike_remember(&s, (N - 1) * 37 % N + 1);
    mo__spike_begin(&w, &s, 0);
    assert_false(w.on);
    mo__spike_begin(&w, &s, 8);
    assert_true(w.on && w.median == 32.5 && w.mad == 16);
    MO_CHECK_NEAR(mo__spike_height(&w, 32.5 + 1.4826 * 16 * 3), 3, 1e-12);
    assert_true(mo__spike_height(&w, 1) < 0);
    for (int i = 0; i < N; i++) assert_true(s.recent_losses[i] == i * 37 % N + 1); /* still in order */
    for (int i = 0; i < N; i++) mo__spike_remember(&s, 2);
    mo__spike_begin(&w, &s, 8);
    assert_true(w.mad == 0);
    MO_CHECK_NEAR(mo__spike_height(&w, 2.002), 1, 1e-9); /* a spread of at least a thousandth */
    for (int i = 0; i < N; i++) mo__spike_remember(&s, 0);
    mo__spike_begin(&w, &s, 8);
    MO_CHECK_NEAR(mo__spike_height(&w, 1e-3), 1, 1e-9); /* and of a thousandth of a nat */
}

/* The watch takes normal noise for what it is, and nearly half of the window may be spikes. */
static void noise_is_no_spike(void **state)
{
    (void)state;
    mo_checkpoint_state s = {0};
    mo__spike_watch w;
    double most = 0, sum = 0;
    uint64_t steps = 20000;
    for (uint64_t i = 0; i < steps; i++) {
        double loss = 2 + 0.1 * noise(i);
        mo__spike_begin(&w, &s, 8);
        most = fmax(most, mo__spike_height(&w, loss));
        if (w.on) sum += w.mad;
        mo__spike_remember(&s, loss);
    }
    assert_true(most > 3 && most < 8);
    MO_CHECK_NEAR(1.4826 * sum / (double)(steps - N), 0.1, 0.003);
    for (int i = 0; i < N / 2 - 4; i++) mo__spike_remember(&s, 9);
    mo__spike_begin(&w, &s, 8);
    assert_true(mo__spike_height(&w, 9) > 8);
    for (int i = 0; i < 8; i++) mo__spike_remember(&s, 9);
    mo__spike_begin(&w, &s, 8);
    assert_true(mo__spike_height(&w, 9) < 8); /* by now it is how things are */
}

/* ---- pieces ---- */

enum { B = 3, T = 8 };

typedef struct {
    mo_batch batch;
    int32_t targets[B * T], starts[B * T], source[B];
    int64_t at[B * T];
    double loss[B * T];
    mo_tensor rows;
    mo_model_graph graph;
} fake;

/* Row 1 has documents of 3 and 5 tokens; a document's last token predicts nothing. */
static void make_fake(fake *f)
{
    *f = (fake){.source = {4, 5, 6}};
    for (int n = 0; n < B * T; n++) {
        f->at[n] = 100 * (n / T + 1) + n % T;
        f->starts[n] = n >= T + 3 && n < 2 * T ? 3 : 0;
        f->targets[n] = n == T + 2 ? -1 : 7;
        f->loss[n] = f->targets[n] < 0 ? 0 : 1;
    }
    f->batch = (mo_batch){.batch_size = B,
                          .sequence_length = T,
                          .targets = f->targets,
                          .starts = f->starts,
                          .source = f->source,
                          .at = f->at};
    f->rows.data = f->loss;
    f->graph.row_loss = &f->rows;
}

static mo__spike_watch watch_at(double median)
{
    mo_checkpoint_state s = {0};
    mo__spike_watch w;
    for (int i = 0; i < N; i++) mo__spike_remember(&s, median);
    mo__spike_begin(&w, &s, 8);
    return w;
}

static void pieces_are_parts_of_documents(void **state)
{
    (void)state;
    fake *f = malloc(sizeof *f);
    assert_non_null(f);
    make_fake(f);
    f->loss[T + 4] = 6; /* in row 1's second document */
    f->loss[2 * T] = 3;
    mo__spike_watch w = watch_at(1);
    mo__spike_add(&w, &f->graph, &f->batch);
    assert_int_equal(w.n_worst, 4);
    const mo__piece *p = w.worst;
    assert_true(p[0].source == 5 && p[0].at == 203 && p[0].tokens == 5 && p[0].predicted == 5);
    assert_true(p[0].loss == 10 && mo__piece_excess(&p[0], 1) == 5);
    assert_true(p[1].source == 6 && p[1].at == 300 && p[1].tokens == T && p[1].loss == 10);
    assert_true(p[2].at == 100 && p[3].at == 200); /* equals stay in order */
    assert_true(p[3].tokens == 3 && p[3].predicted == 2 && p[3].loss == 2);
    free(f);
}

/* Padding ends a row, and documents without anything to predict are no pieces. */
static void padding_is_no_piece(void **state)
{
    (void)state;
    fake *f = malloc(sizeof *f);
    assert_non_null(f);
    make_fake(f);
    for (int i = 2; i < T; i++) { /* two tokens, then padding */
        f->at[i] = f->targets[i] = -1;
        f->starts[i] = i;
        f->loss[i] = 0;
    }
    for (int n = T; n < T + 3; n++) { /* row 1's first document is only read */
        f->targets[n] = -1;
        f->loss[n] = 0;
    }
    for (int n = 2 * T; n < 3 * T; n++) f->at[n] = f->targets[n] = -1, f->starts[n] = n - 2 * T;
    mo__spike_watch w = watch_at(3);
    mo__spike_add(&w, &f->graph, &f->batch);
    assert_int_equal(w.n_worst, 2);
    assert_true(w.worst[0].at == 100 && w.worst[0].tokens == 2 && w.worst[0].predicted == 2);
    assert_true(w.worst[1].at == 203 && w.worst[1].tokens == 5);
    free(f);
}

/* Of all microbatches the worst are kept, the very worst first; a long piece that is a little worse does more
 * than a short one that is much worse. */
static void the_worst_come_first(void **state)
{
    (void)state;
    fake *f = malloc(sizeof *f);
    assert_non_null(f);
    mo__spike_watch w = watch_at(0.5);
    for (int batch = 0; batch < 4; batch++) {
        make_fake(f);
        for (int row = 0; row < B; row++) {
            for (int i = 0; i < T; i++) f->at[row * T + i] = 1000 * batch + 100 * row + i;
            if (row != 1) f->loss[row * T] = batch + 10 * row;
        }
        mo__spike_add(&w, &f->graph, &f->batch);
    }
    static const int64_t want[MO__WORST] = {3200, 2200, 1200, 200, 3000};
    assert_int_equal(w.n_worst, MO__WORST);
    for (int i = 0; i < MO__WORST; i++) assert_int_equal(w.worst[i].at, want[i]);
    make_fake(f);
    f->loss[0] = 40;                                      /* 8 tokens, 43 above */
    for (int n = T + 3; n < 2 * T; n++) f->loss[n] = 9.5; /* 5 tokens, 45 above */
    w = watch_at(0.5);
    mo__spike_add(&w, &f->graph, &f->batch);
    assert_true(w.worst[0].at == 203 && w.worst[1].at == 100);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_window_holds_the_last_losses),
                                       cmocka_unit_test(median_and_deviation),
                                       cmocka_unit_test(noise_is_no_spike),
                                       cmocka_unit_test(pieces_are_parts_of_documents),
                                       cmocka_unit_test(padding_is_no_piece),
                                       cmocka_unit_test(the_worst_come_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
