/* report_sweep.c -- which variants are best, how sure that is, and what they cost. */
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "lab/experiment_facts.h"
#include "lab/report_experiment.h"

enum { MOST_KEYS = 16, MOST_ROWS = 60, MOST_CURVES = 5, MOST_BARS = 80, FEWEST_RANKED = 3 };
/* With more keys the table would be wider than a screen; ranking.csv has it. */
enum { KEYS_AND_ENTROPY = 3 };

typedef struct ranking {
    const mo__experiment_page *page;
    const char *keys[MOST_KEYS];
    int n_keys;
    int ranked; /* variants that have a loss: the first of answer->ranking */
    bool several_seeds, seeds_missing, steps_differ, routed, dropping; /* what the table has columns for */
} ranking;

static const mo_variant_answer *answer_of(const ranking *k, int place)
{
    return &k->page->answer->variants[k->page->answer->ranking[place]];
}

static const mo_lab_variant *variant_of(const ranking *k, int place)
{
    return &k->page->results->variants[k->page->answer->ranking[place]];
}

static double behind_best(const ranking *k, int place)
{
    return answer_of(k, place)->loss.mean - answer_of(k, 0)->loss.mean;
}

static bool lacks_seeds(const mo_variant_answer *a)
{
    return a->loss.count < a->seeds;
}

/* All of its seeds have got as far as the first's: their means compare. */
static bool comparable(const ranking *k, int place)
{
    const mo_variant_answer *a = answer_of(k, place);
    return a->rung == answer_of(k, 0)->rung && !lacks_seeds(a);
}

static ranking look(const mo__experiment_page *page)
{
    ranking k = {.page = page,
                 .several_seeds = mo__lab_seeds(page->results) > 1,
                 .steps_differ = mo__lab_steps_differ(page->results)};
    k.n_keys = mo__lab_keys(page->results, k.keys, MOST_KEYS);
    while (k.ranked < page->answer->n_variants && !isnan(answer_of(&k, k.ranked)->loss.mean)) k.ranked++;
    for (int i = 0; i < k.ranked; i++) {
        k.routed = k.routed || !isnan(answer_of(&k, i)->max_vio.mean);
        k.seeds_missing = k.seeds_missing || lacks_seeds(answer_of(&k, i));
        k.dropping = k.dropping || answer_of(&k, i)->dropped.mean > 0;
    }
    return k;
}

/* ---- ranking ---- */

/* Lowest and highest loss of the seeds that count. */
static void range_of(const mo_lab_results *r, int variant, double *low, double *high)
{
    int64_t step = mo__lab_step_of(r, variant);
    *low = *high = (double)NAN;
    for (int i = 0; i < r->n_trials; i++) {
        const mo_lab_trial *t = &r->trials[i];
        if (t->variant != variant || t->stage != MO_STAGE_MAIN || t->state == MO_TRIAL_FAILED) continue;
        for (int e = 0; e < t->n_evaluations; e++) {
            if (t->evaluations[e].step != step) continue;
            *low = fmin(*low, t->evaluations[e].validation_loss);
            *high = fmax(*high, t->evaluations[e].validation_loss);
        }
    }
}

static void ranking_columns(const ranking *k)
{
    mo__html *h = &k->page->report->html;
    mo__html_table_begin(h, "Variants by validation loss, nats per token",
                         ">#|=Variant|>Loss|>Behind the first");
    if (k->seeds_missing) mo__html_column(h, true, "Seeds");
    if (k->several_seeds) mo__html_column(h, true, "Lowest to highest");
    if (k->steps_differ) mo__html_column(h, true, "Step");
    for (int i = 0; i < k->n_keys; i++)
        mo__html_column(h, true, mo__lab_short_key(k->page->results, k->keys[i]));
    mo__html_column(h, true, "Training time");
    mo__html_column(h, false, "Front");
    mo__html_column(h, true, "Active parameters");
    if (!k->routed) return;
    mo__html_column(h, true, "Max violation");
    if (k->n_keys <= KEYS_AND_ENTROPY) mo__html_column(h, true, "Entropy, nats");
    if (k->dropping) mo__html_column(h, true, "Dropped");
}

