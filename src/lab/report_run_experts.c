/* report_run_experts.c -- what each of a run's experts got: its load over time, and its share of each domain.
 */
#include <math.h>

#include "base/units.h"
#include "lab/report_run.h"
#include "lab/run_facts.h"

/* ---- load of each expert ---- */

/* Of all maps of a kind: more would make a page that is slow to open. */
enum { MOST_CELLS = 40000, LEAST_COLUMNS = 24, MOST_COLUMNS = 48 };

/* How many layers are shown, if a map of one has so many cells: where all would be too much, two at least. */
static int layers_shown(int layers, int64_t cells)
{
    int64_t room = cells > 0 ? MOST_CELLS / cells : layers;
    if (room < 2) room = 2;
    return room < layers ? (int)room : layers;
}

/* The k-th of those that are shown: from the first to the last, evenly. */
static int layer_shown(int k, int shown, int layers)
{
    return shown > 1 ? k * (layers - 1) / (shown - 1) : 0;
}

static void say_layers(const mo__run_page *p, int shown, int layers, const char *file)
{
    if (shown < layers)
        mo__html_paragraph(&p->report->html, "note", "%d of the %d layers are shown; %s has all.", shown,
                           layers, file);
}

typedef struct load_map {
    int64_t *lines; /* [n] that tell of layers and their loads */
    int64_t n;
    int columns;   /* each the mean of the lines begin .. end */
    double *edges; /* [columns + 1] tokens */
    double *value; /* [experts][columns] times the fair share */
} load_map;

static int64_t first_line(const load_map *map, int column)
{
    return column * map->n / map->columns;
}

static bool make_map(const mo__run_page *p, int layers, load_map *map)
{
    *map = (load_map){.lines = mo_calloc((size_t)p->m->n_lines + 1, sizeof *map->lines)};
    for (int64_t i = 0; map->lines && i < p->m->n_lines; i++) {
        const mo_step_report *l = &p->m->lines[i];
        if (l->n_layers == p->n_layers && l->layers[0].load) map->lines[map->n++] = i;
    }
    int64_t room = MOST_CELLS / (p->experts * layers);
    map->columns = (int)(room < 8 ? 8 : room > MOST_COLUMNS ? MOST_COLUMNS : room);
    if (map->columns > map->n) map->columns = (int)map->n;
    map->edges = mo_calloc((size_t)map->columns + 1, sizeof *map->edges);
    map->value = mo_calloc((size_t)p->experts * (size_t)map->columns + 1, sizeof *map->value);
    bool whole = map->lines && map->edges && map->value;
    if (!whole && p->report->status == MO_OK) p->report->status = MO_E_MEMORY;
    for (int c = 1; whole && c <= map->columns; c++)
        map->edges[c] = p->tokens[map->lines[first_line(map, c) - 1]];
    return whole && map->columns > 0;
}

static void fill_map(const mo__run_page *p, int layer, load_map *map)
{
    for (int64_t e = 0; e < p->experts; e++)
        for (int c = 0; c < map->columns; c++) {
            int64_t begin = first_line(map, c), end = first_line(map, c + 1);
            double sum = 0;
            for (int64_t i = begin; i < end; i++) {
                const mo_layer_report *r = &p->m->lines[map->lines[i]].layers[layer];
                sum += e < r->experts ? r->load[e] * (double)r->experts : (double)NAN;
            }
            map->value[e * map->columns + c] = sum / (double)(end - begin);
        }
}

static void plot_loads(const mo__run_page *p, int shown)
{
    load_map map;
    bool made = make_map(p, shown, &map);
    for (int i = 0; made && i < shown; i++) {
        char name[32], title[48];
        int k = layer_shown(i, shown, p->n_layers), layer = mo__run_last_routed(p->m)->layers[k].layer;
        snprintf(name, sizeof name, "load-layer-%d", layer);
        snprintf(title, sizeof title, "Load of each expert, layer %d", layer);
        fill_map(p, k, &map);
        mo__heat heat = {.name = name,
                         .title = title,
                         .x_label = "tokens read",
                         .y_label = "expert",
                         .value_label = "times the fair share",
                         .x_edges = map.edges,
                         .rows = (int)p->experts,
                         .columns = map.columns,
                         .value = map.value,
                         .scale = MO__HEAT_AROUND,
                         .low = 0,
                         .middle = 1,
                         .high = 2};
        mo__report_heat(p->report, &heat);
    }
    mo_free(map.lines);
    mo_free(map.edges);
    mo_free(map.value);
}

