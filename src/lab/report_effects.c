/* report_effects.c -- what each parameter of a sweep does to the loss, and what the two that matter most do
 * together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "lab/experiment_facts.h"
#include "lab/report_experiment.h"

/* More levels than MOST_NAMED are a scale: they are drawn as numbers, not as names. */
enum { MOST_PLOTS = 8, MOST_NAMED = 10, MOST_LEVELS_SHOWN = 12 };

static int level_of(const mo_effect *e, const char *value)
{
    for (int l = 0; value && l < e->n_levels; l++)
        if (strcmp(e->levels[l].value, value) == 0) return l;
    return -1;
}

static bool numeric(const mo_effect *e)
{
    for (int l = 0; l < e->n_levels; l++) {
        char *end;
        strtod(e->levels[l].value, &end);
        if (end == e->levels[l].value || *end) return false;
    }
    return true;
}

static double number_of(const mo_effect *e, int level)
{
    return strtod(e->levels[level].value, NULL);
}

/* A hundred times between the ends, and all above 0. */
static bool spread_widely(const mo_effect *e)
{
    double low = INFINITY, high = 0;
    for (int l = 0; l < e->n_levels; l++) {
        low = fmin(low, number_of(e, l));
        high = fmax(high, number_of(e, l));
    }
    return low > 0 && high / low >= 20;
}

/* ---- one parameter ---- */

/* The variants' losses by the parameter's value. Returns how many. */
static int scatter(const mo__experiment_page *page, const mo_effect *e, bool scale, double *x, double *y)
{
    int count = 0;
    for (int v = 0; v < page->answer->n_variants; v++) {
        int level = level_of(e, mo__lab_chosen(&page->results->variants[v], e->key));
        if (level < 0 || isnan(page->answer->variants[v].loss.mean)) continue;
        x[count] = scale ? number_of(e, level) : level;
        y[count++] = page->answer->variants[v].loss.mean;
    }
    return count;
}

static void draw_effect(const mo__experiment_page *page, const mo_effect *e, int at)
{
    bool scale = numeric(e) && e->n_levels > MOST_NAMED;
    int64_t room = page->answer->n_variants + e->n_levels;
    double *x = mo__report_numbers(page->report, 4 * room);
    const char **names = mo_malloc((size_t)(e->n_levels + 1) * sizeof *names);
    if (!x || !names) {
        if (page->report->status == MO_OK) page->report->status = MO_E_MEMORY;
        mo_free(x);
        mo_free(names);
        return;
    }
    double *y = x + room, *low = y + room, *high = low + room;
    int points = scatter(page, e, scale, x, y);
    for (int l = 0; l < e->n_levels; l++) {
        names[l] = e->levels[l].value;
        x[points + l] = scale ? number_of(e, l) : l;
        y[points + l] = e->levels[l].loss.mean;
        low[points + l] = e->levels[l].loss.low;
        high[points + l] = e->levels[l].loss.high;
    }
    mo__curve curves[2] = {{.name = "variant",
                            .x = x,
                            .y = y,
                            .count = points,
                            .style = MO__CURVE_POINTS,
                            .colour = MO__LEVEL(11)},
                           {.name = "mean",
                            .x = x + points,
                            .y = y + points,
                            .low = low + points,
                            .high = high + points,
                            .count = e->n_levels,
                            .style = numeric(e) ? MO__CURVE_LINE_POINTS : MO__CURVE_POINTS}};
    char file[32];
    snprintf(file, sizeof file, "effect-%d", at + 1);
    mo__plot plot = {.name = file,
                     .title = e->key,
                     .note = scale ? "A point is a variant: its mean over seeds."
                                   : "Mean of the variants with that value, and its 95% interval.",
                     .x_label = mo__lab_short_key(page->results, e->key),
                     .y_label = "validation loss, nats per token",
                     .log_x = scale && spread_widely(e),
                     .x_names = scale ? NULL : names,
                     .n_x_names = scale ? 0 : e->n_levels,
                     .curves = curves,
                     .n_curves = scale ? 1 : 2};
    mo__report_plot(page->report, &plot);
    mo_free(x);
    mo_free(names);
}

/* ---- the table ---- */

