/* inspect_tokens.c -- what a token file holds. Opening one checks its stamp, every offset and every id. */
#include <math.h>

#include "inspect.h"
#include "json_out.h"
#include "table.h"
#include "units.h"

static const char *const split_names[] = {[MO_SPLIT_TRAIN] = "train", [MO_SPLIT_VALIDATION] = "validation"};

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
            mo__cell(&t, "%s", split_names[s]);
            mo__cell(&t, "%s", mo__count(sum.documents).text);
            mo__cell(&t, "%s", mo__count(sum.tokens).text);
            mo__cell(&t, "%s", mo__fixed(floor_of(&f->split[s], d), 4).text);
        }
    putchar('\n');
    return mo__table_print(&t);
}

static mo_status print_text(const mo_tokenfile *f, const char *hash, bool verified)
{
    printf("token file   %s\n", f->path);
    printf("tokenizer    %s, %s ids, %s\n", mo_tokenizer_kind(f->tokenizer), mo__count(f->vocab_size).text,
           hash);
    for (int s = 0; s < 2; s++)
        printf("%-12s %s tokens of %d byte%s in %s document%s\n", split_names[s],
               mo__count(f->split[s].count).text, f->split[s].width, f->split[s].width == 1 ? "" : "s",
               mo__count(f->split[s].documents).text, f->split[s].documents == 1 ? "" : "s");
    if (verified) printf("verified     stamp, checksums, every offset and id\n");
    return f->n_domains ? print_domains(f) : MO_OK;
}

static json_t *split_json(const mo_tokenfile *f, int s)
{
    const mo_tokens *t = &f->split[s];
    json_t *split = json_object(), *domains = json_array();
    mo__json_set(split, "tokens", mo__json_integer(t->count));
    mo__json_set(split, "documents", mo__json_integer(t->documents));
    for (int d = 0; d < f->n_domains; d++) {
        domain_sum sum = sum_domain(t, d);
        json_t *one = json_object();
        mo__json_set(one, "name", mo__json_text(f->domain_names[d]));
        mo__json_set(one, "documents", mo__json_integer(sum.documents));
        mo__json_set(one, "tokens", mo__json_integer(sum.tokens));
        mo__json_set(one, "entropy", mo__json_real(floor_of(t, d)));
        mo__json_add(domains, one);
    }
    mo__json_set(split, "domains", domains);
    return split;
}

static mo_status print_json(const mo_tokenfile *f, const char *hash, bool verified)
{
    json_t *root = json_object(), *tokenizer = json_object();
    mo__json_set(root, "kind", json_string("tokens"));
    mo__json_set(root, "path", mo__json_text(f->path));
    mo__json_set(root, "vocab_size", mo__json_integer(f->vocab_size));
    mo__json_set(tokenizer, "kind", json_string(mo_tokenizer_kind(f->tokenizer)));
    mo__json_set(tokenizer, "hash", json_string(hash));
    mo__json_set(root, "tokenizer", tokenizer);
    for (int s = 0; s < 2; s++) mo__json_set(root, split_names[s], split_json(f, s));
    if (verified) mo__json_set(root, "verified", json_true());
    return mo__json_print(root);
}

mo_status mo__inspect_tokens(const char *path, const mo__inspect_choices *c)
{
    static const char CONFIG_OR_CHECKPOINT[] = "a config or a checkpoint", FOUND[] = "a token file";
    mo_tokenfile *file;
    char hash[33];
    MO_TRY(mo__refuse_option(c->memory, "--memory", CONFIG_OR_CHECKPOINT, path, FOUND));
    MO_TRY(mo__refuse_option(c->parameters, "--parameters", CONFIG_OR_CHECKPOINT, path, FOUND));
    MO_TRY(mo__refuse_option(*c->dot, "--dot", CONFIG_OR_CHECKPOINT, path, FOUND));
    MO_TRY(mo__refuse_option(c->routing, "--routing", "a checkpoint", path, FOUND));
    MO_TRY(mo_tokenfile_open(path, &file));
    mo_tokenizer_hash(file->tokenizer, hash);
    mo_status status = c->json ? print_json(file, hash, c->verify) : print_text(file, hash, c->verify);
    mo_tokenfile_close(file);
    return status;
}
