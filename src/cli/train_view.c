/* train_view.c -- start, progress, evaluations, samples, checkpoints and end of a training run. */
#include "train_view.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "describe.h"
#include "session.h"
#include "source_view.h"
#include "terminal.h"
#include "base/units.h"

/* ---- start ---- */

static void print_memory(const mo_run_memory *m)
{
    uint64_t slabs = m->parameters + m->gradients + m->optimizer, available = mo_memory_available();
    printf("memory       %s: weights and optimizer %s, activations %s, the rest %s",
           mo__bytes((double)m->total).text, mo__bytes((double)slabs).text,
           mo__bytes((double)m->activations).text,
           mo__bytes((double)(m->total - slabs - m->activations)).text);
    if (available) printf("; %s available", mo__bytes((double)available).text);
    if (m->mapped) printf("; mapped from the base's files: %s", mo__bytes((double)m->mapped).text);
    putchar('\n');
}

/* padded: windows of whole documents, which need not be full. */
static void print_plan(const mo_run_config *c, int64_t first_step, bool padded)
{
    long long micro = c->train.gradient_accumulation_steps;
    int64_t tokens = mo_run_step_tokens(c), steps = mo_run_steps(c);
    if (steps > 0 && first_step >= steps) {
        printf("training     the evaluation after step %s is left\n\n", mo__count(first_step).text);
        return;
    }
    if (steps > 0)
        printf("training     steps %s to %s", mo__count(first_step + 1).text, mo__count(steps).text);
    else
        printf("training     from step %s on", mo__count(first_step + 1).text);
    if (c->train.seconds > 0)
        printf("%s for %s of training in all", steps > 0 ? ", or" : "", mo__duration(c->train.seconds).text);
    printf(", each of %lld x %lld", (long long)c->train.batch_size, (long long)c->train.sequence_length);
    if (micro > 1) printf(" x %lld", micro);
    printf(" = %s tokens%s\n\n", mo__count(tokens).text, padded ? ", padding included" : "");
}

/* ---- the table of steps: columns that do not fit are left out, those of the highest rank first ---- */

enum { STEP, LOSS, BALANCE, GRAD_NORM, RATE, TOKENS, GFLOPS, MAX_VIO, DROPPED, LEFT, COLUMNS };
enum { ROUTED = 1, DROPPING = 2 }; /* what a model has: experts; experts that can be full, or choose */

static const struct {
    const char *heading;
    int width, rank; /* rank 0 stays */
    unsigned needs;
} columns[COLUMNS] = {
    [STEP] = {"step", 8, 0, 0},
    [LOSS] = {"loss", 8, 0, 0},
    [BALANCE] = {"balance", 8, 6, ROUTED},
    [GRAD_NORM] = {"grad norm", 10, 5, 0},
    [RATE] = {"rate", 9, 7, 0},
    [TOKENS] = {"tokens/s", 10, 4, 0},
    [GFLOPS] = {"GFLOP/s", 8, 8, 0},
    [MAX_VIO] = {"max vio", 8, 2, ROUTED},
    [DROPPED] = {"dropped", 8, 3, DROPPING},
    [LEFT] = {"left", 9, 1, 0},
};

static unsigned traits_of(const mo_model_config *c)
{
    unsigned traits = mo_router_describe(c->router)->traits;
    if (c->num_local_experts == 0) return 0;
    bool limited = c->capacity_factor > 0 && traits & (MO_ROUTER_CAPACITY | MO_ROUTER_FUTURE);
    return ROUTED | (limited ? DROPPING : 0);
}

static unsigned fitting_columns(unsigned traits)
{
    unsigned shown = 0;
    int width = 0, limit = mo__columns();
    for (int c = 0; c < COLUMNS; c++) {
        if (columns[c].needs & ~traits) continue;
        shown |= 1u << c;
        width += columns[c].width;
    }
    for (int rank = COLUMNS; rank > 0; rank--)
        for (int c = 0; c < COLUMNS && width > limit; c++) {
            if (columns[c].rank != rank || !(shown >> c & 1)) continue;
            shown &= ~(1u << c);
            width -= columns[c].width;
        }
    return shown;
}

