#include "harness/corpus.h"

#include "harness/wide_tokenizer.h"

corpus corpus_make(int64_t count, int64_t first, bool labels)
{
    corpus c = {.tokens = {.count = count, .width = 4}};
    mo_tokens *t = &c.tokens;
    uint32_t *ids = mo_malloc((size_t)count * sizeof *ids);
    t->data = ids;
    t->offsets = mo_malloc(((size_t)count + 1) * sizeof *t->offsets);
    t->domains = labels ? mo_malloc((size_t)count * sizeof *t->domains) : NULL;
    for (int64_t i = 0; i < count; i++) ids[i] = (uint32_t)(first + i);
    t->offsets[0] = 0;
    for (int64_t at = 0; at < count;) {
        at += 1 + (int64_t)(mo_rng_uniform(3, MO_RNG_TEST, 0, 0, (uint64_t)t->documents) * 60);
        if (labels) t->domains[t->documents] = (uint16_t)(t->documents * 7 % 5);
        t->offsets[++t->documents] = (uint64_t)(at < count ? at : count);
    }
    c.tokenizer = wide_tokenizer(1 << 20);
    return c;
}

void corpus_free(corpus *c)
{
    mo_free(c->tokens.data);
    mo_free(c->tokens.offsets);
    mo_free(c->tokens.domains);
    mo_tokenizer_free(c->tokenizer);
}