/* ---- experts by domain ---- */

/* A domain's choices as shares in %; an expert's fair share is the middle. */
static void fill_domains(const mo_routing *r, int layer, double *value)
{
    for (int d = 0; d < r->n_domains; d++) {
        const int64_t *row = r->layers[layer].choices + d * r->experts;
        int64_t total = 0;
        for (int64_t e = 0; e < r->experts; e++) total += row[e];
        for (int64_t e = 0; e < r->experts; e++)
            value[d * r->experts + e] = total > 0 ? 100 * (double)row[e] / (double)total : (double)NAN;
    }
}

static double largest(const double *values, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, values[i]);
    return most;
}

static void plot_domains(const mo__run_page *p, const mo_routing *r, int layer, double *value)
{
    enum { MOST_NUMBERED = 12 };
    char name[32], title[64], note[160];
    double fair = 100 / (double)r->experts;
    const mo_layer_choices *l = &r->layers[layer];
    snprintf(name, sizeof name, "domains-layer-%d", l->report.layer);
    snprintf(title, sizeof title, "Experts of each domain, layer %d", l->report.layer);
    snprintf(note, sizeof note,
             "Expert and domain share %.3f of at most %.3f bits; without what chance gives, %.3f.",
             l->mutual_information, fmin(l->domain_entropy, log2((double)r->experts)), l->corrected);
    fill_domains(r, layer, value);
    mo__heat heat = {.name = name,
                     .title = title,
                     .note = note,
                     .x_label = "expert",
                     .y_label = "",
                     .value_label = "% of the domain's choices",
                     .row_names = r->domain_names,
                     .rows = r->n_domains,
                     .columns = (int)r->experts,
                     .value = value,
                     .scale = MO__HEAT_AROUND,
                     .low = 0,
                     .middle = fair,
                     .high = ceil(fmax(2 * fair, largest(value, r->n_domains * r->experts))),
                     .numbers = r->experts <= MOST_NUMBERED};
    mo__report_heat(p->report, &heat);
}

static void report_domains(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    const mo_routing *r = p->m->routing;
    if (!r || r->n_domains == 0) return;
    double *value = mo_calloc((size_t)r->n_domains * (size_t)r->experts, sizeof *value);
    int shown = layers_shown(r->n_layers, r->n_domains * r->experts);
    mo__html_section_begin(h, "Experts by domain");
    mo__html_paragraph(
        h, NULL,
        "Which experts the validation data of each domain goes to, at step %s. Blue: more than the fair "
        "share of %.3g%%; orange: less.",
        mo__count(p->m->routing_step).text, 100 / (double)r->experts);
    say_layers(p, shown, r->n_layers, "routing.jsonl");
    mo__html_grid_begin(h);
    for (int i = 0; value && i < shown; i++) plot_domains(p, r, layer_shown(i, shown, r->n_layers), value);
    mo__html_grid_end(h);
    mo__html_section_end(h);
    if (!value && p->report->status == MO_OK) p->report->status = MO_E_MEMORY;
    mo_free(value);
}

static void report_loads(const mo__run_page *p)
{
    mo__html *h = &p->report->html;
    mo__html_section_begin(h, "Load of the experts");
    mo__html_paragraph(
        h, NULL,
        "How many of a step's choices each expert gets, as a multiple of its fair share of %.3g%%. Blue: "
        "more; orange: less.",
        100 / (double)p->experts);
    int shown = layers_shown(p->n_layers, p->experts * LEAST_COLUMNS);
    say_layers(p, shown, p->n_layers, "metrics.jsonl");
    mo__html_grid_begin(h);
    plot_loads(p, shown);
    mo__html_grid_end(h);
    mo__html_section_end(h);
}

void mo__run_report_experts(const mo__run_page *p)
{
    report_loads(p);
    report_domains(p);
}