static void print_row(const mo__train_view *v, const char *const cells[COLUMNS])
{
    char line[36 * COLUMNS];
    int at = 0;
    for (int c = 0; c < COLUMNS; c++)
        if (v->shown >> c & 1)
            at += snprintf(line + at, sizeof line - (size_t)at, "%s%*.31s", c ? " " : "",
                           columns[c].width - (c > 0), cells[c]);
    mo__line("%s", line);
}

static void print_headings(const mo__train_view *v)
{
    const char *cells[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) cells[c] = columns[c].heading;
    print_row(v, cells);
}

/* ---- start of the run ---- */

/* What a run starts from, and what keeps its routers in balance, wherever that was said. */
static void print_base(const mo_run_config *c, const mo_model_config *model)
{
    const char *between = "";
    printf("base         %s\n", c->init.from);
    if (model->num_local_experts == 0) return;
    printf("balancing    ");
    for (int k = 0; k < MO_BALANCE_LOSSES; k++) {
        double coefficient = mo_balance_coefficient(&c->balance, k);
        if (!(coefficient > 0)) continue;
        printf("%sbalance.%s %g", between, mo_balance_names[k], coefficient);
        between = ", ";
    }
    if (c->balance.bias_update_rate > 0) {
        printf("%sbalance.bias_update_rate %g", between, c->balance.bias_update_rate);
        between = ", ";
    }
    if (!*between) printf("none: all coefficients of balance are 0");
    if (model->router_jitter_noise > 0) printf("; model.router_jitter_noise %g", model->router_jitter_noise);
    putchar('\n');
}

static void on_start(const mo_run_config *c, const mo_run_data *data, const mo_model *model,
                     const mo_run_memory *memory, int64_t first_step, bool over, void *user)
{
    mo__train_view *v = user;
    mo__session_begin_work();
    *v = (mo__train_view){.first_step = first_step,
                          .step = first_step,
                          .steps = mo_run_steps(c),
                          .shown = fitting_columns(traits_of(&model->config)),
                          .flops_per_token = mo_model_counts(model, c->train.sequence_length).flops_per_token,
                          .max_vio = (double)NAN,
                          .begin = mo_clock()};
    char *dir = mo_run_dir(c);
    printf("run          %s in %s, seed %llu\n", c->run.name, dir ? dir : "?",
           (unsigned long long)c->run.seed);
    mo_free(dir);
    if (mo__describe_data(c, data) != MO_OK) mo_error_clear();
    mo__describe_model(model);
    if (*c->init.from) print_base(c, &model->config);
    if ((mo_model_tuned(model) || *c->init.from) && mo__describe_tuning(model) != MO_OK) mo_error_clear();
    print_memory(memory);
    printf("computing    %d thread%s, %s\n", mo_threads(), mo_threads() == 1 ? "" : "s", mo_instructions());
    if (!over) {
        bool padded = false;
        for (int i = 0; i < data->count; i++)
            padded = padded || data->sources[i].file->split[MO_SPLIT_TRAIN].whole;
        print_plan(c, first_step, padded);
        print_headings(v);
    }
    fflush(stdout);
}

/* ---- progress ---- */

static mo__shown_number time_left(const mo__train_view *v, int64_t step)
{
    int64_t done = step - v->first_step;
    double spent = mo_clock() - v->begin;
    bool known = done > 0 && v->steps >= step;
    return mo__duration(known ? spent / (double)done * (double)(v->steps - step) : (double)NAN);
}

static void on_tick(int64_t step, double loss, double tokens_per_second, void *user)
{
    mo__train_view *v = user;
    v->step = step;
    if (v->startup == 0) v->startup = mo_process_seconds();
    char balance[80] = "";
    if (!isnan(v->max_vio)) snprintf(balance, sizeof balance, "  max vio %.2f", v->max_vio);
    if (v->dead > 0) snprintf(balance + strlen(balance), 32, ", %lld dead", (long long)v->dead);
    mo__live_line("%8s of %s  %s left  loss %.4f  %s tokens/s  %.1f GFLOP/s%s", mo__count(step).text,
                  v->steps > 0 ? mo__count(v->steps).text : "?", time_left(v, step).text, loss,
                  mo__count((int64_t)tokens_per_second).text, tokens_per_second * v->flops_per_token / 1e9,
                  balance);
}

