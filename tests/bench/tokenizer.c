/* tokenizer.c -- how fast a tokenizer is: `tokenizer FILE.model TEXT [ROUNDS]`, best of ROUNDS (5). Loading,
 * encoding with one thread and with all cores, decoding. */
#include <moira/tokenizer.h>

#include <stdlib.h>
#include <string.h>

static void fail(const char *program)
{
    fprintf(stderr, "%s: %s\n", program, mo_last_error());
    exit(1);
}

static double encode(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids, int64_t *count)
{
    double begin = mo_clock();
    if (mo_tokenizer_encode(t, text, size, ids, count) != MO_OK) fail("encode");
    return mo_clock() - begin;
}

static void measure(const mo_tokenizer *t, const char *text, size_t size, int threads, int rounds)
{
    double best = 1e9, decoding = 1e9;
    int64_t count = 0;
    mo_threads_set(threads);
    for (int i = 0; i < rounds; i++) {
        int32_t *ids;
        char *again;
        size_t again_size;
        double seconds = encode(t, text, size, &ids, &count), begin = mo_clock();
        if (mo_tokenizer_decode(t, ids, count, &again, &again_size) != MO_OK) fail("decode");
        double spent = mo_clock() - begin;
        best = seconds < best ? seconds : best;
        decoding = spent < decoding ? spent : decoding;
        mo_free(again);
        mo_free(ids);
    }
    printf("%d threads: encoding %.2f MB/s, %.3g tokens/s, %.3f bytes per token; decoding (one thread) %.0f "
           "MB/s\n",
           mo_threads(), (double)size / best / 1e6, (double)count / best, (double)size / (double)count,
           (double)size / decoding / 1e6);
}

int main(int argc, char **argv)
{
    mo_tokenizer *t = NULL;
    char *text;
    size_t size;
    int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 5;
    if (argc < 3) {
        fprintf(stderr, "usage: %s FILE.model TEXT [ROUNDS]\n", argv[0]);
        return 2;
    }
    double best = 1e9;
    for (int i = 0; i < rounds; i++) {
        mo_tokenizer_free(t);
        double begin = mo_clock();
        if (mo_tokenizer_open(argv[1], &t) != MO_OK) fail(argv[0]);
        double seconds = mo_clock() - begin;
        best = seconds < best ? seconds : best;
    }
    if (mo_read_file(argv[2], (size_t)1 << 32, &text, &size) != MO_OK) fail(argv[0]);
    printf("%s: %lld ids, opened in %.1f ms; %s: %.2f MB\n", argv[1], (long long)mo_tokenizer_vocab_size(t),
           1e3 * best, argv[2], (double)size / 1e6);
    measure(t, text, size, 1, rounds);
    measure(t, text, size, 0, rounds);
    mo_free(text);
    mo_tokenizer_free(t);
    return 0;
}
