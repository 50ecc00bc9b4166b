/* variant_alike.c -- what variants must share for their losses to be compared. */
#include <string.h>

#include "config/setting.h"
#include "variant.h"

/* Why these keys of a comparison are to be equal. */
static const struct shared {
    const char *key, *why;
} shared[] = {
    {"init.from", "variants of a comparison begin alike"},
    {"model.hidden_act", "variants of a comparison have the same activation"},
    {"model.initializer_range", "variants of a comparison are initialised alike"},
    {"train.sequence_length", "variants of a comparison read the same sequences in the same order"},
};

static mo_status refuse(int key, const mo_run_config *a, const mo_run_config *b, const char *why)
{
    char *x = NULL, *y = NULL;
    mo_status status = mo__setting_text(key, a, &x);
    if (status == MO_OK) status = mo__setting_text(key, b, &y);
    if (status == MO_OK)
        status = mo_error(MO_E_MISMATCH, "%s is %s here and %s in the first: %s", mo__keys[key].name,
                          mo__show(y).text, mo__show(x).text, why);
    mo_free(x);
    mo_free(y);
    return status;
}

static mo_status check_shared(const mo_run_config *a, const mo_run_config *b)
{
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        int key;
        MO_TRY(mo__setting_find(shared[i].key, &key));
        if (!mo__value_equal(&mo__keys[key], a, b)) return refuse(key, a, b, shared[i].why);
    }
    int64_t x = mo_run_step_tokens(a), y = mo_run_step_tokens(b);
    if (x == y) return MO_OK;
    return mo_error(
        MO_E_MISMATCH,
        "a step reads %lld tokens here and %lld in the first: variants of a comparison read the same "
        "sequences in the same order; train.batch_size times train.gradient_accumulation_steps must "
        "be equal",
        (long long)y, (long long)x);
}

/* Equal paths, or else equal files: they may lie in two places. */
static mo_status check_data(mo__variant_maker *m, const mo_run_config *a, const mo_run_config *b)
{
    int path, mixture;
    mo_run_data other;
    MO_TRY(mo__setting_find("data.path", &path));
    MO_TRY(mo__setting_find("data.mixture", &mixture));
    if (mo__value_equal(&mo__keys[path], a, b) && mo__value_equal(&mo__keys[mixture], a, b)) return MO_OK;
    MO_TRY(mo_run_data_open(b, &other));
    char mine[33], others[33];
    mo_tokenizer_hash(m->data.sources[0].file->tokenizer, mine);
    mo_tokenizer_hash(other.sources[0].file->tokenizer, others);
    bool same = strcmp(other.hash, m->data.hash) == 0 && b->data.mixture.count == a->data.mixture.count;
    for (int64_t i = 0; same && i < a->data.mixture.count; i++)
        same = a->data.mixture.at[i].weight == b->data.mixture.at[i].weight;
    mo_run_data_close(&other);
    if (same) return MO_OK;
    return refuse(mo__value_equal(&mo__keys[path], a, b) ? mixture : path, a, b,
                  strcmp(mine, others) == 0
                      ? "variants learn from the same data, or their losses could not be compared"
                      : "the two have other tokenizers, so their losses could not be compared; "
                        "variants learn from the same data");
}

/* Sequences of an evaluation; 0: all there are. */
static int64_t evaluated(const mo_run_config *c)
{
    return c->eval.batches * c->train.batch_size;
}

mo_status mo__variants_alike(mo__variant_maker *m, const mo_run_config *a, const mo_run_config *b)
{
    MO_TRY(check_data(m, a, b));
    if (evaluated(a) != evaluated(b))
        return mo_error(
            MO_E_MISMATCH,
            "eval.batches %lld of train.batch_size %lld are evaluated here, and %lld of %lld in the "
            "first: losses on other data cannot be compared; eval.batches 0 takes all there is",
            (long long)b->eval.batches, (long long)b->train.batch_size, (long long)a->eval.batches,
            (long long)a->train.batch_size);
    return m->spec->compare ? check_shared(a, b) : MO_OK;
}
