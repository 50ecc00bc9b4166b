/* packing.c -- how long it takes to pack documents into windows, and to make a microbatch of them.
 *
 *     make build/release/tests/bench/packing
 *     build/release/tests/bench/packing [documents] [window] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <moira/moira.h>

/* Lengths as of instruction data: log-normal, median 200, at most a window. */
static mo_tokens make_split(int64_t documents, int64_t window)
{
    mo_tokens t = {.width = 2, .documents = documents, .whole = true};
    t.offsets = mo_calloc((size_t)documents + 1, sizeof *t.offsets);
    for (int64_t d = 0; t.offsets && d < documents; d++) {
        double n = 200 * exp(0.8 * mo_rng_normal(1, MO_RNG_TEST, 0, 0, (uint64_t)d));
        t.count += n < 2 ? 2 : n > (double)window ? window : (int64_t)n;
        t.offsets[d + 1] = (uint64_t)t.count;
    }
    t.data = mo_calloc((size_t)t.count, 2);
    t.mask = mo_calloc((size_t)t.count, 1);
    for (int64_t i = 0; t.mask && i < t.count; i++) t.mask[i] = i % 3 == 0;
    return t;
}

static double time_batches(const mo_tokens *t, int64_t window, int64_t B, int64_t accumulation, int64_t n)
{
    mo_tokenizer *bytes;
    mo_loader *l;
    mo_loader_source source = {t, 1};
    if (mo_tokenizer_bytes(&bytes) != MO_OK) return -1;
    mo_loader_options o = {&source, 1, bytes, B, window, accumulation, 1, false};
    if (mo_loader_open(&o, &l) != MO_OK) return -1;
    double begin = mo_clock();
    for (int64_t i = 0; i < n; i++) {
        const mo_batch *b;
        if (mo_loader_get(l, i / accumulation, i % accumulation, &b) != MO_OK) return -1;
    }
    double seconds = (mo_clock() - begin) / (double)n;
    mo_loader_close(l);
    mo_tokenizer_free(bytes);
    return seconds;
}

int main(int argc, char **argv)
{
    int64_t documents = argc > 1 ? atoll(argv[1]) : 1000000, window = argc > 2 ? atoll(argv[2]) : 4096;
    mo_tokens t = make_split(documents, window);
    mo_packing p;
    double begin = mo_clock();
    if (!t.offsets || !t.data || !t.mask || mo_packing_create(&t, window, &p) != MO_OK) {
        fprintf(stderr, "%s\n", mo_last_error());
        return 1;
    }
    printf("%lld documents of %lld tokens into %lld windows of %lld, %.3f%% full: %.3f s\n",
           (long long)documents, (long long)t.count, (long long)p.windows, (long long)window,
           100 * mo_packing_fill(&p), mo_clock() - begin);
    printf("a microbatch of 8 windows: %.3f ms; one of 16 of a step: %.3f ms\n",
           1e3 * time_batches(&t, window, 8, 1, 200), 1e3 * time_batches(&t, window, 8, 16, 160));
    return 0;
}
