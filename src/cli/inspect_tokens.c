/* inspect_tokens.c -- what a token file holds. Opening one checks its stamp, every offset and every id. */
#include <math.h>

#include "corpus_view.h"
#include "inspect.h"
#include "json_out.h"
#include "table.h"
#include "base/units.h"

typedef struct domain_sum {
    int64_t documents, tokens;
} domain_sum;

static domain_sum sum_domain(const mo_tokens *t, int domain)
{
    domain_sum sum = {0, 0};
    for (int64_t d = 0; t->domains && d < t->documents; d++) {
        if (t->domains[d] != domain) continue;
        sum.documents++;
        sum.tokens += (int64_t)(t->offsets[d + 1] - t->offsets[d]);
    }
    return sum;
}

static double floor_of(const mo_tokens *t, int domain)
{
    return t->entropy_nats ? t->entropy_nats[domain] : (double)NAN;
}

static mo_status print_domains(const mo_tokenfile *f)
{
    mo__table t = mo__table_begin("<domain|<split|>documents|>tokens|>entropy floor");
    for (int d = 0; d < f->n_domains; d++)
        for (int s = 0; s < 2; s++) {
            domain_sum sum = sum_domain(&f->split[s], d);
            mo__cell(&t, "%s", s ? "" : f->domain_names[d]);
            mo__cell(&t, "%s", mo__split_names[s]);
            mo__cell(&t, "%s", mo__count(sum.documents).text);
            mo__cell(&t, "%s", mo__count(sum.tokens).text);
            mo__cell(&t, "%s", mo__fixed(floor_of(&f->split[s], d), 4).text);
        }
    putchar('\n');
    return mo__table_print(&t);
}

typedef struct view {
    const mo_tokenfile *file;
    mo_lengths lengths[2];
    int64_t tokens[2];
    int64_t L, windows[2]; /* of whole documents; L 0: not asked for */
    double fill[2];
    char hash[33]; /* the tokenizer's */
    bool verified;
} view;

static void print_learnt(const mo_tokenfile *f)
{
    int64_t n = f->split[0].predictable + f->split[1].predictable,
            tokens = f->split[0].count + f->split[1].count,
            none = f->split[0].unlearnt + f->split[1].unlearnt;
    printf("learnt       %s, %.1f%% of the tokens: completions and their ends\n",
           mo__counted(n, "token").text, 100 * (double)n / (double)tokens);
    if (none > 0)
        printf("             %s without a token to predict\n", mo__counted(none, "conversation").text);
}

/* Whole documents in windows of L tokens. */
static void print_packing(const view *v)
{
    const mo_tokenfile *f = v->file;
    int64_t most = v->lengths[0].most > v->lengths[1].most ? v->lengths[0].most : v->lengths[1].most;
    printf("documents    whole: none is cut, none sees another; windows need %s or more\n",
           mo__counted(most, "token").text);
    for (int s = 0; v->L > 0 && s < 2; s++)
        if (f->split[s].count > 0)
            printf("%-12s %s of %lld, %.1f%% full\n", s == 0 ? "packed" : "",
                   mo__counted(v->windows[s], "window").text, (long long)v->L, 100 * v->fill[s]);
}

static mo_status print_text(const view *v)
{
    const mo_tokenfile *f = v->file;
    bool talks = f->split[0].mask || f->split[1].mask;
    printf("token file   %s\n", f->path);
    if (*f->source) printf("source       %s\n", f->source);
    printf("tokenizer    %s, %s, %s\n", mo_tokenizer_kind(f->tokenizer),
           mo__counted(f->vocab_size, "id").text, v->hash);
    if (*f->split_by) printf("split        %s\n", f->split_by);
    for (int s = 0; s < 2; s++)
        printf("%-12s %s of %s in %s\n", mo__split_names[s], mo__counted(v->tokens[s], "token").text,
               mo__counted(f->split[s].width, "byte").text,
               mo__counted(f->split[s].documents, talks ? "conversation" : "document").text);
    mo__print_facts(&f->facts, v->tokens, mo_tokenizer_kind(f->tokenizer), f->vocab_size, talks);
    if (talks) print_learnt(f);
    if (f->split[0].whole) print_packing(v);
    if (v->verified) printf("verified     stamp, checksums, every offset and id\n");
    MO_TRY(mo__print_lengths(v->lengths, talks ? "conversations" : "documents"));
    return f->n_domains ? print_domains(f) : MO_OK;
}

