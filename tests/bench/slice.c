/* slice.c -- a model folder as wide as Mixtral 8x7B, with fewer layers and random weights:
 *
 *     slice DIR LAYERS [HIDDEN INTERMEDIATE EXPERTS VOCABULARY]         4096 14336 8 32000 unless given
 *
 * bfloat16, in shards of 5 GB. 12 layers are 17.68 billion parameters, 35.4 GB. Weights are near normal with
 * deviation 0.02 (the sum of a random word's four bytes), norms are 1: a pure function of parameter and
 * element. Heads are 128 wide, a quarter of them for keys. For measuring training that maps more than fits
 * into memory. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "moira/moira.h"

enum { MAX_PARAMS = 1000 };

/* The sum of four bytes has mean 510 and variance 4 (256^2 - 1) / 12. */
static const double SUM_MEAN = 510, SUM_DEVIATION = 147.800315741, DEVIATION = 0.02;

static int failed(void)
{
    fprintf(stderr, "slice: %s\n", mo_last_error());
    return 1;
}

static mo_status values(const mo_param *p, int64_t part, mo_real *out, void *user)
{
    enum { PART = 4096 };
    const mo_model *m = user;
    int64_t count = p->ndim == 3 ? p->dim[1] * p->dim[2] : p->count;
    uint32_t key = (uint32_t)(p - m->params);
    mo_real mean = p->ndim == 1 ? MO_C(1) : MO_C(0),
            scale = p->ndim == 1 ? 0 : (mo_real)(DEVIATION / SUM_DEVIATION);
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < count; at += PART) {
        uint32_t words[PART];
        int64_t n = count - at < PART ? count - at : PART;
        mo_rng_words(1, MO_RNG_TEST, (uint64_t)part, key, (uint64_t)at / 4, (n + 3) / 4, words);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            uint32_t w = words[i], sum = (w & 255) + (w >> 8 & 255) + (w >> 16 & 255) + (w >> 24);
            out[at + i] = ((mo_real)sum - (mo_real)SUM_MEAN) * scale + mean;
        }
    }
    return MO_OK;
}

static int64_t argument(int argc, char **argv, int i, int64_t otherwise)
{
    return argc > i ? strtoll(argv[i], NULL, 10) : otherwise;
}

static bool has_room(const char *dir, double bytes)
{
    struct statvfs disk;
    char *parent = mo_path_dir(dir);
    bool known = parent && statvfs(parent, &disk) == 0;
    double room = known ? (double)disk.f_bavail * (double)disk.f_frsize : 0;
    mo_free(parent);
    if (!known || room > bytes + 1e9) return true;
    fprintf(stderr, "slice: %s takes %.1f GB, and there is room for %.1f GB\n", dir, bytes / 1e9, room / 1e9);
    return false;
}

int main(int argc, char **argv)
{
    mo_dtype dtypes[MAX_PARAMS];
    mo_model *m;
    mo_model_config c = {.num_hidden_layers = argument(argc, argv, 2, 0),
                         .hidden_size = argument(argc, argv, 3, 4096),
                         .intermediate_size = argument(argc, argv, 4, 14336),
                         .num_local_experts = argument(argc, argv, 5, 8),
                         .vocab_size = argument(argc, argv, 6, 32000),
                         .num_experts_per_tok = 2,
                         .norm_topk_prob = MO_CHOICE_TRUE,
                         .max_position_embeddings = 32768,
                         .rope_theta = 1e6,
                         .rms_norm_eps = 1e-5,
                         .initializer_range = DEVIATION};
    c.head_dim = c.hidden_size < 512 ? c.hidden_size / 4 : 128;
    c.num_attention_heads = c.head_dim > 0 ? c.hidden_size / c.head_dim : 0;
    c.num_key_value_heads = c.num_attention_heads / 4;
    if (argc < 3 || c.num_hidden_layers < 1 || c.num_hidden_layers > 64) {
        fprintf(stderr, "usage: slice DIR LAYERS [HIDDEN INTERMEDIATE EXPERTS VOCABULARY]\n");
        return 2;
    }
    if (mo_model_create(&c, &m) != MO_OK) return failed();
    MO_ASSERT(m->n_params <= MAX_PARAMS);
    for (int i = 0; i < m->n_params; i++) dtypes[i] = MO_BF16;
    double parameters = (double)mo_model_counts(m, 1).total;
    printf("%s: %.3f billion parameters, %.2f GB\n", argv[1], parameters / 1e9, 2 * parameters / 1e9);
    mo_hf_export_options options = {
        .model = m, .router_aux_loss_coef = 0.02, .dtypes = dtypes, .values = values, .user = m};
    bool ok = has_room(argv[1], 2 * parameters);
    if (ok && mo_hf_export(argv[1], &options) != MO_OK) ok = failed() == 0;
    mo_model_free(m);
    return ok ? 0 : 1;
}
