/* report_compare.c -- the variants of a comparison, their distances to the reference at equal cost, how much
 * sooner or later they get to its loss, and how each was tuned. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "lab/experiment_facts.h"
#include "lab/loss_curves.h"
#include "lab/report_experiment.h"

static const mo_variant_answer *answer_of(const mo__experiment_page *page, int variant)
{
    return &page->answer->variants[variant];
}

static bool timed(const mo__experiment_page *page)
{
    for (int v = 0; v < page->results->n_variants; v++)
        if (isnan(mo__lab_timed_step(page->results, v))) return false;
    return true;
}

static void say_how_timed(const mo__experiment_page *page)
{
    if (!timed(page))
        mo__html_paragraph(
            &page->report->html, "warning",
            "No timing of all variants with the machine to themselves (timing.steps): seconds are of "
            "trials as they ran, perhaps beside others, and do not compare well.");
}

/* ---- the variants ---- */

static void variant_row(const mo__experiment_page *page, int at, bool tuned)
{
    mo__html *h = &page->report->html;
    const mo_lab_variant *v = &page->results->variants[at];
    const mo_variant_answer *a = answer_of(page, at);
    const char *reference = page->results->reference;
    if (reference && strcmp(reference, v->name) == 0) mo__html_row(h, "reference");
    mo__html_cell(h, "%s", v->name);
    mo__html_cell(h, "%s", v->experts ? mo__count(v->experts).text : "dense");
    if (v->match == MO_MATCH_NONE)
        mo__html_cell(h, "-");
    else
        mo__html_cell(h, "%s of %s, off by %.2f%%", mo__lab_match(v->match), v->matched_to,
                      100 * fabs(v->got - v->wanted) / v->wanted);
    mo__html_cell(h, "%s", mo__count(v->active).text);
    mo__html_cell(h, "%s", mo__count(v->total).text);
    mo__html_cell(h, "%s", mo__short(v->flops_per_token).text);
    mo__html_cell(h, "%s", mo__bytes((double)v->memory_bytes).text);
    if (tuned) mo__html_cell(h, "%s%s", a->tuned ? a->tuned : "-", a->tuned_at_edge ? " (at the edge)" : "");
    mo__html_cell(h, "%d", a->loss.count);
    mo__html_cell(h, "%s", mo__lab_mean(&a->loss, 4).text);
    mo__html_cell(h, "%s", mo__fixed(a->loss.deviation, 4).text);
    mo__html_cell(h, "%s", mo__duration(a->seconds.mean).text);
    mo__html_cell(h, "%s", isnan(a->tokens_per_second) ? "-" : mo__count(llround(a->tokens_per_second)).text);
}

static void list_variants(const mo__experiment_page *page)
{
    const mo_lab_results *r = page->results;
    mo__html *h = &page->report->html;
    mo__html_section_begin(h, "Variants");
    mo__html_table_begin(
        h, NULL, "<Variant|>Experts|<Matched by|>Active parameters|>Parameters|>FLOPs per token|>Memory");
    if (r->tune_key) mo__html_column(h, true, mo__lab_short_key(r, r->tune_key));
    mo__html_column(h, true, "Seeds");
    mo__html_column(h, true, "Final loss, nats per token");
    mo__html_column(h, true, "Deviation");
    mo__html_column(h, true, "Training time");
    mo__html_column(h, true, "Tokens per second");
    for (int v = 0; v < r->n_variants; v++) variant_row(page, v, r->tune_key != NULL);
    mo__html_table_end(h);
    mo__html_paragraph(
        h, "note",
        "Final loss: validation loss after the last step, mean over seeds ± half of its 95%% interval "
        "(Student's t); deviation: of the seeds. FLOPs: of training, forward and backward. Memory: what "
        "a run plans to take. Training time: of a whole trial, %s.",
        timed(page) ? "its steps times the median step of a run that had the machine to itself"
                    : "without evaluations and saving");
    say_how_timed(page);
    mo__html_section_end(h);
}