static void seeds_cells(const ranking *k, const mo_variant_answer *a)
{
    mo__html *h = &k->page->report->html;
    double low, high;
    range_of(k->page->results, a->variant, &low, &high);
    if (k->seeds_missing) mo__html_cell(h, "%d of %d", a->loss.count, a->seeds);
    if (!k->several_seeds) return;
    if (low < high)
        mo__html_cell(h, "%.4f to %.4f", low, high);
    else
        mo__html_cell(h, "-");
}

static void routing_cells(const ranking *k, const mo_variant_answer *a)
{
    mo__html *h = &k->page->report->html;
    mo__html_cell(h, "%s", mo__fixed(a->max_vio.mean, 3).text);
    if (k->n_keys <= KEYS_AND_ENTROPY) mo__html_cell(h, "%s", mo__fixed(a->entropy.mean, 3).text);
    if (k->dropping)
        mo__html_cell(h, "%s%s", mo__fixed(100 * a->dropped.mean, 1).text, isnan(a->dropped.mean) ? "" : "%");
}

static void ranking_row(const ranking *k, int place)
{
    mo__html *h = &k->page->report->html;
    const mo_variant_answer *a = answer_of(k, place);
    const mo_lab_variant *v = variant_of(k, place);
    if (place == 0) mo__html_row(h, "best");
    if (lacks_seeds(a))
        mo__html_cell(h, "-");
    else
        mo__html_cell(h, "%d", place + 1);
    mo__html_cell(h, "%s", v->name);
    mo__html_cell(h, "%.4f", a->loss.mean);
    if (place && comparable(k, place))
        mo__html_cell(h, "%s%.4f", a->near_best ? "alike: " : "", behind_best(k, place));
    else
        mo__html_cell(h, "-");
    seeds_cells(k, a);
    if (k->steps_differ)
        mo__html_cell(h, "%s", mo__count(mo__lab_step_of(k->page->results, a->variant)).text);
    for (int i = 0; i < k->n_keys; i++) {
        const char *value = mo__lab_chosen(v, k->keys[i]);
        mo__html_cell(h, "%s", value ? value : "-");
    }
    mo__html_cell(h, "%s", mo__duration(a->seconds.mean).text);
    mo__html_cell(h, "%s", a->pareto ? "yes" : "");
    mo__html_cell(h, "%s", mo__count(v->active).text);
    if (k->routed) routing_cells(k, a);
}

static void explain_ranking(const ranking *k)
{
    mo__html *h = &k->page->report->html;
    if (k->seeds_missing)
        mo__html_paragraph(h, "note",
                           "Variants that lack a seed come last: what they have may be the lucky ones.");
    if (k->ranked > MOST_ROWS)
        mo__html_paragraph(h, "note", "The first %d of %d variants; all of them are in ranking.csv.",
                           MOST_ROWS, k->ranked);
    mo__html_paragraph(
        h, "note",
        "Loss: validation loss after the last step%s%s. Behind the first: of the means%s. Training time is a "
        "trial's, "
        "without evaluations and saving, as it ran, perhaps beside others. Front: no other variant is as "
        "good in both "
        "loss and time.%s",
        k->steps_differ ? " that a variant got to; losses at different steps do not compare" : "",
        k->several_seeds ? ", mean over seeds, and the lowest and the highest of them" : "",
        isnan(k->page->answer->least_difference) ? "" : "; alike: too close to be told from it",
        !k->routed                      ? ""
        : k->n_keys <= KEYS_AND_ENTROPY ? " Max violation (the busiest expert's load over the fair share, "
                                          "less 1) and entropy of the router "
                                          "are means over layers at the end."
                                        : " Max violation (the busiest expert's load over the fair share, "
                                          "less 1) is a mean over layers at "
                                          "the end.");
}

