/* bench_cases.c -- the config and its variants.
 *
 * A variant is a list of settings on top of the config and of the command line's settings. If its first part
 * is no setting, it is the config file that takes their place. */
#include "bench_cases.h"

#include <string.h>

#include "inputs.h"
#include "base/text.h"
#include "config/buffer.h"
#include "config/number.h"

enum { MOST_PARTS = 32, MOST_THREADS = 1024 };

/* Without a config: a model of the size that two cores train in minutes. */
static const char STANDARD[] = "run: {name: bench}\n"
                               "data: {path: none}\n"
                               "model:\n"
                               "  vocab_size: 256\n"
                               "  hidden_size: 256\n"
                               "  intermediate_size: 512\n"
                               "  num_hidden_layers: 4\n"
                               "  num_attention_heads: 4\n"
                               "  num_local_experts: 8\n"
                               "  num_experts_per_tok: 2\n"
                               "balance: {switch: 0.01, z_loss: 0.001}\n"
                               "train: {steps: 1, batch_size: 8, sequence_length: 256}\n"
                               "optimizer: {learning_rate: 0.0003}\n";

size_t mo__bench_cut(const char *text, const char *separators, const char **rest)
{
    int depth = 0;
    char quote = 0;
    size_t length = 0;
    for (; text[length]; length++) {
        char c = text[length];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '[' || c == '{')
            depth++;
        else if (c == ']' || c == '}')
            depth--;
        else if (depth <= 0 && strchr(separators, c))
            break;
    }
    *rest = text + length + strspn(text + length, separators);
    return length;
}

/* ---- configs ---- */

static mo_status load(const char *path, const char *const *settings, int count, mo_run_config *config)
{
    uint64_t ignored;
    MO_TRY(mo_config_load(path, settings, count, config));
    if (config->model.vocab_size > 0) return MO_OK; /* then no data file is needed, nor looked at */
    mo_status status = mo__config_vocabulary(config, &ignored);
    if (status != MO_OK) mo_config_free(config);
    return status;
}

static mo_status load_words(const mo__words *words, mo_run_config *config)
{
    if (words->count == 0) return mo_config_parse(STANDARD, "the standard bench", config);
    return load(words->at[0], words->at + 1, words->count - 1, config);
}

/* ---- threads ---- */

static mo_status one_number_of_threads(const char *text, int64_t *out)
{
    bool negative;
    uint64_t magnitude;
    mo__number why = mo__number_whole(text, &negative, &magnitude);
    if (why != MO__NUMBER_OK && why != MO__NUMBER_TOO_LARGE)
        return mo_error(MO_E_USAGE, "--threads: '%s' is not a whole number, nor several with commas between",
                        mo__show(text).text);
    if (why == MO__NUMBER_TOO_LARGE || (negative && magnitude) || magnitude > MOST_THREADS)
        return mo_error(MO_E_USAGE, "--threads: %s is out of range: it takes 0 to %d", mo__show(text).text,
                        MOST_THREADS);
    *out = (int64_t)magnitude;
    return MO_OK;
}

/* The number at the begin of *text, which goes on to the next; -1 at the end. */
static mo_status next_threads(const char **text, int64_t *out)
{
    char number[64];
    const char *rest;
    *out = -1;
    if (!**text) return MO_OK;
    size_t length = mo__bench_cut(*text, ",", &rest);
    snprintf(number, sizeof number, "%.*s", (int)(length < 63 ? length : 63), *text);
    *text = rest;
    return one_number_of_threads(number, out);
}

/* ---- the list ---- */

static mo_status add(mo__bench_list *list, mo__bench_variant *v)
{
    mo__bench_variant *grown = mo_realloc(list->at, ((size_t)list->count + 1) * sizeof *grown);
    if (grown) list->at = grown;
    if (grown && v->name) {
        list->at[list->count++] = *v;
        return MO_OK;
    }
    mo_free(v->name);
    mo_config_free(&v->config);
    return MO_E_MEMORY;
}

static mo_status add_config(const mo__bench_request *r, int64_t threads, const char *name,
                            mo__bench_list *list)
{
    mo__bench_variant v = {.skew = r->skew > 0 ? r->skew : 0};
    MO_TRY(load_words(r->words, &v.config));
    if (threads >= 0) v.config.run.threads = threads;
    v.name = mo_strdup(name ? name : v.config.run.name);
    return add(list, &v);
}

static mo_status add_threads(const mo__bench_request *r, const char *more, mo__bench_list *list)
{
    char name[32];
    int64_t threads;
    for (;;) {
        MO_TRY(next_threads(&more, &threads));
        if (threads < 0) return MO_OK;
        snprintf(name, sizeof name, "run.threads=%lld", (long long)threads);
        MO_TRY(add_config(r, threads, name, list));
    }
}

