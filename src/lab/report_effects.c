/* report_effects.c -- what each parameter of a sweep does to the loss, and what the two that matter most do
 * together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "lab/answer.h"
#include "lab/experiment_facts.h"
#include "lab/report_experiment.h"
#include "lab/spec.h"

/* More levels than MOST_NAMED are a scale: drawn as numbers, not as names. */
enum { MOST_PLOTS = 8, MOST_NAMED = 10, MOST_LEVELS_SHOWN = 12 };

typedef struct effects {
    const mo__experiment_page *page;
    double
        *loss; /* [n_variants] what effects are of: at mo_answer.effects_step; NaN where that is not known */
} effects;

/* ---- values ---- */

/* A level is a value, or a range of numbers: "0.001 to 0.0024". False if it is words. */
static bool range_of(const char *level, double *low, double *high)
{
    static const char TO[] = " to ";
    char *end;
    *low = *high = strtod(level, &end);
    if (end == level) return false;
    if (!*end) return true;
    if (strncmp(end, TO, strlen(TO)) != 0) return false;
    const char *second = end + strlen(TO);
    *high = strtod(second, &end);
    return end != second && !*end;
}

/* Bounds of ranges are rounded: a number is of the level that it is next to. */
static int level_of(const mo_effect *e, const char *value)
{
    double number, same, low, high, nearest = (double)INFINITY;
    int found = -1;
    if (!value) return -1;
    for (int l = 0; l < e->n_levels; l++)
        if (strcmp(e->levels[l].value, value) == 0) return l;
    if (!range_of(value, &number, &same)) return -1;
    for (int l = 0; l < e->n_levels; l++) {
        if (!range_of(e->levels[l].value, &low, &high)) continue;
        double off = fmax(fmax(low - number, number - high), 0);
        if (off >= nearest) continue;
        nearest = off;
        found = l;
    }
    return found;
}

/* Values lie on a scale of numbers; *ranges: and levels are ranges of them. */
static bool is_scale(const mo_effect *e, bool *ranges)
{
    double low, high;
    *ranges = false;
    for (int l = 0; l < e->n_levels; l++) {
        if (!range_of(e->levels[l].value, &low, &high)) return false;
        *ranges = *ranges || low < high;
    }
    return true;
}