static void draw_ranking(const ranking *k)
{
    mo__report *report = k->page->report;
    double least = k->page->answer->least_difference, best = answer_of(k, 0)->loss.mean;
    double ends[2] = {0.5, 0}, level[2] = {best + least, best + least};
    double *x = mo__report_numbers(report, 4 * (int64_t)k->ranked);
    if (!x) return;
    double *y = x + k->ranked, *low = y + k->ranked, *high = low + k->ranked;
    int count = 0;
    for (; count < k->ranked && comparable(k, count); count++) {
        x[count] = count + 1;
        y[count] = answer_of(k, count)->loss.mean;
        range_of(k->page->results, answer_of(k, count)->variant, &low[count], &high[count]);
    }
    if (count < FEWEST_RANKED) {
        mo_free(x);
        return;
    }
    ends[1] = count + 0.5;
    mo__curve curves[2] = {{.name = "mean",
                            .x = x,
                            .y = y,
                            .low = k->several_seeds ? low : NULL,
                            .high = k->several_seeds ? high : NULL,
                            .count = count,
                            .style = count > MOST_BARS ? MO__CURVE_LINE : MO__CURVE_POINTS},
                           {.name = "above: worse than the first",
                            .x = ends,
                            .y = level,
                            .count = 2,
                            .colour = MO__COLOURS - 1,
                            .dashed = true}};
    mo__plot plot = {.name = "ranked-losses",
                     .title = "Losses by rank",
                     .note =
                         k->several_seeds
                             ? "Means over seeds; bars or band: lowest to highest seed. What is below the "
                               "line cannot be told from the first."
                             : NULL,
                     .x_label = "rank",
                     .whole_x = true,
                     .y_label = "validation loss, nats per token",
                     .curves = curves,
                     .n_curves = isnan(least) ? 1 : 2};
    mo__report_plot(report, &plot);
    mo_free(x);
}

/* ---- loss against seconds ---- */

/* The front from the quickest to the best: a variant's seconds and loss. Returns how many. */
static int front_of(const ranking *k, double *x, double *y)
{
    int count = 0;
    for (int i = k->ranked - 1; i >= 0; i--) {
        if (!answer_of(k, i)->pareto) continue;
        int at = count++;
        double seconds = answer_of(k, i)->seconds.mean, loss = answer_of(k, i)->loss.mean;
        for (; at > 0 && x[at - 1] > seconds; at--) {
            x[at] = x[at - 1];
            y[at] = y[at - 1];
        }
        x[at] = seconds;
        y[at] = loss;
    }
    return count;
}

/* Points of the variants that have the value of the key; key NULL: of all. Returns how many. */
static int points_with(const ranking *k, const char *key, const char *value, double *x, double *y)
{
    int count = 0;
    for (int i = 0; i < k->ranked; i++) {
        const char *chosen = key ? mo__lab_chosen(variant_of(k, i), key) : NULL;
        if (!comparable(k, i) || (key && (!chosen || strcmp(chosen, value) != 0))) continue;
        x[count] = answer_of(k, i)->seconds.mean;
        y[count++] = answer_of(k, i)->loss.mean;
    }
    return count;
}

/* The effect whose levels have a colour each; NULL: none has few enough, and all variants are in one. */
static const mo_effect *colouring(const ranking *k)
{
    const mo_answer *a = k->page->answer;
    for (int i = 0; i < a->n_effects; i++) {
        int shown = 0;
        for (int l = 0; l < a->effects[i].n_levels; l++)
            for (int v = 0; v < k->ranked; v++) {
                const char *value = mo__lab_chosen(variant_of(k, v), a->effects[i].key);
                shown += value && strcmp(value, a->effects[i].levels[l].value) == 0;
            }
        if (shown == k->ranked && a->effects[i].n_levels < MO__COLOURS) return &a->effects[i];
    }
    return NULL;
}

