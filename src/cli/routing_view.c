/* routing_view.c -- what routers do, in tables of 80 columns where the terminal does not say.
 *
 * More experts than MOST_ROWS are too many to look at layer after layer: then the busiest and the idlest. */
#include "routing_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "terminal.h"
#include "base/units.h"

enum { MOST_ROWS = 32, ENDS = 8, MOST_MATRIX = 10, WIDTH = 80, PAIRS = 5 };

static double share_of(const int64_t *row, int64_t E, int64_t e)
{
    int64_t total = 0;
    for (int64_t i = 0; i < E; i++) total += row[i];
    return total > 0 ? (double)row[e] / (double)total : (double)NAN;
}

static void percent(mo__table *t, double share)
{
    mo__cell(t, "%s%s", mo__fixed(100 * share, 1).text, isnan(share) ? "" : "%");
}

/* No "-0.000" where rounding has left a little less than nothing. */
static mo__shown_number bits(double value)
{
    return mo__fixed(fabs(value) < 5e-4 ? 0 : value, 3);
}

/* ---- all layers ---- */

mo_status mo__routing_print_layers(const mo_routing *r)
{
    mo__table t = mo__table_begin(">layer|>max vio|>cv|>dead|>dropped|>entropy|>top1|>weight");
    if (r->n_domains > 0) {
        mo__table_column(&t, true, "bits");
        mo__table_column(&t, true, "corrected");
    }
    for (int l = 0; l < r->n_layers; l++) {
        const mo_layer_choices *c = &r->layers[l];
        mo__cell(&t, "%d", c->report.layer);
        mo__cell(&t, "%.3f", c->report.max_vio);
        mo__cell(&t, "%.3f", c->report.cv);
        mo__cell(&t, "%lld", (long long)c->report.dead);
        percent(&t, c->report.dropped);
        mo__cell(&t, "%s", mo__fixed(c->report.entropy, 3).text);
        mo__cell(&t, "%s", mo__fixed(c->report.top1, 3).text);
        mo__cell(&t, "%s", mo__fixed(c->report.top1_weight, 3).text);
        if (r->n_domains == 0) continue;
        mo__cell(&t, "%s", bits(c->mutual_information).text);
        mo__cell(&t, "%s", bits(c->corrected).text);
    }
    MO_TRY(mo__table_print(&t));
    printf("entropy of the router, of at most %.3f nats; dead: below %g%% of the fair share\n",
           log((double)r->experts), 100 * MO_DEAD_PART);
    if (r->n_domains > 0)
        printf("bits: what an expert says of the domain, at most %.3f; corrected: less chance\n",
               fmin(log2((double)r->experts), r->layers[0].domain_entropy));
    return MO_OK;
}

/* ---- experts and domains ---- */

typedef struct loaded {
    double load;
    int64_t expert;
} loaded;

static int falling(const void *a, const void *b)
{
    const loaded *x = a, *y = b;
    if (x->load != y->load) return x->load < y->load ? 1 : -1;
    return x->expert < y->expert ? -1 : x->expert > y->expert;
}

/* The experts that are shown: all, or both ends of the order by load. Owned; NULL without memory. */
static loaded *shown_experts(const mo_layer_choices *c, bool whole, int64_t *count)
{
    int64_t E = c->report.experts;
    loaded *all = mo_malloc((size_t)E * sizeof *all);
    if (!all) return NULL;
    for (int64_t e = 0; e < E; e++) all[e] = (loaded){c->report.load[e], e};
    *count = E;
    if (whole || E <= MOST_ROWS) return all;
    qsort(all, (size_t)E, sizeof *all, falling);
    memmove(all + ENDS, all + E - ENDS, ENDS * sizeof *all);
    *count = 2 * ENDS;
    return all;
}

static mo_status print_experts(const mo_routing *r, const mo_layer_choices *c, const loaded *experts,
                               int64_t count)
{
    mo__table t = mo__table_begin(">expert|>load");
    int columns = r->n_domains < MO__MOST_COLUMNS - 2 ? r->n_domains : MO__MOST_COLUMNS - 2;
    for (int d = 0; d < columns; d++) mo__table_column(&t, true, r->domain_names[d]);
    for (int64_t i = 0; i < count; i++) {
        mo__cell(&t, "%lld", (long long)experts[i].expert);
        percent(&t, experts[i].load);
        for (int d = 0; d < columns; d++)
            percent(&t, share_of(c->choices + d * r->experts, r->experts, experts[i].expert));
    }
    MO_TRY(mo__table_print(&t));
    if (columns < r->n_domains) printf("%d more domains are in --json\n", r->n_domains - columns);
    return MO_OK;
}

/* ---- pairs ---- */

static mo_status print_matrix(const mo_routing *r, const mo_layer_choices *c)
{
    int64_t E = r->experts;
    char name[24];
    printf("\nof the left expert's tokens, those that visit the upper one too\n");
    mo__table t = mo__table_begin(">expert");
    for (int64_t e = 0; e < E; e++) {
        snprintf(name, sizeof name, "%lld", (long long)e);
        mo__table_column(&t, true, name);
    }
    for (int64_t a = 0; a < E; a++) {
        mo__cell(&t, "%lld", (long long)a);
        for (int64_t b = 0; b < E; b++)
            percent(&t, a == b ? (double)NAN : (double)c->pairs[a * E + b] / (double)c->pairs[a * E + a]);
    }
    return mo__table_print(&t);
}