static void list_effects(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    mo__html_table_begin(h, "Main effects",
                         "<Parameter|>Share of variance|<Value|>Variants|>Mean loss, nats per token|"
                         ">Deviation");
    for (int i = 0; i < page->answer->n_effects; i++) {
        const mo_effect *e = &page->answer->effects[i];
        for (int l = 0; l < e->n_levels && l < MOST_LEVELS_SHOWN; l++) {
            mo__html_cell(h, "%s", l ? "" : e->key);
            if (l || isnan(e->share))
                mo__html_cell(h, "%s", l ? "" : "-");
            else
                mo__html_cell(h, "%.0f%%", 100 * e->share);
            mo__html_cell(h, "%s", e->levels[l].value);
            mo__html_cell(h, "%d", e->levels[l].loss.count);
            mo__html_cell(h, "%s", mo__lab_mean(&e->levels[l].loss, 4).text);
            mo__html_cell(h, "%s", mo__fixed(e->levels[l].loss.deviation, 4).text);
        }
    }
    mo__html_table_end(h);
    mo__html_paragraph(
        h, "note",
        "Share of variance: of the variance of the variants' losses, what lies between the values of the "
        "parameter (eta squared). Mean loss: of the variants with that value, whatever else they have, "
        "± half of its 95%% interval; deviation: of those variants. Values that were tried in different "
        "company do not compare.");
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

/* The two largest effects that have few values; false if there are no two. */
static bool find_pair(const mo_answer *a, const mo_effect *pair[2])
{
    int found = 0;
    for (int i = 0; i < a->n_effects && found < 2; i++)
        if (a->effects[i].n_levels > 1 && a->effects[i].n_levels <= MOST_LEVELS_SHOWN)
            pair[found++] = &a->effects[i];
    return found == 2;
}

/* value[row * columns + column]: mean loss of the variants that have both; NaN without any. */
static void fill_cells(const mo__experiment_page *page, const mo_effect *const pair[2], double *value,
                       double *count)
{
    int columns = pair[0]->n_levels;
    for (int v = 0; v < page->answer->n_variants; v++) {
        const mo_lab_variant *variant = &page->results->variants[v];
        int column = level_of(pair[0], mo__lab_chosen(variant, pair[0]->key));
        int row = level_of(pair[1], mo__lab_chosen(variant, pair[1]->key));
        double loss = page->answer->variants[v].loss.mean;
        if (column < 0 || row < 0 || isnan(loss)) continue;
        value[row * columns + column] += loss;
        count[row * columns + column]++;
    }
    for (int i = 0; i < columns * pair[1]->n_levels; i++)
        value[i] = count[i] > 0 ? value[i] / count[i] : (double)NAN;
}

static void draw_pair(const mo__experiment_page *page)
{
    const mo_effect *pair[2];
    if (!find_pair(page->answer, pair)) return;
    const char *names[2][MOST_LEVELS_SHOWN];
    int cells = pair[0]->n_levels * pair[1]->n_levels;
    double *value = mo__report_numbers(page->report, 2 * (int64_t)cells), low = INFINITY, high = -INFINITY;
    if (!value) return;
    fill_cells(page, pair, value, value + cells);
    for (int k = 0; k < 2; k++)
        for (int l = 0; l < pair[k]->n_levels; l++) names[k][l] = pair[k]->levels[l].value;
    for (int i = 0; i < cells; i++) {
        low = fmin(low, value[i]);
        high = fmax(high, value[i]);
    }
    mo__heat heat = {
        .name = "pair",
        .title = "The two that matter most",
        .note = "A cell is the mean loss of the variants that have both values, whatever else they have.",
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
        .digits = 3};
    mo__report_heat(page->report, &heat);
    mo_free(value);
}

void mo__report_effects(const mo__experiment_page *page)
{
    mo__html *h = &page->report->html;
    if (page->answer->n_effects == 0) return;
    mo__html_section_begin(h, "What each parameter does");
    list_effects(page);
    effects_csv(page);
    mo__html_grid_begin(h);
    draw_pair(page);
    for (int i = 0; i < page->answer->n_effects && i < MOST_PLOTS; i++)
        if (page->answer->effects[i].n_levels > 1) draw_effect(page, &page->answer->effects[i], i);
    mo__html_grid_end(h);
    mo__html_section_end(h);
}