static double worst_balance(const mo_step_report *r)
{
    double worst = (double)NAN;
    for (int l = 0; l < r->n_layers; l++)
        if (!(r->layers[l].max_vio <= worst)) worst = r->layers[l].max_vio;
    return worst;
}

static int64_t dead_experts(const mo_step_report *r)
{
    int64_t dead = 0;
    for (int l = 0; l < r->n_layers; l++) dead += r->layers[l].dead;
    return dead;
}

/* Of all layers. */
static double dropped_share(const mo_step_report *r)
{
    double sum = 0;
    for (int l = 0; l < r->n_layers; l++) sum += r->layers[l].dropped;
    return r->n_layers ? sum / r->n_layers : (double)NAN;
}

static void print_dead(const mo_step_report *r)
{
    const mo_layer_report *most = r->layers;
    int64_t dead = dead_experts(r), all = 0;
    if (dead == 0) return;
    for (int l = 0; l < r->n_layers; l++) {
        if (r->layers[l].dead > most->dead) most = &r->layers[l];
        all += r->layers[l].experts;
    }
    mo__line(
        "%8s %s of %s experts had less than a tenth of their fair share in this step, %lld of them in layer "
        "%d",
        "", mo__count(dead).text, mo__count(all).text, (long long)most->dead, most->layer);
}

static void print_step(const mo__train_view *v, const mo_step_report *r)
{
    char rate[32], dropped[32];
    snprintf(rate, sizeof rate, "%.2e", r->learning_rate);
    snprintf(dropped, sizeof dropped, "%.2f%%", 100 * dropped_share(r));
    const mo__shown_number step = mo__count(r->step), loss = mo__fixed(r->train_loss, 4),
                           balance = mo__fixed(r->balance_loss, 4), norm = mo__fixed(r->grad_norm, 3),
                           tokens = mo__count((int64_t)r->tokens_per_second), flops = mo__fixed(r->gflops, 1),
                           vio = mo__fixed(v->max_vio, 2), left = time_left(v, r->step);
    print_row(v, (const char *const[COLUMNS]){step.text, loss.text, balance.text, norm.text, rate,
                                              tokens.text, flops.text, vio.text, dropped, left.text});
}

/* On a terminal the live line has every step, and a line stays only at evaluations. */
static void on_step(const mo_step_report *r, void *user)
{
    mo__train_view *v = user;
    v->step = r->step;
    v->steps = r->steps;
    v->max_vio = worst_balance(r);
    v->dead = dead_experts(r);
    bool base = r->step == 0;
    if (!base) v->waited += r->waited_seconds;
    if (!base && (r->evaluated || r->end != MO_RUN_GOES_ON || !mo__live())) print_step(v, r);
    if (!r->evaluated) return;
    char drift[64] = "";
    if (r->drift) snprintf(drift, sizeof drift, ", routing drift %.2f%%", 100 * r->mean_drift);
    mo__line("%8s validation loss %.4f, perplexity %.3f, %s bits per byte%s%s", base ? "base" : "",
             r->validation_loss, exp(r->validation_loss), mo__fixed(r->bits_per_byte, 4).text, drift,
             base ? ", before the first step" : "");
    if (base) return;
    print_dead(r);
    if (r->n_sources == 0) return;
    mo_free(v->sources);
    v->sources = mo__source_losses(r);
    if (v->sources) mo__line("%8s by source, training and validation: %s", "", v->sources);
}

static void on_sample(int64_t step, const char *text, size_t size, void *user)
{
    (void)user;
    char *shown = mo__printable(text, size);
    mo__line("%8s sample at step %s:", "", mo__count(step).text);
    for (const char *line = shown; line && *line;) {
        size_t length = strcspn(line, "\n");
        mo__line("%10s %.*s", "|", (int)length, line);
        line += length + (line[length] == '\n');
    }
    mo_free(shown);
}