static void variants_csv(const mo__experiment_page *page)
{
    static const char *const headings[] = {"variant",      "experts",   "match",
                                           "matched_to",   "wanted",    "got",
                                           "active",       "total",     "flops_per_token",
                                           "memory_bytes", "tuned",     "seeds",
                                           "loss",         "deviation", "low",
                                           "high",         "seconds",   "tokens_per_second"};
    mo__csv csv = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++) mo__csv_text(&csv, headings[i]);
    mo__csv_end_row(&csv);
    for (int i = 0; i < page->results->n_variants; i++) {
        const mo_lab_variant *v = &page->results->variants[i];
        const mo_variant_answer *a = answer_of(page, i);
        mo__csv_text(&csv, v->name), mo__csv_whole(&csv, v->experts),
            mo__csv_text(&csv, mo__lab_match(v->match));
        mo__csv_text(&csv, v->matched_to ? v->matched_to : "");
        mo__csv_number(&csv, v->wanted), mo__csv_number(&csv, v->got);
        mo__csv_whole(&csv, v->active), mo__csv_whole(&csv, v->total),
            mo__csv_number(&csv, v->flops_per_token);
        mo__csv_number(&csv, (double)v->memory_bytes), mo__csv_text(&csv, a->tuned ? a->tuned : "");
        mo__csv_whole(&csv, a->loss.count);
        const double numbers[] = {a->loss.mean, a->loss.deviation, a->loss.low,
                                  a->loss.high, a->seconds.mean,   a->tokens_per_second};
        for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) mo__csv_number(&csv, numbers[n]);
        mo__csv_end_row(&csv);
    }
    mo__report_csv_end(page->report, "comparison", &csv);
}

/* ---- against the reference ---- */

static void list_contrasts(const mo__experiment_page *page, const char *reference)
{
    mo__html *h = &page->report->html;
    mo__html_table_begin(h, NULL,
                         "<Variant|<At equal|>Difference, nats per token|>Seeds|<Verdict|>Speed-up, times|"
                         ">Seeds that got there");
    for (int c = 0; c < page->answer->n_contrasts; c++)
        for (mo_axis axis = MO_AXIS_TOKENS; axis < MO_AXES; axis++) {
            const mo_contrast *k = &page->answer->contrasts[c];
            const mo_estimate *d = &k->axis[axis].difference, *s = &k->axis[axis].speedup;
            mo__html_cell(h, "%s", axis == MO_AXIS_TOKENS ? page->results->variants[k->variant].name : "");
            mo__html_cell(h, "%s", mo__lab_axis(axis));
            mo__html_cell(h, "%s", mo__lab_distance(d, 4).text);
            mo__html_cell(h, "%d", d->count);
            mo__html_cell(h, "%s", mo__lab_verdict(k->axis[axis].verdict));
            mo__html_cell(h, "%s", mo__lab_interval(s, 2).text);
            mo__html_cell(h, "%d of %d", k->axis[axis].reached, d->count);
        }
    mo__html_table_end(h);
    mo__html_paragraph(
        h, "note",
        "Difference: the variant's validation loss less that of %s, seed by seed, where both had spent "
        "the same: mean ± half of its 95%% interval; below 0 is better. Within noise: the interval holds "
        "0. Speed-up: how many times less of it the variant had spent when it first had the final loss of "
        "%s, with its 95%% interval; below 1 where the variant is worse.",
        reference, reference);
}

static void contrasts_csv(const mo__experiment_page *page)
{
    static const char *const headings[] = {"variant", "reference",   "at_equal",     "difference",
                                           "low",     "high",        "seeds",        "verdict",
                                           "speedup", "speedup_low", "speedup_high", "reached"};
    const mo_lab_results *r = page->results;
    mo__csv csv = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++) mo__csv_text(&csv, headings[i]);
    mo__csv_end_row(&csv);
    for (int c = 0; c < page->answer->n_contrasts; c++)
        for (mo_axis axis = MO_AXIS_TOKENS; axis < MO_AXES; axis++) {
            const mo_contrast *k = &page->answer->contrasts[c];
            const mo_estimate *d = &k->axis[axis].difference, *s = &k->axis[axis].speedup;
            mo__csv_text(&csv, r->variants[k->variant].name),
                mo__csv_text(&csv, r->variants[k->reference].name);
            mo__csv_text(&csv, mo__lab_axis(axis)), mo__csv_number(&csv, d->mean),
                mo__csv_number(&csv, d->low);
            mo__csv_number(&csv, d->high), mo__csv_whole(&csv, d->count);
            mo__csv_text(&csv, mo__lab_verdict(k->axis[axis].verdict)), mo__csv_number(&csv, s->mean);
            mo__csv_number(&csv, s->low), mo__csv_number(&csv, s->high),
                mo__csv_whole(&csv, k->axis[axis].reached);
            mo__csv_end_row(&csv);
        }
    mo__report_csv_end(page->report, "contrasts", &csv);
}

