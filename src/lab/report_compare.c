/* report_compare.c -- the variants of a comparison, their distances to the reference at equal cost, how much
 * sooner or later they get to its loss, and how each was tuned. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "lab/experiment_facts.h"
#include "lab/report_experiment.h"

enum { MOST_CONTRASTS = 12, MOST_DRAWN = 3 };

static const mo_variant_answer *answer_of(const mo__experiment_page *page, int variant)
{
    return &page->answer->variants[variant];
}

static void say_how_timed(const mo__experiment_page *page)
{
    if (!page->answer->timed)
        mo__html_paragraph(&page->report->html, "warning",
                           "No timing of all variants one at a time (timing.steps): seconds are of "
                           "trials as they ran, perhaps beside others, and do not compare well.");
    else if (!page->answer->steady)
        mo__html_paragraph(&page->report->html, "warning",
                           "The machine was not left alone while steps were timed: seconds, and speed-ups in "
                           "seconds, are not to be relied on.");
}

/* ---- the variants ---- */

static void begin_row(const mo__experiment_page *page, const mo_lab_variant *v)
{
    const char *reference = page->results->reference;
    if (reference && strcmp(reference, v->name) == 0) mo__html_row(&page->report->html, "reference");
    mo__html_cell(&page->report->html, "%s", v->name);
}

static void list_losses(const mo__experiment_page *page)
{
    const mo_lab_results *r = page->results;
    mo__html *h = &page->report->html;
    mo__html_table_begin(
        h, "What came of them",
        "=Variant|>Final loss, nats per token|>Deviation|>Seeds|>Training time|>Tokens per second");
    if (r->tune_key) mo__html_column(h, true, mo__lab_short_key(r, r->tune_key));
    for (int i = 0; i < r->n_variants; i++) {
        const mo_variant_answer *a = answer_of(page, i);
        begin_row(page, &r->variants[i]);
        mo__html_cell(h, "%s", mo__lab_mean(&a->loss, 4).text);
        mo__html_cell(h, "%s", mo__fixed(a->loss.deviation, 4).text);
        mo__html_cell(h, "%d of %d", a->loss.count, a->seeds);
        mo__html_cell(h, "%s", mo__duration(a->seconds.mean).text);
        mo__html_cell(h, "%s",
                      isnan(a->tokens_per_second) ? "-" : mo__count(llround(a->tokens_per_second)).text);
        if (r->tune_key)
            mo__html_cell(h, "%s%s", a->tuned ? a->tuned : "-", a->tuned_at_edge ? " (at the edge)" : "");
    }
    mo__html_table_end(h);
    mo__html_paragraph(
        h, "note",
        "Final loss: validation loss after the last step, mean over seeds ± half of its 95%% interval "
        "(Student's t); deviation: of the seeds. Training time: of a whole trial, %s.",
        page->answer->timed ? "its steps times the median step of trials for timing, which run one at a time"
                            : "without evaluations and saving");
    say_how_timed(page);
}

static void match_cells(mo__html *h, const mo_lab_variant *v)
{
    if (v->match == MO_MATCH_NONE || !v->matched_to) {
        mo__html_cell(h, "-");
        mo__html_cell(h, "-");
        return;
    }
    mo__html_cell(h, "%s to %s", mo__lab_match(v->match), v->matched_to);
    mo__html_cell(h, "%.2f%%", 100 * fabs(v->got - v->wanted) / v->wanted);
}

