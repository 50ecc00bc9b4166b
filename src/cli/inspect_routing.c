/* inspect_routing.c -- where a checkpoint's routers send the validation split.
 *
 * With n_ed assignments of domain d's tokens to expert e, p_ed = n_ed / n, and the sums p_e and p_d:
 *   share of domain d at expert e = p_ed / p_d
 *   I(E; D) = sum_ed p_ed log2(p_ed / (p_e p_d))    in bits; at most min(H(E), H(D)) */
#include <math.h>

#include "describe.h"
#include "inspect.h"
#include "json_out.h"
#include "session.h"
#include "table.h"
#include "terminal.h"
#include "units.h"

typedef struct routing {
    const char *path;
    const mo_trained *trained;
    const mo_tokenfile *file;
    const mo_eval_result *result;
    int layer; /* index among the MoE layers */
} routing;

static int64_t count_at(const routing *r, int domain, int64_t expert)
{
    int64_t domains = r->result->n_domains ? r->result->n_domains : 1, E = r->result->experts;
    return r->result->counts[(r->layer * domains + domain) * E + expert];
}

static int64_t domain_total(const routing *r, int domain)
{
    int64_t total = 0;
    for (int64_t e = 0; e < r->result->experts; e++) total += count_at(r, domain, e);
    return total;
}

static double share(const routing *r, int domain, int64_t expert)
{
    int64_t total = domain_total(r, domain);
    return total > 0 ? (double)count_at(r, domain, expert) / (double)total : (double)NAN;
}

/* NaN without labels. */
static double mutual_information(const routing *r)
{
    const mo_eval_result *e = r->result;
    double bits = 0, all = 0;
    for (int d = 0; d < e->n_domains; d++) all += (double)domain_total(r, d);
    if (e->n_domains == 0 || all == 0) return (double)NAN;
    for (int64_t x = 0; x < e->experts; x++) {
        double of_expert = 0;
        for (int d = 0; d < e->n_domains; d++) of_expert += (double)count_at(r, d, x);
        for (int d = 0; d < e->n_domains; d++) {
            double n = (double)count_at(r, d, x);
            if (n > 0) bits += n / all * log2(n * all / (of_expert * (double)domain_total(r, d)));
        }
    }
    return bits;
}

/* ---- text ---- */

static mo_status print_layer(const routing *r)
{
    const mo_eval_result *e = r->result;
    const mo_layer_report *l = &e->layers[r->layer];
    printf("\nlayer %d: max vio %.3f, router entropy %.3f of %.3f nats, mean largest weight %.3f", l->layer,
           l->max_vio, l->entropy, log((double)l->experts), l->top1);
    if (l->dropped > 0) printf(", dropped %.2f%%", 100 * l->dropped);
    double bits = mutual_information(r);
    if (!isnan(bits)) printf(", expert and domain share %.3f bits", bits);
    putchar('\n');
    mo__table t = mo__table_begin(">expert|>load");
    int columns = e->n_domains < MO__MOST_COLUMNS - 2 ? e->n_domains : MO__MOST_COLUMNS - 2;
    for (int d = 0; d < columns; d++) mo__table_column(&t, true, r->file->domain_names[d]);
    for (int64_t x = 0; x < l->experts; x++) {
        mo__cell(&t, "%lld", (long long)x);
        mo__cell(&t, "%.1f%%", 100 * l->load[x]);
        for (int d = 0; d < columns; d++) {
            double part = share(r, d, x);
            mo__cell(&t, "%s%s", mo__fixed(100 * part, 1).text, isnan(part) ? "" : "%");
        }
    }
    MO_TRY(mo__table_print(&t));
    if (columns < e->n_domains) printf("%d more domains are in --json\n", e->n_domains - columns);
    return MO_OK;
}

static mo_status print_text(routing *r)
{
    const mo_eval_result *e = r->result;
    printf("checkpoint   %s, step %s\n", r->path, mo__count(r->trained->state.step).text);
    mo__describe_model(r->trained->model);
    printf("data         %s, validation: %s, loss %.4f\n", r->file->path,
           mo__counted(e->tokens, "predicted token").text, e->loss);
    if (e->n_domains)
        printf("load is each expert's share of all assignments; under a domain, of that domain's\n");
    for (r->layer = 0; r->layer < e->n_layers; r->layer++) MO_TRY(print_layer(r));
    return MO_OK;
}