/* From one end to the other ten times as much, or more. */
static bool spread_widely(const double *x, int count)
{
    double low = (double)INFINITY, high = 0;
    for (int i = 0; i < count; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    return low > 0 && high / low > 9.99;
}

/* The file draws it so: {from: .., to: .., log: true}. */
static bool drawn_by_logarithm(const mo__experiment_page *page, const char *key)
{
    mo__doc root;
    const char *text = page->results->text;
    if (!text) return false;
    mo_status status = mo__doc_read(text, strlen(text), page->results->name, &root);
    if (status == MO_E_MEMORY && page->report->status == MO_OK) page->report->status = status;
    if (status != MO_OK) return false;
    const mo__doc *at = &root;
    for (const char *const *name = (const char *const[]){"parameters", key, "log", NULL}; at && *name; name++)
        at = at->kind == MO__DOC_MAP ? mo__spec_find(at, *name) : NULL;
    bool found = at && at->kind == MO__DOC_VALUE && at->text && strcmp(at->text, "true") == 0;
    mo__doc_free(&root);
    return found;
}

/* ---- one parameter ---- */

typedef struct drawing {
    const mo_effect *effect;
    double *x, *y, *low, *high; /* [variants + levels] points of variants, then of levels */
    const char **names;         /* [levels] */
    int points;
    bool numbers, ranges, scale; /* scale: x are the values; else places of names */
} drawing;

static void place_variants(const effects *f, drawing *d)
{
    for (int v = 0; v < f->page->answer->n_variants; v++) {
        const char *value = mo__lab_chosen(&f->page->results->variants[v], d->effect->key);
        int level = level_of(d->effect, value);
        if (level < 0 || isnan(f->loss[v])) continue;
        d->x[d->points] = d->scale ? strtod(value, NULL) : level;
        d->y[d->points++] = f->loss[v];
    }
}

static void place_levels(drawing *d)
{
    for (int l = 0; l < d->effect->n_levels; l++) {
        const mo_effect_level *level = &d->effect->levels[l];
        int at = d->points + l;
        d->names[l] = level->value;
        d->x[at] = d->scale ? strtod(level->value, NULL) : l;
        d->y[at] = level->loss.mean;
        d->low[at] = level->loss.low;
        d->high[at] = level->loss.high;
    }
}

static void draw(const effects *f, const drawing *d, int at)
{
    const mo_effect *e = d->effect;
    int n = d->points;
    mo__curve curves[2] = {{.name = "variant",
                            .x = d->x,
                            .y = d->y,
                            .count = n,
                            .style = MO__CURVE_POINTS,
                            .colour = MO__LEVEL(11)},
                           {.name = "mean",
                            .x = d->x + n,
                            .y = d->y + n,
                            .low = d->low + n,
                            .high = d->high + n,
                            .count = e->n_levels,
                            .style = d->numbers ? MO__CURVE_LINE_POINTS : MO__CURVE_POINTS}};
    char file[32];
    snprintf(file, sizeof file, "effect-%d", at + 1);
    mo__plot plot = {.name = file,
                     .title = e->key,
                     .note = d->ranges ? "A point is a variant: its mean over seeds."
                                       : "Mean, the other parameters being equal, and its 95% interval.",
                     .x_label = mo__lab_short_key(f->page->results, e->key),
                     .y_label = "validation loss, nats per token",
                     .log_x = d->scale && (spread_widely(d->x, n) || drawn_by_logarithm(f->page, e->key)),
                     .x_names = d->scale ? NULL : d->names,
                     .n_x_names = d->scale ? 0 : e->n_levels,
                     .curves = curves,
                     .n_curves = d->ranges ? 1 : 2};
    mo__report_plot(f->page->report, &plot);
}

static void draw_effect(const effects *f, const mo_effect *e, int at)
{
    int64_t room = f->page->answer->n_variants + e->n_levels;
    drawing d = {.effect = e, .x = mo__report_numbers(f->page->report, 4 * room)};
    d.names = mo_malloc((size_t)(e->n_levels + 1) * sizeof *d.names);
    d.numbers = is_scale(e, &d.ranges);
    d.scale = d.numbers && (d.ranges || e->n_levels > MOST_NAMED);
    if (d.x && d.names) {
        d.y = d.x + room;
        d.low = d.y + room;
        d.high = d.low + room;
        place_variants(f, &d);
        place_levels(&d);
        draw(f, &d, at);
    } else if (f->page->report->status == MO_OK) {
        f->page->report->status = MO_E_MEMORY;
    }
    mo_free(d.x);
    mo_free(d.names);
}

/* ---- the table ---- */

static void list_effects(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    mo__html_table_begin(h, "Main effects",
                         "=Parameter|>Share of variance|=Value|>Variants|>Mean loss, nats per token|"
                         ">Deviation");
    for (int i = 0; i < page->answer->n_effects; i++) {
        const mo_effect *e = &page->answer->effects[i];
        for (int l = 0; l < e->n_levels && l < MOST_LEVELS_SHOWN; l++) {
            mo__html_cell(h, "%s", l ? "" : e->key);
            if (l || isnan(e->share))
                mo__html_cell(h, "%s", l ? "" : "not known");
            else
                mo__html_cell(h, "%.0f%%", 100 * e->share);
            mo__html_cell(h, "%s", e->levels[l].value);
            mo__html_cell(h, "%d", e->levels[l].loss.count);
            mo__html_cell(h, "%s", mo__lab_mean(&e->levels[l].loss, 4).text);
            mo__html_cell(h, "%s", mo__fixed(e->levels[l].loss.deviation, 4).text);
        }
    }
    mo__html_table_end(h);
    char when[96] = "at the end";
    if (page->answer->effects_step)
        snprintf(when, sizeof when, "after step %s, where all variants have been",
                 mo__count(page->answer->effects_step).text);
    mo__html_paragraph(
        h, "note",
        "Losses %s, means over seeds. Share of variance: how much less of the variance of the variants' "
        "losses "
        "an additive model of all parameters explains without this one, less what chance would explain. Mean "
        "loss: by that model, were all variants to have that value and be as they are in all else, ± half of "
        "its "
        "95%% interval; deviation: of the losses of the variants with that value, as they are.",
        when);
}

static void effects_csv(const mo__experiment_page *page)
{
    mo__csv csv = {0};
    static const char *const headings[] = {"parameter", "share",     "value", "variants",
                                           "loss",      "deviation", "low",   "high"};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++) mo__csv_text(&csv, headings[i]);
    mo__csv_end_row(&csv);
    for (int i = 0; i < page->answer->n_effects; i++) {
        const mo_effect *e = &page->answer->effects[i];
        for (int l = 0; l < e->n_levels; l++) {
            const mo_estimate *loss = &e->levels[l].loss;
            mo__csv_text(&csv, e->key), mo__csv_number(&csv, e->share),
                mo__csv_text(&csv, e->levels[l].value);
            mo__csv_whole(&csv, loss->count), mo__csv_number(&csv, loss->mean);
            mo__csv_number(&csv, loss->deviation), mo__csv_number(&csv, loss->low),
                mo__csv_number(&csv, loss->high);
            mo__csv_end_row(&csv);
        }
    }
    mo__report_csv_end(page->report, "effects", &csv);
}

/* ---- two parameters ---- */

/* Each value of either has been tried with some value of the other. */
static bool meet(const effects *f, const mo_effect *a, const mo_effect *b)
{
    bool of_a[MOST_LEVELS_SHOWN] = {0}, of_b[MOST_LEVELS_SHOWN] = {0};
    int met = 0;
    for (int v = 0; v < f->page->answer->n_variants; v++) {
        const mo_lab_variant *variant = &f->page->results->variants[v];
        int x = level_of(a, mo__lab_chosen(variant, a->key)),
            y = level_of(b, mo__lab_chosen(variant, b->key));
        if (x < 0 || y < 0 || isnan(f->loss[v])) continue;
        met += !of_a[x] + !of_b[y];
        of_a[x] = of_b[y] = true;
    }
    return met == a->n_levels + b->n_levels;
}