static void list_variants(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    mo__html_table_begin(
        h, "What they are",
        "=Variant|>Experts|>Active parameters|>Parameters|>FLOPs per token|>Memory|=Equal in|>Off by");
    for (int i = 0; i < page->results->n_variants; i++) {
        const mo_lab_variant *v = &page->results->variants[i];
        begin_row(page, v);
        mo__html_cell(h, "%s", v->experts ? mo__count(v->experts).text : "dense");
        mo__html_cell(h, "%s", mo__count(v->active).text);
        mo__html_cell(h, "%s", mo__count(v->total).text);
        mo__html_cell(h, "%s", mo__short(v->flops_per_token).text);
        mo__html_cell(h, "%s", mo__bytes((double)v->memory_bytes).text);
        match_cells(h, v);
    }
    mo__html_table_end(h);
    mo__html_paragraph(
        h, "note",
        "FLOPs: of training, forward and backward. Memory: what a run plans to take. Equal in: "
        "by its intermediate_size.");
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

static void axis_cells(mo__html *h, const mo_contrast *k, mo_axis axis)
{
    const mo_estimate *d = &k->axis[axis].difference;
    mo__html_cell(h, "%s", mo__lab_axis(axis));
    mo__html_cell(h, "%s", mo__lab_distance(d, 4).text);
    mo__html_cell(h, "%s", mo__lab_verdict(k->axis[axis].verdict));
    mo__html_cell(h, "%s", mo__lab_ratio(&k->axis[axis].spent, 2).text);
    mo__html_cell(h, "%s", mo__lab_interval(&k->axis[axis].speedup, 2).text);
    mo__html_cell(h, "%d", d->count);
    mo__html_cell(h, "%d of %d", k->axis[axis].reached, k->axis[axis].speedup.count);
}

static void end_cells(mo__html *h, const mo_contrast *k)
{
    mo__html_cell(h, "end");
    mo__html_cell(h, "%s", mo__lab_distance(&k->final.difference, 4).text);
    mo__html_cell(h, "%s", mo__lab_verdict(k->final.verdict));
    for (int i = 0; i < 2; i++) mo__html_cell(h, "%s", "");
    mo__html_cell(h, "%d", k->final.difference.count);
    mo__html_cell(h, "%s", "");
}

static void list_contrasts(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    const mo_lab_variant *variants = page->results->variants;
    mo__html_table_begin(
        h, NULL,
        "=At|>Difference, nats per token|=Verdict|>Times less spent|>Speed-up, times|>Seeds|>Got there");
    for (int c = 0; c < page->answer->n_contrasts; c++) {
        const mo_contrast *k = &page->answer->contrasts[c];
        mo__html_group(h, "%s against %s", variants[k->variant].name, variants[k->reference].name);
        end_cells(h, k);
        for (mo_axis axis = MO_AXIS_TOKENS; axis < MO_AXES; axis++) axis_cells(h, k, axis);
    }
    mo__html_table_end(h);
    mo__html_paragraph(
        h, "note",
        "Difference: the variant's validation loss less the other's, seed by seed, at the end of each, "
        "whatever it had spent there, and where both had spent the same: mean ± half of its 95%% interval; "
        "below 0 is better. Spent: in all, by the other over by the variant. Within noise: the "
        "interval holds 0. Not known: seeds are missing, seconds were not timed, or what looks worse was "
        "read before the end of its schedule. "
        "Speed-up: how many times as much the other spent in all as the variant when it had the other's "
        "final loss; of seeds that never got there, the other when it had the variant's final loss as the "
        "variant in all. Geometric mean over seeds and its 95%% interval.");
}

static void csv_estimate(mo__csv *csv, const mo_estimate *e)
{
    mo__csv_number(csv, e->mean), mo__csv_number(csv, e->low), mo__csv_number(csv, e->high);
}

/* The columns that all rows have; those of an axis alone come after. */
static void csv_contrast(mo__csv *csv, const mo_lab_results *r, const mo_contrast *k, const char *at,
                         const mo_estimate *difference, mo_verdict verdict)
{
    mo__csv_text(csv, r->variants[k->variant].name), mo__csv_text(csv, r->variants[k->reference].name);
    mo__csv_text(csv, at), csv_estimate(csv, difference);
    mo__csv_whole(csv, difference->count), mo__csv_text(csv, mo__lab_verdict(verdict));
}

static void contrasts_csv(const mo__experiment_page *page)
{
    static const char *const headings[] = {"variant",     "reference",    "at",         "difference",
                                           "low",         "high",         "seeds",      "verdict",
                                           "spent",       "spent_low",    "spent_high", "speedup",
                                           "speedup_low", "speedup_high", "reached"};
    const mo_lab_results *r = page->results;
    mo__csv csv = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++) mo__csv_text(&csv, headings[i]);
    mo__csv_end_row(&csv);
    for (int c = 0; c < page->answer->n_contrasts; c++) {
        const mo_contrast *k = &page->answer->contrasts[c];
        csv_contrast(&csv, r, k, "end", &k->final.difference, k->final.verdict);
        for (int i = 0; i < 7; i++) mo__csv_text(&csv, "");
        mo__csv_end_row(&csv);
        for (mo_axis axis = MO_AXIS_TOKENS; axis < MO_AXES; axis++) {
            csv_contrast(&csv, r, k, mo__lab_axis(axis), &k->axis[axis].difference, k->axis[axis].verdict);
            csv_estimate(&csv, &k->axis[axis].spent);
            csv_estimate(&csv, &k->axis[axis].speedup);
            mo__csv_whole(&csv, k->axis[axis].reached);
            mo__csv_end_row(&csv);
        }
    }
    mo__report_csv_end(page->report, "contrasts", &csv);
}

/* Some of the contrasts, side by side. */
typedef struct chosen {
    const mo__experiment_page *page;
    const mo_contrast *at[MOST_CONTRASTS];
    int count;
    bool by_reference; /* all of one variant: named by what it is held against */
} chosen;

static const char *name_of(const chosen *c, int i)
{
    return c->page->results->variants[c->by_reference ? c->at[i]->reference : c->at[i]->variant].name;
}

static chosen against(const mo__experiment_page *page, int reference)
{
    chosen c = {.page = page};
    for (int i = 0; i < page->answer->n_contrasts && c.count < MOST_CONTRASTS; i++)
        if (page->answer->contrasts[i].reference == reference) c.at[c.count++] = &page->answer->contrasts[i];
    return c;
}