static void on_saved(const mo_save_report *r, void *user)
{
    mo__train_view *v = user;
    v->blocked += r->blocked_seconds;
    v->background += r->background_seconds;
    if (r->best) mo__line("%8s best so far, of step %s: %s", "", mo__count(r->step).text, r->best);
    if (r->path)
        mo__line("%8s saved %s (%s; training waited %s)", "", r->path,
                 mo__duration(r->blocked_seconds + r->background_seconds).text,
                 mo__duration(r->blocked_seconds).text);
}

mo_train_events mo__train_view_events(mo__train_view *view)
{
    return (mo_train_events){.start = on_start,
                             .step = on_step,
                             .tick = on_tick,
                             .sample = on_sample,
                             .saved = on_saved,
                             .user = view};
}

/* ---- end ---- */

/* The best checkpoint knows its own figures, also when it is of an earlier part of a resumed run. */
static void print_best(const char *path, double base_loss)
{
    mo_checkpoint *c;
    if (mo_checkpoint_open(path, &c) != MO_OK) return;
    const mo_checkpoint_state *s = mo_checkpoint_get_state(c);
    printf("best         %s: validation loss %.4f at step %s", path, s->best_loss,
           mo__count(s->best_step).text);
    if (!isnan(base_loss))
        printf(", %.4f before the first%s", base_loss,
               s->best_loss < base_loss ? "" : ": the base itself is no worse");
    putchar('\n');
    mo_checkpoint_close(c);
}

/* Why the run is at its end; said of a run that has just got there, or that had when it was resumed. */
static void print_end(const mo_run_config *c, mo_run_end end, bool had)
{
    const char *key = end == MO_RUN_STEPS ? "steps" : end == MO_RUN_TOKENS ? "tokens" : "seconds";
    mo__shown_number all = end == MO_RUN_SECONDS ? mo__duration(c->train.seconds)
                           : end == MO_RUN_STEPS ? mo__count(c->train.steps)
                                                 : mo__count(c->train.tokens);
    if (end == MO_RUN_PATIENCE)
        printf("%s early: %s evaluations in a row without a new best (eval.patience); a larger one "
               "goes on with --resume\n",
               had ? "done         the run had stopped" : "stopped     ", mo__count(c->eval.patience).text);
    else if (end == MO_RUN_PAUSED)
        printf("%-12s the run goes on with --resume\n", had ? "paused" : "");
    else if (had)
        printf("done         the run had all its %s %s; more are made with train.%s=N --resume\n", all.text,
               end == MO_RUN_SECONDS ? "of training" : key, key);
}

static void print_waiting(const mo__train_view *v)
{
    printf("startup      %.2f s from the program's start to the end of the first step\n", v->startup);
    printf("data         waited for %.3f s, %.2f%% of the run's time\n", v->waited,
           100 * v->waited / (mo_clock() - v->begin));
}

mo_status mo__train_view_end(const mo__train_view *view, const mo_run_config *config,
                             const mo_step_report *last)
{
    mo__live_clear();
    if (last->steps > 0)
        printf("\n%-12s %s, %s, %s of training\n", last->end == MO_RUN_PAUSED ? "paused" : "done",
               mo__counted(last->step, "step").text, mo__counted(last->tokens, "predicted token").text,
               mo__duration(last->seconds).text);
    print_end(config, last->end, last->steps == 0);
    if (view->startup > 0) print_waiting(view);
    if (last->steps > 0 && mo_memory_peak_rss() > 0)
        printf("resident     %s of memory at most, weights mapped from files included\n",
               mo__bytes((double)mo_memory_peak_rss()).text);
    char *dir = mo_run_dir(config), *best = dir ? mo_path_join(dir, "best.h5") : NULL;
    mo_status status = best ? MO_OK : MO_E_MEMORY;
    if (best && mo_path_exists(best)) print_best(best, last->base_loss);
    if (view->blocked > 0)
        printf("saving       held training up for %s, took %s more in the background\n",
               mo__duration(view->blocked).text, mo__duration(view->background).text);
    if (view->sources) printf("sources      %s (training and validation loss at the end)\n", view->sources);
    if (dir) printf("metrics      %s/metrics.jsonl\n", dir);
    mo_free(dir);
    mo_free(best);
    return status;
}

void mo__train_view_free(mo__train_view *view)
{
    mo_free(view->sources);
    view->sources = NULL;
}