/* How far n tokens are from the m that loads alone would give: the Poisson deviance, with a sign. */
static double deviance(double n, double m)
{
    double d = (n > 0 ? n * log(n / m) : 0) - (n - m);
    return n < m ? -d : d;
}

typedef struct pair {
    int64_t a, b;
    double deviance;
} pair;

/* Keeps the PAIRS furthest on one side, furthest first; sign 1: more often together, -1: less often. A lift
 * that would be shown as 1.00 is none. */
static int find_pairs(const mo_layer_choices *c, double sign, pair out[PAIRS])
{
    int64_t E = c->report.experts;
    int count = 0;
    for (int64_t a = 0; a < E; a++)
        for (int64_t b = a + 1; b < E; b++) {
            double n = (double)c->pairs[a * E + b], m = c->expected[a * E + b];
            double d = m > 0 && fabs(n / m - 1) >= 0.005 ? sign * deviance(n, m) : 0;
            if (d <= 0 || (count == PAIRS && d <= out[count - 1].deviance)) continue;
            int i = count < PAIRS ? count++ : count - 1;
            for (; i > 0 && d > out[i - 1].deviance; i--) out[i] = out[i - 1];
            out[i] = (pair){a, b, d};
        }
    return count;
}

static void pair_row(mo__table *t, const mo_layer_choices *c, const pair *p)
{
    int64_t E = c->report.experts, n = c->pairs[p->a * E + p->b];
    mo__cell(t, "%lld and %lld", (long long)p->a, (long long)p->b);
    mo__cell(t, "%s", mo__count(n).text);
    percent(t, (double)n / (double)c->pairs[p->a * E + p->a]);
    percent(t, (double)n / (double)c->pairs[p->b * E + p->b]);
    double lift = (double)n / c->expected[p->a * E + p->b];
    mo__cell(t, "%.*f", lift < 100 ? 2 : 0, lift);
}

static mo_status print_pairs(const mo_layer_choices *c)
{
    mo__table t = mo__table_begin("<experts|>tokens of both|>of the first's|>of the second's|>lift");
    pair pairs[PAIRS];
    int n = find_pairs(c, 1, pairs);
    for (int i = 0; i < n; i++) pair_row(&t, c, &pairs[i]);
    n = find_pairs(c, -1, pairs);
    for (int i = n - 1; i >= 0; i--) pair_row(&t, c, &pairs[i]);
    if (t.count == t.columns) return mo__table_print(&t);
    printf("\npairs that are together more, and less, than by their loads alone (lift 1)\n");
    return mo__table_print(&t);
}

/* ---- tokens ---- */

/* Entries `"e" 4,512` until the line is full. */
static void print_tokens(const char *label, const mo_routed_token *tokens, int n, bool lift,
                         const mo_tokenizer *tokenizer)
{
    int limit = mo__columns() < WIDTH ? mo__columns() : WIDTH, at = printf("%-11s", label);
    for (int i = 0; i < n && at < limit; i++) {
        char *text = mo_tokenizer_show(tokenizer, tokens[i].id), number[56];
        if (!text) break;
        if (lift)
            snprintf(number, sizeof number, "%.1fx", tokens[i].lift);
        else
            snprintf(number, sizeof number, "%s", mo__count(tokens[i].count).text);
        at += mo__text_width(text, strlen(text)) + 5 + (int)strlen(number);
        if (at <= limit) printf("  \"%s\" %s", text, number);
        mo_free(text);
    }
    putchar('\n');
}

static void print_expert_tokens(const mo_layer_choices *c, const loaded *experts, int64_t count,
                                const mo_tokenizer *tokenizer)
{
    char label[32];
    printf("\nmost routed tokens; own: so many times likelier here than any token is\n");
    for (int64_t i = 0; i < count; i++) {
        const mo_expert_tokens *t = &c->tokens[experts[i].expert];
        snprintf(label, sizeof label, "expert %lld", (long long)experts[i].expert);
        print_tokens(label, t->frequent, t->n_frequent, false, tokenizer);
        print_tokens("       own", t->own, t->n_own, true, tokenizer);
    }
}

/* ---- one layer ---- */

static mo_status print_parts(const mo_routing *r, const mo_layer_choices *c, const mo_tokenizer *tokenizer,
                             const loaded *experts, int64_t count)
{
    printf("\nlayer %d: %s", c->report.layer, mo__counted(c->total, "choice").text);
    if (count < r->experts)
        printf("; the %d busiest and %d idlest of %lld; --layer %d: all", ENDS, ENDS, (long long)r->experts,
               c->report.layer);
    putchar('\n');
    MO_TRY(print_experts(r, c, experts, count));
    if (c->pairs && r->experts <= MOST_MATRIX) MO_TRY(print_matrix(r, c));
    if (c->pairs) MO_TRY(print_pairs(c));
    if (c->tokens) print_expert_tokens(c, experts, count, tokenizer);
    return MO_OK;
}

mo_status mo__routing_print_layer(const mo_routing *r, int layer, const mo_tokenizer *tokenizer, bool whole)
{
    int64_t count = 0;
    loaded *experts = shown_experts(&r->layers[layer], whole, &count);
    if (!experts) return MO_E_MEMORY;
    mo_status status = print_parts(r, &r->layers[layer], tokenizer, experts, count);
    mo_free(experts);
    return status;
}