static chosen of_variant(const mo__experiment_page *page, int variant)
{
    chosen c = {.page = page, .by_reference = true};
    for (int i = 0; i < page->answer->n_contrasts && c.count < MOST_CONTRASTS; i++)
        if (page->answer->contrasts[i].variant == variant) c.at[c.count++] = &page->answer->contrasts[i];
    return c;
}

typedef struct estimates {
    double x[MOST_CONTRASTS], y[MOST_CONTRASTS], low[MOST_CONTRASTS], high[MOST_CONTRASTS];
} estimates;

/* Beside the axes, their losses at the end of each. */
enum { AT_END = MO_AXES, SERIES };

static const mo_estimate *shown(const mo_contrast *k, int series, bool speedups)
{
    if (series == AT_END) return &k->final.difference;
    return speedups ? &k->axis[series].speedup : &k->axis[series].difference;
}

/* The series a little apart from one another. */
static mo__curve curve_of(const chosen *c, int series, bool speedups, estimates *room)
{
    for (int i = 0; i < c->count; i++) {
        const mo_estimate *e = shown(c->at[i], series, speedups);
        room->x[i] = i + 0.15 * (series - (speedups ? 1 : 1.5));
        room->y[i] = e->mean;
        room->low[i] = e->low;
        room->high[i] = e->high;
    }
    return (mo__curve){.name = series == AT_END ? "at the end of each" : mo__lab_axis((mo_axis)series),
                       .x = room->x,
                       .y = room->y,
                       .low = room->low,
                       .high = room->high,
                       .count = c->count,
                       .style = MO__CURVE_POINTS,
                       .colour = series};
}

/* other: what the contrasts are against, or whose they are. */
static void draw_contrasts(const chosen *c, const char *other, bool speedups)
{
    estimates room[SERIES];
    mo__curve curves[SERIES + 1];
    const char *names[MOST_CONTRASTS];
    char title[200], file[48];
    int series = speedups ? MO_AXES : SERIES;
    double ends[2] = {-0.5, c->count - 0.5}, level[2] = {speedups ? 1 : 0, speedups ? 1 : 0};
    for (int i = 0; i < series; i++) curves[i] = curve_of(c, i, speedups, &room[i]);
    curves[series] = (mo__curve){.name = "no difference",
                                 .x = ends,
                                 .y = level,
                                 .count = 2,
                                 .colour = MO__COLOURS - 1,
                                 .dashed = true};
    for (int i = 0; i < c->count; i++) names[i] = name_of(c, i);
    snprintf(title, sizeof title, c->by_reference ? "%s of %s against each other one" : "%s against %s",
             speedups ? "Speed-up" : "Difference in loss", other);
    snprintf(file, sizeof file, c->by_reference ? "%s-of-%d" : "%s", speedups ? "speedups" : "differences",
             c->at[0]->variant + 1);
    mo__plot plot = {
        .name = file,
        .title = title,
        .note = speedups
                    ? "To the other's final loss, in tokens, FLOPs and seconds: above 1 the variant is "
                      "sooner there. Bars: 95% intervals."
                    : "At equal tokens, FLOPs and seconds, and at the end of each: below 0 the variant is "
                      "better. Bars: 95% intervals.",
        .x_label = c->by_reference ? "against" : "variant",
        .y_label = speedups ? "times less" : "difference, nats per token",
        .log_y = speedups,
        .x_names = names,
        .n_x_names = c->count,
        .curves = curves,
        .n_curves = series + 1};
    mo__report_plot(c->page->report, &plot);
}

/* A variant is held against several others if it has experts. */
static void draw_each(const mo__experiment_page *page)
{
    const mo_lab_results *r = page->results;
    chosen all = against(page, page->answer->contrasts[0].reference);
    for (int both = 0; both < 2; both++)
        draw_contrasts(&all, r->variants[page->answer->contrasts[0].reference].name, both);
    for (int v = 0, drawn = 0; v < r->n_variants && drawn < MOST_DRAWN; v++) {
        chosen own = of_variant(page, v);
        if (own.count < 2) continue;
        for (int both = 0; both < 2; both++) draw_contrasts(&own, r->variants[v].name, both);
        drawn++;
    }
}

static void say_contrasts(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    if (!mo__lab_contrasted(page->answer)) return;
    mo__html_section_begin(h, "Against one another");
    list_contrasts(page);
    contrasts_csv(page);
    mo__html_grid_begin(h);
    draw_each(page);
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
    mo__html_table_begin(h, NULL, "=Variant");
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
    mo__html_table_begin(h, NULL, "=Variant|>Max violation|>Entropy, nats|>Dropped, %");
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
    mo__report_notes(page);
    mo__html_section_begin(&page->report->html, "Variants");
    list_losses(page);
    list_variants(page);
    variants_csv(page);
    mo__html_section_end(&page->report->html);
    draw_curves(page);
    list_tuning(page);
    list_routing(page);
}