static bool has_few(const mo_effect *e)
{
    return e->n_levels > 1 && e->n_levels <= MOST_LEVELS_SHOWN;
}

/* The two largest effects of parameters that were tried together, with few values each; false if there are
 * no two. */
static bool find_pair(const effects *f, const mo_effect *pair[2])
{
    const mo_answer *a = f->page->answer;
    for (int second = 1; second < a->n_effects; second++)
        for (int first = 0; first < second; first++) {
            pair[0] = &a->effects[first];
            pair[1] = &a->effects[second];
            if (has_few(pair[0]) && has_few(pair[1]) && meet(f, pair[0], pair[1])) return true;
        }
    return false;
}

/* value[row * columns + column]: mean loss of the variants that have both; NaN without any. */
static void fill_cells(const effects *f, const mo_effect *const pair[2], double *value, double *count)
{
    int columns = pair[0]->n_levels;
    for (int v = 0; v < f->page->answer->n_variants; v++) {
        const mo_lab_variant *variant = &f->page->results->variants[v];
        int column = level_of(pair[0], mo__lab_chosen(variant, pair[0]->key));
        int row = level_of(pair[1], mo__lab_chosen(variant, pair[1]->key));
        if (column < 0 || row < 0 || isnan(f->loss[v])) continue;
        value[row * columns + column] += f->loss[v];
        count[row * columns + column]++;
    }
    for (int i = 0; i < columns * pair[1]->n_levels; i++)
        value[i] = count[i] > 0 ? value[i] / count[i] : (double)NAN;
}

/* Digits behind the point that tell a hundredth of the span. */
static int digits_of(double span)
{
    if (!(span > 0)) return 4;
    return (int)fmin(fmax(2 - floor(log10(span)), 2), 8);
}

static void draw_pair(const effects *f)
{
    const mo__experiment_page *page = f->page;
    const mo_effect *pair[2];
    if (!find_pair(f, pair)) return;
    const char *names[2][MOST_LEVELS_SHOWN];
    int cells = pair[0]->n_levels * pair[1]->n_levels;
    double *value = mo__report_numbers(page->report, 2 * (int64_t)cells), low = (double)INFINITY,
           high = (double)-INFINITY;
    if (!value) return;
    fill_cells(f, pair, value, value + cells);
    for (int k = 0; k < 2; k++)
        for (int l = 0; l < pair[k]->n_levels; l++) names[k][l] = pair[k]->levels[l].value;
    for (int i = 0; i < cells; i++) {
        low = fmin(low, value[i]);
        high = fmax(high, value[i]);
    }
    char title[200];
    snprintf(title, sizeof title, "%s and %s together", mo__lab_short_key(page->results, pair[0]->key),
             mo__lab_short_key(page->results, pair[1]->key));
    mo__heat heat = {
        .name = "pair",
        .title = title,
        .note = "The two that say most of those that were tried together, with few values each. A cell is "
                "the mean loss of the variants that have both values, whatever else they have.",
        .x_label = mo__lab_short_key(page->results, pair[0]->key),
        .y_label = mo__lab_short_key(page->results, pair[1]->key),
        .value_label = "validation loss, nats per token",
        .x_names = names[0],
        .row_names = names[1],
        .rows = pair[1]->n_levels,
        .columns = pair[0]->n_levels,
        .value = value,
        .low = low,
        .high = high,
        .numbers = true,
        .digits = digits_of(high - low)};
    mo__report_heat(page->report, &heat);
    mo_free(value);
}

/* ---- all of it ---- */

static mo_status find_losses(const mo__experiment_page *page, double *loss)
{
    mo__table table;
    MO_TRY(mo__table_make(page->results, &table));
    for (int v = 0; v < page->results->n_variants; v++)
        for (int s = 0; s < table.n_seeds; s++) loss[v] += mo__table_loss(&table, v, s, 0) / table.n_seeds;
    mo__table_free(&table);
    return MO_OK;
}

static void draw_effects(const effects *f)
{
    const mo_answer *a = f->page->answer;
    mo__html *h = &f->page->report->html;
    mo__html_grid_begin(h);
    draw_pair(f);
    for (int i = 0; i < a->n_effects && i < MOST_PLOTS; i++)
        if (a->effects[i].n_levels > 1) draw_effect(f, &a->effects[i], i);
    mo__html_grid_end(h);
}

void mo__report_effects(const mo__experiment_page *page)
{
    if (page->answer->n_effects == 0) return;
    effects f = {page, mo__report_numbers(page->report, page->results->n_variants)};
    if (!f.loss) return;
    mo__html_section_begin(&page->report->html, "What each parameter does");
    list_effects(page);
    effects_csv(page);
    mo_status status = find_losses(page, f.loss);
    if (status == MO_OK)
        draw_effects(&f);
    else if (page->report->status == MO_OK)
        page->report->status = status;
    mo__html_section_end(&page->report->html);
    mo_free(f.loss);
}