static json_t *domains_json(const mo_tokenfile *f, int s)
{
    json_t *domains = json_array();
    for (int d = 0; d < f->n_domains; d++) {
        domain_sum sum = sum_domain(&f->split[s], d);
        json_t *one = json_object();
        mo__json_set(one, "name", mo__json_text(f->domain_names[d]));
        mo__json_set(one, "documents", mo__json_integer(sum.documents));
        mo__json_set(one, "tokens", mo__json_integer(sum.tokens));
        mo__json_set(one, "entropy", mo__json_real(floor_of(&f->split[s], d)));
        mo__json_add(domains, one);
    }
    return domains;
}

static mo_status print_json(const view *v)
{
    const mo_tokenfile *f = v->file;
    json_t *root = json_object(), *tokenizer = json_object();
    mo__json_set(root, "kind", json_string("tokens"));
    mo__json_set(root, "path", mo__json_text(f->path));
    mo__json_set(root, "source", mo__json_text(f->source));
    mo__json_set(root, "vocab_size", mo__json_integer(f->vocab_size));
    mo__json_set(tokenizer, "kind", json_string(mo_tokenizer_kind(f->tokenizer)));
    mo__json_set(tokenizer, "hash", json_string(v->hash));
    mo__json_set(root, "tokenizer", tokenizer);
    mo__json_set(root, "split", mo__json_text(f->split_by));
    for (int s = 0; s < 2; s++) {
        json_t *split = mo__split_json(&v->lengths[s], f->facts.text_bytes[s]);
        mo__json_set(split, "domains", domains_json(f, s));
        if (f->split[s].mask) {
            mo__json_set(split, "tokens_learnt", mo__json_integer(f->split[s].predictable));
            mo__json_set(split, "documents_unlearnt", mo__json_integer(f->split[s].unlearnt));
        }
        if (v->L > 0) {
            mo__json_set(split, "windows", mo__json_integer(v->windows[s]));
            mo__json_set(split, "fill", mo__json_real(v->fill[s]));
        }
        mo__json_set(root, mo__split_names[s], split);
    }
    if (f->split[0].whole) mo__json_set(root, "whole_documents", json_true());
    mo__facts_json(root, &f->facts, v->tokens);
    if (v->verified) mo__json_set(root, "verified", json_true());
    return mo__json_print(root);
}

static mo_status pack(view *v, int64_t sequence_length)
{
    const mo_tokenfile *f = v->file;
    if (sequence_length == 0) return MO_OK;
    if (!f->split[0].whole)
        return mo_error(MO_E_USAGE,
                        "--sequence-length is for whole documents; %s is a stream, which fills its windows",
                        f->path);
    v->L = sequence_length;
    for (int s = 0; s < 2; s++) {
        mo_packing p;
        mo_status status = mo_packing_create(&f->split[s], sequence_length, &p);
        if (status != MO_OK) return mo_error_context(status, "%s: %s", f->path, mo__split_names[s]);
        v->windows[s] = p.windows;
        v->fill[s] = mo_packing_fill(&p);
        mo_packing_free(&p);
    }
    return MO_OK;
}

static mo_status show(const mo_tokenfile *file, const mo__inspect_choices *c)
{
    view v = {.file = file, .verified = c->verify};
    mo_tokenizer_hash(file->tokenizer, v.hash);
    for (int s = 0; s < 2; s++) {
        MO_TRY(mo_lengths_of(&file->split[s], &v.lengths[s]));
        v.tokens[s] = file->split[s].count;
    }
    MO_TRY(pack(&v, c->sequence_length));
    return c->json ? print_json(&v) : print_text(&v);
}

mo_status mo__inspect_tokens(const char *path, const mo__inspect_choices *c)
{
    static const char CONFIG_OR_CHECKPOINT[] = "a config or a checkpoint", FOUND[] = "a token file";
    mo_tokenfile *file;
    MO_TRY(mo__refuse_option(c->memory, "--memory", CONFIG_OR_CHECKPOINT, path, FOUND));
    MO_TRY(mo__refuse_option(c->parameters, "--parameters", CONFIG_OR_CHECKPOINT, path, FOUND));
    MO_TRY(mo__refuse_option(*c->dot, "--dot", CONFIG_OR_CHECKPOINT, path, FOUND));
    MO_TRY(mo__refuse_option(c->routing, "--routing", "a checkpoint", path, FOUND));
    MO_TRY(mo_tokenfile_open(path, &file));
    mo_status status = show(file, c);
    mo_tokenfile_close(file);
    return status;
}