static void draw_front(const ranking *k)
{
    mo__report *report = k->page->report;
    const mo_effect *effect = colouring(k);
    int groups = effect ? effect->n_levels : 1, used = 0, curves_used = 0;
    mo__curve curves[MO__COLOURS + 1];
    char note[500], names[MO__COLOURS][96];
    double *x = mo__report_numbers(report, 4 * (int64_t)k->ranked);
    if (!x) return;
    double *y = x + 2 * k->ranked;
    for (int g = 0; g < groups; g++) {
        int count = points_with(k, effect ? effect->key : NULL, effect ? effect->levels[g].value : "",
                                x + used, y + used);
        if (effect)
            snprintf(names[g], sizeof names[g], "%s %s", mo__lab_short_key(k->page->results, effect->key),
                     effect->levels[g].value);
        curves[curves_used++] = (mo__curve){.name = effect ? names[g] : "variants",
                                            .x = x + used,
                                            .y = y + used,
                                            .count = count,
                                            .style = MO__CURVE_POINTS,
                                            .colour = g};
        used += count;
    }
    int front = front_of(k, x + used, y + used);
    curves[curves_used++] = (mo__curve){.name = "front",
                                        .x = x + used,
                                        .y = y + used,
                                        .count = front,
                                        .style = MO__CURVE_STEPS,
                                        .colour = MO__COLOURS - 1,
                                        .dashed = true};
    snprintf(note, sizeof note,
             "A point is a variant: means over seeds. No variant is below and left of the front. Seconds are "
             "as trained, "
             "perhaps beside other trials.%s%.160s%s",
             effect ? " Colours: " : "", effect ? effect->key : "", effect ? "." : "");
    mo__plot plot = {.name = "loss-by-seconds",
                     .title = "Loss against training time",
                     .note = note,
                     .x_label = "training seconds of a trial",
                     .y_label = "validation loss, nats per token",
                     .curves = curves,
                     .n_curves = curves_used};
    mo__report_plot(report, &plot);
    mo_free(x);
}

/* ---- data ---- */

static void ranking_csv(const ranking *k)
{
    mo__csv csv = {0};
    mo__csv_text(&csv, "rank"), mo__csv_text(&csv, "variant");
    for (int i = 0; i < k->n_keys; i++) mo__csv_text(&csv, k->keys[i]);
    static const char *const rest[] = {
        "step",   "seeds", "loss",    "deviation", "low",     "high",  "seconds", "tokens_per_second",
        "active", "total", "max_vio", "entropy",   "dropped", "pareto"};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) mo__csv_text(&csv, rest[i]);
    mo__csv_end_row(&csv);
    for (int i = 0; i < k->ranked; i++) {
        const mo_variant_answer *a = answer_of(k, i);
        const mo_lab_variant *v = variant_of(k, i);
        mo__csv_whole(&csv, i + 1), mo__csv_text(&csv, v->name);
        for (int p = 0; p < k->n_keys; p++) {
            const char *value = mo__lab_chosen(v, k->keys[p]);
            mo__csv_text(&csv, value ? value : "");
        }
        mo__csv_whole(&csv, mo__lab_step_of(k->page->results, a->variant));
        mo__csv_whole(&csv, a->loss.count);
        const double numbers[] = {a->loss.mean, a->loss.deviation, a->loss.low,
                                  a->loss.high, a->seconds.mean,   a->tokens_per_second};
        for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) mo__csv_number(&csv, numbers[n]);
        mo__csv_whole(&csv, v->active), mo__csv_whole(&csv, v->total);
        mo__csv_number(&csv, a->max_vio.mean), mo__csv_number(&csv, a->entropy.mean);
        mo__csv_number(&csv, a->dropped.mean), mo__csv_whole(&csv, a->pareto);
        mo__csv_end_row(&csv);
    }
    mo__report_csv_end(k->page->report, "ranking", &csv);
}

void mo__report_sweep(const mo__experiment_page *page)
{
    ranking k = look(page);
    mo__html *h = &page->report->html;
    if (k.ranked == 0) {
        mo__report_notes(page);
        return;
    }
    mo__html_section_begin(h, "Ranking");
    ranking_columns(&k);
    for (int i = 0; i < k.ranked && i < MOST_ROWS; i++) ranking_row(&k, i);
    mo__html_table_end(h);
    explain_ranking(&k);
    ranking_csv(&k);
    mo__html_grid_begin(h);
    draw_ranking(&k);
    draw_front(&k);
    mo__html_grid_end(h);
    mo__html_section_end(h);
    mo__report_notes(page);
    mo__report_effects(page);
    mo__html_section_begin(h, k.ranked > MOST_CURVES ? "Curves of the best five" : "Curves");
    mo__html_grid_begin(h);
    for (mo_axis axis = MO_AXIS_TOKENS; axis < MO_AXES; axis++)
        mo__report_losses(page, page->answer->ranking, k.ranked < MOST_CURVES ? k.ranked : MOST_CURVES, axis);
    mo__html_grid_end(h);
    mo__html_section_end(h);
}