/* Estimates of every contrast side by side: one curve for each axis, a little apart. */
static void draw_contrasts(const mo__experiment_page *page, bool speedups)
{
    const mo_answer *a = page->answer;
    int n = a->n_contrasts;
    double *all = mo__report_numbers(page->report, 12 * (int64_t)n);
    const char **names = mo_malloc((size_t)n * sizeof *names);
    if (!all || !names) {
        if (page->report->status == MO_OK) page->report->status = MO_E_MEMORY;
        mo_free(all);
        mo_free(names);
        return;
    }
    mo__curve curves[MO_AXES + 1];
    for (int axis = 0; axis < MO_AXES; axis++) {
        double *x = all + 4 * n * axis, *y = x + n, *low = y + n, *high = low + n;
        for (int c = 0; c < n; c++) {
            const mo_estimate *e =
                speedups ? &a->contrasts[c].axis[axis].speedup : &a->contrasts[c].axis[axis].difference;
            names[c] = page->results->variants[a->contrasts[c].variant].name;
            x[c] = c + 0.18 * (axis - 1);
            y[c] = e->mean;
            low[c] = e->low;
            high[c] = e->high;
        }
        curves[axis] = (mo__curve){.name = mo__lab_axis((mo_axis)axis),
                                   .x = x,
                                   .y = y,
                                   .low = low,
                                   .high = high,
                                   .count = n,
                                   .style = MO__CURVE_POINTS,
                                   .colour = axis};
    }
    double ends[2] = {-0.5, n - 0.5}, level[2] = {speedups ? 1 : 0, speedups ? 1 : 0};
    curves[MO_AXES] = (mo__curve){.name = page->results->variants[a->contrasts[0].reference].name,
                                  .x = ends,
                                  .y = level,
                                  .count = 2,
                                  .colour = MO__COLOURS - 1,
                                  .dashed = true};
    mo__plot plot = {.name = speedups ? "speedups" : "differences",
                     .title =
                         speedups ? "Speed-up to the reference's final loss" : "Difference at equal cost",
                     .note = speedups ? "Above 1 the variant is sooner there. Bars: 95% intervals."
                                      : "Below 0 the variant is better. Bars: 95% intervals.",
                     .x_label = "variant",
                     .y_label = speedups ? "times less of it" : "difference, nats per token",
                     .x_column = "variant",
                     .log_y = speedups,
                     .x_names = names,
                     .n_x_names = n,
                     .curves = curves,
                     .n_curves = MO_AXES + 1};
    mo__report_plot(page->report, &plot);
    mo_free(all);
    mo_free(names);
}

static void say_contrasts(const mo__experiment_page *page)
{
    char heading[200];
    mo__html *h = &page->report->html;
    if (page->answer->n_contrasts == 0) return;
    const char *reference = page->results->variants[page->answer->contrasts[0].reference].name;
    snprintf(heading, sizeof heading, "Against %s", reference);
    mo__html_section_begin(h, heading);
    list_contrasts(page, reference);
    contrasts_csv(page);
    mo__html_grid_begin(h);
    draw_contrasts(page, false);
    draw_contrasts(page, true);
    for (mo_axis axis = MO_AXIS_TOKENS; axis < MO_AXES; axis++) mo__report_distances(page, axis);
    mo__html_grid_end(h);
    mo__html_section_end(h);
}

/* ---- curves ---- */

static void draw_curves(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    int variants[MO__COLOURS], count = page->results->n_variants;
    if (count > MO__COLOURS) count = MO__COLOURS;
    for (int v = 0; v < count; v++) variants[v] = v;
    mo__html_section_begin(h, "Loss curves");
    if (count < page->results->n_variants)
        mo__html_paragraph(h, "note", "The first %d of %d variants.", count, page->results->n_variants);
    mo__html_grid_begin(h);
    for (mo_axis axis = MO_AXIS_TOKENS; axis < MO_AXES; axis++)
        mo__report_losses(page, variants, count, axis);
    mo__html_grid_end(h);
    mo__html_section_end(h);
}

/* ---- tuning ---- */

static bool is_tuning(const mo_lab_trial *t)
{
    return t->stage == MO_STAGE_TUNE && t->tuned;
}