/* ---- variants ---- */

typedef struct parts {
    const char *setting[MOST_PARTS]; /* those of the command line first */
    int count;
    char *text;       /* the variant, cut in place */
    const char *file; /* a config of its own, or NULL */
    double skew;      /* below 0: not given */
} parts;

static mo_status add_part(parts *p, const char *part, bool first)
{
    static const char skew[] = "skew=";
    if (strncmp(part, skew, sizeof skew - 1) == 0) {
        const char *value = part + sizeof skew - 1;
        if (mo__number_real(value, &p->skew) == MO__NUMBER_OK && p->skew >= 0) return MO_OK;
        return mo_error(MO_E_USAGE, "--against: skew=%s: a share of the choices is expected, as skew=0.5",
                        mo__show(value).text);
    }
    if (!strchr(part, '=')) {
        if (!first)
            return mo_error(MO_E_USAGE, "--against: '%s' is no setting, section.key=value, nor skew=SHARE",
                            mo__show(part).text);
        p->file = part;
        p->count = 0;
        return MO_OK;
    }
    if (p->count == MOST_PARTS)
        return mo_error(MO_E_USAGE, "--against: more than %d settings in one variant", MOST_PARTS);
    p->setting[p->count++] = part;
    return MO_OK;
}

static mo_status cut_parts(const mo__bench_request *r, parts *p)
{
    const mo__words *w = r->words;
    for (int i = 1; i < w->count; i++) {
        if (p->count == MOST_PARTS)
            return mo_error(MO_E_USAGE, "--against: more than %d settings in one variant", MOST_PARTS);
        p->setting[p->count++] = w->at[i];
    }
    for (char *at = p->text; *at;) {
        const char *rest;
        size_t length = mo__bench_cut(at, ",", &rest);
        bool first = at == p->text;
        char *next = at + (rest - at);
        at[length] = '\0';
        MO_TRY(add_part(p, at, first));
        at = next;
    }
    return MO_OK;
}

static mo_status load_parts(const mo__bench_request *r, const parts *p, const char *name,
                            mo__bench_list *list)
{
    const char *path = p->file ? p->file : r->words->count > 0 ? r->words->at[0] : NULL;
    mo__bench_variant v = {.skew = p->skew >= 0 ? p->skew : r->skew > 0 && !p->file ? r->skew : 0};
    if (path)
        MO_TRY(load(path, p->setting, p->count, &v.config));
    else if (p->count > 0)
        return mo_error(MO_E_USAGE, "--against: settings are of a CONFIG, and none is given");
    else
        MO_TRY(load_words(r->words, &v.config));
    bool own_threads = false;
    for (int i = 0; i < p->count; i++) own_threads |= strncmp(p->setting[i], "run.threads=", 12) == 0;
    if (!own_threads) v.config.run.threads = list->at[0].config.run.threads;
    v.name = mo_strdup(name);
    return add(list, &v);
}

static mo_status add_variant(const mo__bench_request *r, const char *text, size_t length,
                             mo__bench_list *list)
{
    parts p = {.text = mo_strprintf("%.*s", (int)length, text), .skew = -1};
    char *name = p.text ? mo_strdup(p.text) : NULL;
    mo_status status = name ? cut_parts(r, &p) : MO_E_MEMORY;
    if (status == MO_OK) status = load_parts(r, &p, name, list);
    mo_free(p.text);
    mo_free(name);
    return status;
}

static mo_status make(const mo__bench_request *r, mo__bench_list *list)
{
    const char *threads = r->threads, *more = r->against + strspn(r->against, " ");
    int64_t first;
    MO_TRY(next_threads(&threads, &first));
    MO_TRY(add_config(r, first, NULL, list));
    MO_TRY(add_threads(r, threads, list));
    while (*more) {
        const char *rest;
        size_t length = mo__bench_cut(more, " ", &rest);
        MO_TRY(add_variant(r, more, length, list));
        more = rest;
    }
    return MO_OK;
}

mo_status mo__bench_list_make(const mo__bench_request *request, mo__bench_list *out)
{
    *out = (mo__bench_list){0};
    mo_status status = make(request, out);
    if (status != MO_OK) mo__bench_list_free(out);
    return status;
}

void mo__bench_list_free(mo__bench_list *list)
{
    for (int i = 0; i < list->count; i++) {
        mo_free(list->at[i].name);
        mo_config_free(&list->at[i].config);
    }
    mo_free(list->at);
    *list = (mo__bench_list){0};
}