/* ---- JSON ---- */

static json_t *layer_json(const routing *r)
{
    const mo_eval_result *e = r->result;
    const mo_layer_report *l = &e->layers[r->layer];
    json_t *layer = json_object(), *load = json_array(), *domains = json_array();
    for (int64_t x = 0; x < l->experts; x++) mo__json_add(load, mo__json_real(l->load[x]));
    for (int d = 0; d < e->n_domains; d++) {
        json_t *one = json_object(), *shares = json_array();
        for (int64_t x = 0; x < l->experts; x++) mo__json_add(shares, mo__json_real(share(r, d, x)));
        mo__json_set(one, "name", mo__json_text(r->file->domain_names[d]));
        mo__json_set(one, "assignments", mo__json_integer(domain_total(r, d)));
        mo__json_set(one, "share", shares);
        mo__json_add(domains, one);
    }
    mo__json_set(layer, "layer", mo__json_integer(l->layer));
    mo__json_set(layer, "load", load);
    mo__json_set(layer, "max_vio", mo__json_real(l->max_vio));
    mo__json_set(layer, "entropy", mo__json_real(l->entropy));
    mo__json_set(layer, "top1", mo__json_real(l->top1));
    mo__json_set(layer, "dropped", mo__json_real(l->dropped));
    mo__json_set(layer, "z", mo__json_real(l->z));
    mo__json_set(layer, "domains", domains);
    mo__json_set(layer, "mutual_information_bits", mo__json_real(mutual_information(r)));
    return layer;
}

static mo_status print_json(routing *r)
{
    json_t *root = json_object(), *parts = json_object(), *layers = json_array();
    for (r->layer = 0; r->layer < r->result->n_layers; r->layer++) mo__json_add(layers, layer_json(r));
    mo__json_set(root, "kind", json_string("checkpoint"));
    mo__json_set(root, "path", mo__json_text(r->path));
    mo__json_set(root, "data", mo__json_text(r->file->path));
    mo__json_set(root, "loss", mo__json_real(r->result->loss));
    mo__json_set(root, "tokens", mo__json_integer(r->result->tokens));
    mo__json_set(parts, "layers", layers);
    mo__json_set(root, "routing", parts);
    return mo__json_print(root);
}

/* ---- the whole ---- */

static mo_status route(const char *path, const mo_trained *t, const mo_tokenfile *file, bool json)
{
    mo__progress_of progress = {.what = "routing"};
    mo_eval_result result;
    mo_eval_options options = {.file = file,
                               .split = MO_SPLIT_VALIDATION,
                               .sequence_length = t->config.train.sequence_length,
                               .batch_size = t->config.train.batch_size,
                               .routing = true,
                               .stop = &mo__stop,
                               .progress = mo__progress,
                               .user = &progress};
    MO_TRY(mo__check_eval_fits(t->model, options.batch_size, options.sequence_length));
    MO_TRY(mo_evaluate(t->model, &options, &result));
    mo__live_clear();
    routing r = {.path = path, .trained = t, .file = file, .result = &result};
    mo_status status = json ? print_json(&r) : print_text(&r);
    mo_eval_result_free(&result);
    return status;
}

mo_status mo__inspect_routing(const char *path, const mo__inspect_choices *c)
{
    mo_trained t;
    mo_tokenfile *file;
    mo_threads_set(0);
    MO_TRY(mo__trained_load(path, &t));
    mo_status status = MO_OK;
    if (t.config.model.num_local_experts == 0)
        status = mo_error(MO_E_MISMATCH, "%s: is a dense model; it routes nothing", path);
    if (status == MO_OK) status = mo__tokens_for(&t, path, c->data, &file);
    if (status == MO_OK) {
        status = route(path, &t, file, c->json);
        mo_tokenfile_close(file);
    }
    mo__trained_close(&t);
    return status;
}