/* The values that were tried, in the order of the trials: values[most]; returns how many. */
static int tuned_values(const mo_lab_results *r, const char **values, int most)
{
    int count = 0;
    for (int i = 0; i < r->n_trials; i++) {
        int k = 0;
        if (!is_tuning(&r->trials[i])) continue;
        while (k < count && strcmp(values[k], r->trials[i].tuned) != 0) k++;
        if (k == count && count < most) values[count++] = r->trials[i].tuned;
    }
    return count;
}

static const mo_lab_trial *tuning_trial(const mo_lab_results *r, int variant, const char *value)
{
    for (int i = 0; i < r->n_trials; i++)
        if (is_tuning(&r->trials[i]) && r->trials[i].variant == variant &&
            strcmp(r->trials[i].tuned, value) == 0)
            return &r->trials[i];
    return NULL;
}

static void tuning_cell(mo__html *h, const mo_lab_trial *t, const char *taken)
{
    if (!t)
        mo__html_cell(h, "-");
    else if (t->state != MO_TRIAL_DONE)
        mo__html_cell(h, "%s", mo__lab_state(t->state));
    else
        mo__html_cell(h, "%.4f%s", t->loss, taken && strcmp(taken, t->tuned) == 0 ? " taken" : "");
}

static void list_tuning(const mo__experiment_page *page)
{
    enum { MOST = 24 };
    const mo_lab_results *r = page->results;
    mo__html *h = &page->report->html;
    const char *values[MOST];
    bool edge = false;
    int count = tuned_values(r, values, MOST);
    if (count == 0) return;
    mo__html_section_begin(h, "Tuning");
    mo__html_table_begin(h, NULL, "<Variant");
    for (int k = 0; k < count; k++) mo__html_column(h, true, values[k]);
    for (int v = 0; v < r->n_variants; v++) {
        mo__html_cell(h, "%s", r->variants[v].name);
        for (int k = 0; k < count; k++)
            tuning_cell(h, tuning_trial(r, v, values[k]), answer_of(page, v)->tuned);
        edge = edge || answer_of(page, v)->tuned_at_edge;
    }
    mo__html_table_end(h);
    mo__html_paragraph(h, "note",
                       "Validation loss, nats per token, of each value of %s, on the first seed alone. The "
                       "value taken is the same for all seeds.",
                       r->tune_key ? r->tune_key : "what was tuned");
    if (edge)
        mo__html_paragraph(h, "warning",
                           "At least one variant's best value is the smallest or the largest that was "
                           "tried: a value further out may be better still.");
    mo__html_section_end(h);
}

/* ---- routing ---- */

static void list_routing(const mo__experiment_page *page)
{
    const mo_lab_results *r = page->results;
    mo__html *h = &page->report->html;
    bool any = false;
    for (int v = 0; v < r->n_variants; v++) any = any || !isnan(answer_of(page, v)->max_vio.mean);
    if (!any) return;
    mo__html_section_begin(h, "Routing");
    mo__html_table_begin(h, NULL, "<Variant|>Max violation|>Entropy, nats|>Dropped, %");
    for (int v = 0; v < r->n_variants; v++) {
        const mo_variant_answer *a = answer_of(page, v);
        if (isnan(a->max_vio.mean)) continue;
        mo_estimate dropped = a->dropped;
        dropped.mean *= 100, dropped.low *= 100, dropped.high *= 100;
        mo__html_cell(h, "%s", r->variants[v].name);
        mo__html_cell(h, "%s", mo__lab_mean(&a->max_vio, 3).text);
        mo__html_cell(h, "%s", mo__lab_mean(&a->entropy, 3).text);
        mo__html_cell(h, "%s", mo__lab_mean(&dropped, 2).text);
    }
    mo__html_table_end(h);
    mo__html_paragraph(
        h, "note",
        "Max violation: the busiest expert's load over the fair share, less 1. Entropy: of the "
        "router's probabilities. Dropped: choices that found no room. Means over layers and the "
        "last tenth of the steps, then over seeds, ± half of the 95%% interval.");
    mo__html_section_end(h);
}

void mo__report_compare(const mo__experiment_page *page)
{
    say_contrasts(page);
    list_variants(page);
    variants_csv(page);
    draw_curves(page);
    list_tuning(page);
    list_routing(page);
}
